"""Calibration: how far to believe the forest, and how wide its errors are, from predictions made out of sample.

Enters: raw predictions and what happened, both in units of the expected move, with symbol and asset class. Leaves: a
``Calibration``: how much of a prediction to keep (between none, which is the naive forecast, and all) and the
distribution of the errors left. Each is per symbol where a symbol has enough of its own, else per class, else pooled.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Texts = NDArray[np.str_]

POOLED = "*"
_ENOUGH = 250  # errors of one symbol for a distribution of its own
_PRIOR_ROWS = 500  # as many rows as the pooled shrinkage counts against a symbol's own
GRID = np.linspace(-2.0, 2.0, 81)
"""Where the distribution of the errors is kept; no kept prediction is further from 0."""


@dataclass(frozen=True)
class Errors:
    """Errors out of sample in units of the expected move: how many, the interval's ends, the share below ``GRID``."""

    count: int
    low: float
    high: float
    share_below: tuple[float, ...]

    def probability_up(self, kept: Floats) -> Floats:
        """The probability that a predicted move, in units of the expected move, ends above zero."""
        return 1 - np.interp(-kept, GRID, self.share_below)


@dataclass(frozen=True)
class Calibration:
    """Shrinkage and errors by group: a symbol, an asset class as ``*stock``, or ``*`` for all."""

    shrinkage: dict[str, float] = field(default_factory=lambda: {POOLED: 0.0})
    errors: dict[str, Errors] = field(default_factory=dict)

    def shrinkage_of(self, symbol: str, asset_class: str) -> float:
        """Which part of the forest's prediction to keep."""
        return self.shrinkage[next(group for group in groups_of(symbol, asset_class) if group in self.shrinkage)]

    def errors_of(self, symbol: str, asset_class: str) -> Errors:
        """The distribution of the errors."""
        return self.errors[next(group for group in groups_of(symbol, asset_class) if group in self.errors)]

    def dump(self) -> tuple[str, str]:
        """Shrinkage and errors as JSON."""
        return json.dumps(self.shrinkage), json.dumps({group: errors.__dict__ for group, errors in self.errors.items()})

    @classmethod
    def parse(cls, shrinkage: str, errors: str) -> Calibration:
        """The inverse of ``dump``."""
        stored = {
            group: Errors(**{**values, "share_below": tuple(values["share_below"])})
            for group, values in json.loads(errors).items()
        }
        return cls(json.loads(shrinkage), stored)


def groups_of(symbol: str, asset_class: str) -> tuple[str, str, str]:
    """The groups that a symbol's row belongs to, the narrowest first."""
    return symbol, f"{POOLED}{asset_class}", POOLED


def calibrate(
    symbol: Texts, asset_class: Texts, raw: Floats, label: Floats, actual: Floats, coverage: float
) -> Calibration:
    """Fit shrinkage and error distributions.

    Args:
        symbol: of each row.
        asset_class: of each row.
        raw: the forest's prediction, made without having seen the row.
        label: what it was asked for, cut off at extremes.
        actual: what happened, not cut off.
        coverage: nominal coverage of the interval.
    """
    if len(raw) == 0:
        return Calibration()
    shrinkage = _shrinkage(symbol, raw, label)
    kept = np.array([shrinkage.get(one, shrinkage[POOLED]) for one in symbol])
    left = actual - kept * raw
    errors = {group: _errors(left[rows], coverage) for group, rows in _groups(symbol, asset_class)}
    return Calibration(shrinkage, errors)


def _shrinkage(symbol: Texts, raw: Floats, label: Floats) -> dict[str, float]:
    """Least squares of the label on the prediction through the origin, a symbol's own drawn towards the pooled one."""
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


def _errors(left: Floats, coverage: float) -> Errors:
    """Split conformal ends (Vovk et al. 2005), a half of the miscoverage on either side, and the distribution."""
    ordered = np.sort(left)
    count = len(ordered)
    tail = int(np.floor((count + 1) * (1 - coverage) / 2))  # so many errors may lie outside, on either side
    low, high = (ordered[tail - 1], ordered[count - tail]) if tail else (ordered[0], ordered[-1])
    # ties count half: an error of exactly zero is neither up nor down
    below = (np.searchsorted(ordered, GRID, "left") + np.searchsorted(ordered, GRID, "right")) / (2 * count)
    return Errors(count, float(low), float(high), tuple(float(share) for share in below))
