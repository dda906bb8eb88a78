"""Evaluation: out-of-sample predictions to the rows of gold.model_metrics.

Input: one row for each bar and fold, predicted out of sample. Output: metrics by fold, symbol, asset class and over
all, each beside that of the naive forecast, with the answers of ``judgement``. Fold 0 is the holdout, which no choice
used. The verdicts depend on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from financelake_assets.model import inference, judgement, metrics
from financelake_assets.model.calibration import POOLED

ALL = "ALL"
HOLDOUT = 0


@dataclass(frozen=True)
class Judged:
    """Out-of-sample rows, and the settings for their evaluation.

    ``rows`` has symbol, asset_class, event_time, fold, held_out, price, realised_return, predicted_return,
    delayed_return, traded_return, expected_move, low and high (ends of the interval of the return), probability_up,
    volatility, naive_volatility, training_mean (mean of the symbol's returns in the fold's training data; null if there
    are none), training_naive (their mean absolute change of price) and execution_bps (cost of one execution, slippage
    included).
    """

    rows: pl.DataFrame
    horizon: int
    coverage: float


def evaluate(judged: Judged, *, holdout_alone: bool = False) -> list[dict[str, Any]]:
    """Metrics of every fold, and of the holdout as fold 0, by symbol, asset class (``*stock``) and over all.

    A price metric of several symbols is the mean of the symbols' metrics, weighted by rows: in a sum over prices of
    different size, the most expensive symbol would dominate. The verdicts on the symbols of a fold are adjusted for the
    number of symbols, and those on its classes for the number of classes.

    Args:
        judged: out-of-sample rows.
        holdout_alone: leave the folds out, which take most of the time.
    """
    found = []
    # the mean return that was known of a symbol that no row was learnt of is the naive forecast's
    known = judged.rows.with_columns(pl.col("training_mean").fill_null(0.0).fill_nan(0.0))
    for fold, rows in _folds(known, holdout_alone=holdout_alone):
        own = {str(symbol[0]): part for symbol, part in rows.sort("symbol", "event_time").group_by("symbol")}
        single = {symbol: _one(part, judged) for symbol, part in sorted(own.items())}
        symbols = [
            {"fold": fold, "symbol": symbol, "asset_class": own[symbol]["asset_class"][0], **row}
            for symbol, row in single.items()
        ]
        groups = []
        for group, asset_class, members in _groups(own):
            together = pl.concat([own[symbol] for symbol in members])
            row = _several(together, [single[symbol] for symbol in members], judged)
            groups.append({"fold": fold, "symbol": group, "asset_class": asset_class, **row})
        for family in (symbols, groups[:-1], groups[-1:]):
            found += judgement.verdicts(family)
    return found


def _folds(rows: pl.DataFrame, *, holdout_alone: bool) -> Iterator[tuple[int, pl.DataFrame]]:
    held_out = rows.filter("held_out")
    if len(held_out):
        yield HOLDOUT, held_out
    for fold in [] if holdout_alone else rows["fold"].unique().sort():
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
    return {
        "r2_price": metrics.r2(next_price, next_price - error),
        "r2_price_naive": metrics.r2(next_price, price),
        "mase": metrics.mase(error, _array(rows, "training_naive")),
        "mase_naive": metrics.mase(naive, _array(rows, "training_naive")),
        **_returns(rows, judged),
    }


def _several(rows: pl.DataFrame, single: list[dict[str, Any]], judged: Judged) -> dict[str, Any]:
    """Metrics of several symbols together."""
    weights = np.array([one["rows"] for one in single], dtype=float)
    averaged = ("r2_price", "r2_price_naive", "mase", "mase_naive")
    means = {name: _mean([one[name] for one in single], weights) for name in averaged}
    return {**means, **_returns(rows, judged)}


def _returns(rows: pl.DataFrame, judged: Judged) -> dict[str, Any]:
    """Metrics of returns, for one symbol or several."""
    actual, predicted = (_array(rows, name) for name in ("realised_return", "predicted_return"))
    inside = ((actual >= _array(rows, "low")) & (actual <= _array(rows, "high"))).astype(np.float64)
    days, overlap = judgement.days(rows), judgement.overlap(rows, judged.horizon)
    covered = judgement.proportion(inside, days, overlap)
    mean = _array(rows, "training_mean")
    explained = inference.skill(actual - predicted, actual - mean, days, overlap).interval
    return {
        "rows": len(rows),
        "start": rows["event_time"].min(),
        "end": rows["event_time"].max(),
        **judgement.judge(rows, judged.horizon),
        **_direction(rows, judged),
        **_correlations(rows, judged),
        "oos_r2_return": metrics.oos_r2(actual, predicted, mean),
        "oos_r2_return_low": explained.low,
        "oos_r2_return_high": explained.high,
        **_volatility(rows, judged),
        "brier": metrics.brier(_array(rows, "probability_up"), actual > 0),
        "brier_naive": metrics.COIN_BRIER,
        "coverage": float(np.mean(inside)),
        "coverage_low": covered.low,
        "coverage_high": covered.high,
        "coverage_nominal": judged.coverage,
        "interval_width": float(np.mean(np.exp(_array(rows, "high")) - np.exp(_array(rows, "low")))),
    }


def _direction(rows: pl.DataFrame, judged: Judged) -> dict[str, Any]:
    """How often the direction was right; rows that depend on each other count as the fewer that they are worth."""
    called = rows.filter(pl.col("realised_return") != 0, pl.col("predicted_return") != 0)
    actual, predicted = _array(called, "realised_return"), _array(called, "predicted_return")
    direction = metrics.direction(actual, predicted)
    hits = ((actual > 0) == (predicted > 0)).astype(np.float64)
    interval = judgement.proportion(hits, judgement.days(called), judgement.overlap(called, judged.horizon))
    return {
        "hit_rate": direction.hit_rate,
        "hit_rate_low": interval.low,
        "hit_rate_high": interval.high,
        "majority_rate": direction.majority_rate,
        "calls": direction.calls,
    }


def _volatility(rows: pl.DataFrame, judged: Judged) -> dict[str, Any]:
    """The loss of the predicted volatility beside that of the recent realised one, and how much less it is."""
    actual = _array(rows, "realised_return")
    losses, naive = (metrics.qlike_losses(_array(rows, name), actual) for name in ("volatility", "naive_volatility"))
    gain = inference.mean(naive - losses, judgement.days(rows), judgement.overlap(rows, judged.horizon))
    return {
        "qlike": float(np.mean(losses)),
        "qlike_naive": float(np.mean(naive)),
        "qlike_gain": float(np.mean(naive - losses)),
        "qlike_gain_low": gain.interval.low,
        "qlike_gain_high": gain.interval.high,
    }


def _correlations(rows: pl.DataFrame, judged: Judged) -> dict[str, Any]:
    """The information coefficients with t statistics that allow for dependence within and across days."""
    found: dict[str, Any] = {}
    for name, outcome, ranked in (
        ("ic", "realised_return", False),
        ("rank_ic", "realised_return", True),
        ("delayed_ic", "delayed_return", False),
    ):
        known = rows.drop_nulls(outcome)
        sides = [judgement.moves(known, side) for side in ("predicted_return", outcome)]
        left, right = (metrics.ranks(side) for side in sides) if ranked else sides
        estimate = inference.correlation(left, right, judgement.days(known), judgement.overlap(known, judged.horizon))
        found |= {name: metrics.correlation(left, right), f"{name}_t": estimate.t}
    return found


def _array(rows: pl.DataFrame, name: str) -> metrics.Floats:
    return rows[name].cast(pl.Float64).to_numpy()


def _mean(values: list[float], weights: metrics.Floats) -> float:
    known = ~np.isnan(values)
    return float(np.average(np.array(values)[known], weights=weights[known])) if known.any() else math.nan
