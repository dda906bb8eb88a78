"""Evaluation: out-of-sample predictions to the rows of gold.model_metrics, and the verdict in words.

Input: one row for each bar and fold, predicted out of sample. Output: metrics by fold, symbol, asset class and over
all, each beside that of the naive forecast. Fold 0 is the holdout: the latest part of each symbol, which no choice
used. The verdict depends on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import polars as pl

from financelake_assets.model import metrics
from financelake_assets.model.calibration import POOLED

ALL = "ALL"
HOLDOUT = 0
_LEAST_ROWS = 100
_DELAYED = ("predicted_return", "delayed_return")


class Verdict(StrEnum):
    """Whether the model predicts returns better than the naive forecast, by the skill's 95 % interval."""

    EDGE = "edge"
    NO_EDGE = "no edge"
    NOT_ENOUGH_DATA = "not enough data"


@dataclass(frozen=True)
class Judged:
    """Out-of-sample rows, and the settings for their evaluation.

    ``rows`` has symbol, asset_class, event_time, fold, held_out, price, realised_return, predicted_return,
    delayed_return, expected_move, low and high (ends of the interval of the return), probability_up, volatility,
    training_mean (mean of the symbol's returns in the fold's training data) and training_naive (their mean absolute
    change of price).
    """

    rows: pl.DataFrame
    horizon: int
    coverage: float


def verdict(rows: int, interval: metrics.Interval) -> Verdict:
    """The verdict on a skill, from its interval."""
    if rows < _LEAST_ROWS or math.isnan(interval.low):
        return Verdict.NOT_ENOUGH_DATA
    return Verdict.EDGE if interval.low > 0 else Verdict.NO_EDGE


def evaluate(judged: Judged) -> list[dict[str, Any]]:
    """Metrics of every fold, and of the holdout as fold 0, by symbol, asset class (``*stock``) and over all.

    A price metric of several symbols is the mean of the symbols' metrics, weighted by rows: in a sum over prices of
    different size, the most expensive symbol would dominate.
    """
    found = []
    for fold, rows in _folds(judged.rows):
        own = {str(symbol[0]): part for symbol, part in rows.sort("symbol", "event_time").group_by("symbol")}
        single = {symbol: _one(part, judged) for symbol, part in sorted(own.items())}
        for symbol, row in single.items():
            found.append({"fold": fold, "symbol": symbol, "asset_class": own[symbol]["asset_class"][0], **row})
        for group, asset_class, members in _groups(own):
            together = pl.concat([own[symbol] for symbol in members])
            row = _several(together, [single[symbol] for symbol in members], judged)
            found.append({"fold": fold, "symbol": group, "asset_class": asset_class, **row})
    return found


def _folds(rows: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame]]:
    held_out = rows.filter("held_out")
    if len(held_out):
        yield HOLDOUT, held_out
    for fold in rows["fold"].unique().sort():
        yield int(fold), rows.filter(pl.col("fold") == fold)


def _groups(own: dict[str, pl.DataFrame]) -> Iterator[tuple[str, str | None, list[str]]]:
    classes = {symbol: str(part["asset_class"][0]) for symbol, part in own.items()}
    for asset_class in sorted(set(classes.values())):
        yield f"{POOLED}{asset_class}", asset_class, sorted(s for s, c in classes.items() if c == asset_class)
    yield ALL, None, sorted(own)


def _one(rows: pl.DataFrame, judged: Judged) -> dict[str, Any]:
    """Metrics of one symbol."""
    price, actual, predicted = (_array(rows, name) for name in ("price", "realised_return", "predicted_return"))
    next_price = price * np.exp(actual)
    error, naive = next_price - price * np.exp(predicted), next_price - price
    interval = metrics.skill_interval(error, naive, rows["event_time"].to_numpy())
    return {
        "r2_price": metrics.r2(next_price, next_price - error),
        "r2_price_naive": metrics.r2(next_price, price),
        "skill": metrics.skill(error, naive),
        "mase": metrics.mase(error, _array(rows, "training_naive")),
        "mase_naive": metrics.mase(naive, _array(rows, "training_naive")),
        **_returns(rows, judged),
        **_judgement(len(rows), interval),
    }


