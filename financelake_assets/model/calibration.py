"""Calibration: how far to trust the forests, and how wide their errors are, from out-of-sample predictions.

Input: raw predictions and actual moves, in units of the expected move, with symbol and asset class. Output: a
``Calibration``: which share of a predicted return and of a predicted direction to keep (from 0, which is the naive
forecast or a coin, to 1), and the distribution of the remaining errors, in units of the predicted size of the move.
Each is fitted by symbol if the symbol has enough rows, otherwise by class, otherwise over all symbols.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from financelake_assets.model.outputs import RAW, RAW_SIZE, RAW_UP

Floats = NDArray[np.float64]
Texts = NDArray[np.str_]
T = TypeVar("T")

POOLED = "*"
_ENOUGH = 250  # errors that a symbol needs for its own distribution
_PRIOR_ROWS = 500  # the pooled shrinkage counts as this many rows of the symbol


@dataclass(frozen=True)
class OutOfSample:
    """Out-of-sample predictions and actual moves; all arrays have the same length.

    ``raw``: the predicted return; ``label``: its target, with extreme moves cut off; ``actual``: the actual move, not
    cut off; all in expected moves. ``up``: the predicted probability of a rise; ``rose``: whether it rose. ``size``:
    the predicted size of the move, in expected moves, above zero.
    """

    symbol: Texts
    asset_class: Texts
    raw: Floats
    label: Floats
    actual: Floats
    up: Floats
    rose: Floats
    size: Floats


@dataclass(frozen=True)
class Errors:
    """Errors out of sample in units of the predicted size of the move.

    ``count``: how many; ``low`` and ``high``: the ends of the interval; ``spread``: the factor from a predicted size to
    the standard deviation of the move; ``naive_spread``: the factor from the expected move to it, of the same rows, so
    that the naive forecast of the volatility is scaled alike.
    """

    count: int
    low: float
    high: float
    spread: float = 1.0
    naive_spread: float = 1.0


@dataclass(frozen=True)
class Calibration:
    """Shrinkage and errors by group: a symbol, an asset class as ``*stock``, or ``*`` for all.

    ``shrinkage`` applies to returns, ``direction`` to the distance of a probability from 0.5; it is empty for a version
    of a release without the direction forest.
    """

    shrinkage: dict[str, float] = field(default_factory=lambda: {POOLED: 0.0})
    direction: dict[str, float] = field(default_factory=lambda: {POOLED: 0.0})
    errors: dict[str, Errors] = field(default_factory=dict)

    def shrinkage_of(self, symbol: str, asset_class: str) -> float:
        """Which share of a predicted return to keep."""
        return _narrowest(self.shrinkage, symbol, asset_class)

    def direction_of(self, symbol: str, asset_class: str) -> float:
        """Which share of a probability's distance from 0.5 to keep."""
        return _narrowest(self.direction, symbol, asset_class)

    def errors_of(self, symbol: str, asset_class: str) -> Errors:
        """The distribution of the errors."""
        return _narrowest(self.errors, symbol, asset_class)

    def dump(self) -> tuple[str, str]:
        """The shrinkage and the errors, each as JSON."""
        kept = {"return": self.shrinkage, "direction": self.direction}
        return json.dumps(kept), json.dumps({group: asdict(errors) for group, errors in self.errors.items()})

    @classmethod
    def parse(cls, shrinkage: str, errors: str) -> Calibration:
        """The inverse of ``dump``; also reads the format of earlier releases."""
        kept = json.loads(shrinkage)
        if "return" not in kept:
            kept = {"return": kept, "direction": {}}
        known = {
            group: Errors(
                values["count"],
                values["low"],
                values["high"],
                values.get("spread", 1.0),
                values.get("naive_spread", 1.0),
            )
            for group, values in json.loads(errors).items()
        }
        return cls(kept["return"], kept["direction"], known)


def groups_of(symbol: str, asset_class: str) -> tuple[str, str, str]:
    """The groups that a symbol's row belongs to, the narrowest first."""
    return symbol, f"{POOLED}{asset_class}", POOLED


def _narrowest(by_group: dict[str, T], symbol: str, asset_class: str) -> T:
    return by_group[next(group for group in groups_of(symbol, asset_class) if group in by_group)]