def _several(rows: pl.DataFrame, single: list[dict[str, Any]], judged: Judged) -> dict[str, Any]:
    """Metrics of several symbols together."""
    price, actual, predicted = (_array(rows, name) for name in ("price", "realised_return", "predicted_return"))
    next_price = price * np.exp(actual)
    naive = next_price - price
    squares = rows.select("symbol", pl.Series("naive", naive) ** 2)
    scale = np.sqrt(squares.select(pl.col("naive").mean().over("symbol")).to_series().to_numpy())
    scale = np.where(scale > 0, scale, 1.0)
    error = (next_price - price * np.exp(predicted)) / scale
    interval = metrics.skill_interval(error, naive / scale, rows["event_time"].to_numpy())
    weights = np.array([one["rows"] for one in single], dtype=float)
    averaged = ("r2_price", "r2_price_naive", "mase", "mase_naive")
    means = {name: _mean([one[name] for one in single], weights) for name in averaged}
    return {
        **means,
        "skill": metrics.skill(error, naive / scale),
        **_returns(rows, judged),
        **_judgement(len(rows), interval),
    }


def _returns(rows: pl.DataFrame, judged: Judged) -> dict[str, Any]:
    """Metrics of returns, for one symbol or several."""
    actual, predicted, move = (_array(rows, name) for name in ("realised_return", "predicted_return", "expected_move"))
    low, high = _array(rows, "low"), _array(rows, "high")
    direction = metrics.direction(actual, predicted)
    ic, rank_ic = (f(predicted / move, actual / move) for f in (metrics.correlation, metrics.rank_correlation))
    independent = len(rows) / judged.horizon  # labels of adjacent bars overlap
    later = rows.drop_nulls("delayed_return")
    delayed_ic = metrics.correlation(*(_array(later, name) / _array(later, "expected_move") for name in _DELAYED))
    return {
        "rows": len(rows),
        "start": rows["event_time"].min(),
        "end": rows["event_time"].max(),
        "oos_r2_return": metrics.oos_r2(actual, predicted, _array(rows, "training_mean")),
        "hit_rate": direction.hit_rate,
        "hit_rate_low": direction.interval.low,
        "hit_rate_high": direction.interval.high,
        "majority_rate": direction.majority_rate,
        "calls": direction.calls,
        "ic": ic,
        "ic_t": metrics.t_statistic(ic, independent),
        "rank_ic": rank_ic,
        "rank_ic_t": metrics.t_statistic(rank_ic, independent),
        "delayed_ic": delayed_ic,
        "delayed_ic_t": metrics.t_statistic(delayed_ic, len(later) / judged.horizon),
        "qlike": metrics.qlike(_array(rows, "volatility"), actual),
        "qlike_naive": metrics.qlike(move, actual),
        "brier": metrics.brier(_array(rows, "probability_up"), actual > 0),
        "brier_naive": metrics.COIN_BRIER,
        "coverage": float(np.mean((actual >= low) & (actual <= high))),
        "coverage_nominal": judged.coverage,
        "interval_width": float(np.mean(np.exp(high) - np.exp(low))),
    }


def _judgement(rows: int, interval: metrics.Interval) -> dict[str, Any]:
    return {"skill_low": interval.low, "skill_high": interval.high, "verdict": verdict(rows, interval).value}


def _array(rows: pl.DataFrame, name: str) -> metrics.Floats:
    return rows[name].cast(pl.Float64).to_numpy()


def _mean(values: list[float], weights: metrics.Floats) -> float:
    known = ~np.isnan(values)
    return float(np.average(np.array(values)[known], weights=weights[known])) if known.any() else math.nan