def calibrate(rows: OutOfSample, coverage: float) -> Calibration:
    """Fit the shrinkage and the error distributions.

    Args:
        rows: out-of-sample predictions and actual moves.
        coverage: nominal coverage of the interval.
    """
    if len(rows.raw) == 0:
        return Calibration()
    shrinkage = _shrinkage(rows.symbol, rows.raw, rows.label)
    direction = _shrinkage(rows.symbol, rows.up - 0.5, rows.rose - 0.5)
    kept = np.array([shrinkage.get(one, shrinkage[POOLED]) for one in rows.symbol])
    left, moves = (rows.actual - kept * rows.raw) / rows.size, rows.actual / rows.size
    groups = _groups(rows.symbol, rows.asset_class)
    errors = {group: _errors(left[own], moves[own], rows.actual[own], coverage) for group, own in groups}
    return Calibration(shrinkage, direction, errors)


def _shrinkage(symbol: Texts, raw: Floats, label: Floats) -> dict[str, float]:
    """Least squares of the label on the prediction through the origin; a symbol's value is shrunk to the pooled one."""
    power = float(np.mean(raw**2))
    if power == 0.0:
        return {POOLED: 0.0}
    pooled = _unit(float(np.mean(raw * label)) / power)
    found = {POOLED: pooled}
    for one in np.unique(symbol):
        own = symbol == one
        prior = _PRIOR_ROWS * power
        slope = (float(np.sum(raw[own] * label[own])) + prior * pooled) / (float(np.sum(raw[own] ** 2)) + prior)
        found[str(one)] = _unit(slope)
    return found


def _unit(value: float) -> float:
    return min(1.0, max(0.0, value))


def _groups(symbol: Texts, asset_class: Texts) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    yield POOLED, np.ones(len(symbol), dtype=bool)
    for one in np.unique(asset_class):
        rows = asset_class == one
        if rows.sum() >= _ENOUGH:
            yield f"{POOLED}{one}", rows
    for one in np.unique(symbol):
        rows = symbol == one
        if rows.sum() >= _ENOUGH:
            yield str(one), rows


def _errors(left: Floats, moves: Floats, actual: Floats, coverage: float) -> Errors:
    """Split conformal interval (Vovk et al. 2005) of errors scaled by the prediction (Lei et al. 2018), and the spread.

    Half of the miscoverage is on each side. The spread is the one with the least QLIKE: the root mean square of the
    moves.
    """
    ordered = np.sort(left)
    count = len(ordered)
    tail = int(np.floor((count + 1) * (1 - coverage) / 2))  # this many errors may lie outside on each side
    low, high = (ordered[tail - 1], ordered[count - tail]) if tail else (ordered[0], ordered[-1])
    spread, naive_spread = (float(np.sqrt(np.mean(one**2))) for one in (moves, actual))
    return Errors(count, float(low), float(high), spread, naive_spread)


def calibrated(scored: pl.DataFrame, calibration: Calibration) -> pl.DataFrame:
    """Turn raw predictions into returns with an interval, a probability of a rise, and a volatility.

    Args:
        scored: symbol, asset_class, expected_move and the forests' outputs.
        calibration: fitted on other rows.

    Returns:
        The rows with ``predicted_return``, ``low`` and ``high`` (ends of the interval of the return),
        ``probability_up``, ``volatility`` (standard deviation of the return) and ``naive_volatility`` (the same from
        the expected move alone).
    """
    parts = []
    for (symbol, asset_class), rows in scored.group_by("symbol", "asset_class", maintain_order=True):
        errors = calibration.errors_of(str(symbol), str(asset_class))
        kept = calibration.shrinkage_of(str(symbol), str(asset_class)) * rows[RAW]
        sure = calibration.direction_of(str(symbol), str(asset_class))
        move, size = rows["expected_move"], rows[RAW_SIZE].clip(_SMALLEST_SIZE)
        parts.append(
            rows.with_columns(
                (kept * move).alias("predicted_return"),
                ((kept + errors.low * size) * move).alias("low"),
                ((kept + errors.high * size) * move).alias("high"),
                (0.5 + sure * (rows[RAW_UP] - 0.5)).alias("probability_up"),
                (errors.spread * size * move).alias("volatility"),
                (errors.naive_spread * move).alias("naive_volatility"),
            )
        )
    return pl.concat(parts)


_SMALLEST_SIZE = 0.05
"""The smallest predicted move, in expected moves: errors cannot be measured in units of zero."""
