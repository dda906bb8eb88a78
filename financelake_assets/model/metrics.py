"""Metrics of a forecast, each beside its naive baseline, as pure functions of arrays.

Input: predictions and outcomes. Output: numbers; NaN if a metric is undefined. The naive forecast is the last price,
which means a return of zero. Docstrings name the source of each formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LIVE_MOVE = pl.coalesce("expected_move", "volatility")
"""The expected move of a row of gold.scorecard; an earlier release kept only the volatility that was predicted."""

_Z95 = 1.959963984540054


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float


NOWHERE = Interval(math.nan, math.nan)


def r2(actual: Floats, predicted: Floats) -> float:
    """Coefficient of determination, ``1 - Σ(y-ŷ)²/Σ(y-ȳ)²``."""
    return 1 - _quotient(float(np.sum((actual - predicted) ** 2)), float(np.sum((actual - np.mean(actual)) ** 2)))


def skill(error: Floats, naive_error: Floats) -> float:
    """Skill score ``1 - MSE/MSE_naive`` (Murphy 1988): 0 is as good as naive, below 0 is worse."""
    return 1 - _quotient(float(np.sum(error**2)), float(np.sum(naive_error**2)))


def mase(error: Floats, naive_error_in_training: Floats) -> float:
    """Mean absolute scaled error (Hyndman & Koehler 2006): 1 is the naive forecast's error in training."""
    return _quotient(float(np.mean(np.abs(error))), float(np.mean(np.abs(naive_error_in_training))))


def oos_r2(actual: Floats, predicted: Floats, training_mean: Floats) -> float:
    """Out-of-sample R² of returns (Campbell & Thompson 2008), ``1 - Σ(r-r̂)²/Σ(r-r̄)²``, r̄ from the training rows."""
    return 1 - _quotient(float(np.sum((actual - predicted) ** 2)), float(np.sum((actual - training_mean) ** 2)))


def wilson(successes: float, trials: float) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927); rows that depend on each other count as fewer."""
    if trials == 0:
        return NOWHERE
    share, z2 = successes / trials, _Z95**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z95 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


@dataclass(frozen=True)
class Direction:
    """Directional accuracy over the rows where the price moved and a move was predicted."""

    calls: int
    hit_rate: float
    interval: Interval
    majority_rate: float


def direction(actual: Floats, predicted: Floats) -> Direction:
    """How often the sign was right, beside a forecast that always gives the more frequent sign of the same rows."""
    called = (actual != 0) & (predicted != 0)
    calls = int(called.sum())
    if calls == 0:
        return Direction(0, math.nan, NOWHERE, math.nan)
    up = actual[called] > 0
    hits = int(np.sum(up == (predicted[called] > 0)))
    share_up = float(np.mean(up))
    return Direction(calls, hits / calls, wilson(hits, calls), max(share_up, 1 - share_up))


def correlation(left: Floats, right: Floats) -> float:
    """Pearson's correlation; of scaled predictions and returns, the information coefficient (IC)."""
    if len(left) < 3 or np.ptp(left) == 0 or np.ptp(right) == 0:
        return math.nan
    return float(np.corrcoef(left, right)[0, 1])


def rank_correlation(left: Floats, right: Floats) -> float:
    """Spearman's correlation, the rank IC; equal values get their mean rank."""
    return correlation(ranks(left), ranks(right))


def ranks(values: Floats) -> Floats:
    """Ranks from 1; equal values get their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=np.float64)


def qlike_losses(volatility: Floats, returns: Floats) -> Floats:
    """The quasi-likelihood loss of each row, ``log(s²) + r²/s²`` of the predicted volatility s and the return r.

    It ranks forecasts as the unknown true variance would, although a squared return is a noisy measure of it (Patton
    2011, "Volatility forecast comparison using imperfect volatility proxies", Journal of Econometrics 160).
    """
    return np.asarray(2 * np.log(volatility) + (returns / volatility) ** 2, dtype=np.float64)


COIN_BRIER = 0.25
"""Brier score of a coin, which always predicts 0.5: the naive forecast of the direction, everywhere in the lake."""


def brier(probability: Floats, happened: NDArray[np.bool_]) -> float:
    """Brier score (1950): the mean squared error of a probability; 0.25 is a coin's."""
    return float(np.mean((probability - happened) ** 2)) if len(probability) else math.nan


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows with about the same predicted probability: count, mean, and how often the price rose, with its interval."""

    rows: int
    predicted: float
    observed: float
    low: float
    high: float


def reliability(
    probability: Floats,
    happened: NDArray[np.bool_],
    interval_of: Callable[[NDArray[np.bool_]], Interval],
    bins: int = 10,
) -> list[ReliabilityBin]:
    """Reliability curve in bins of about equally many rows (DeGroot & Fienberg 1983); the ideal is the diagonal.

    Args:
        probability: stated of each row.
        happened: whether it did.
        interval_of: the interval of how often it happened among some of the rows, which may depend on each other.
        bins: at most so many.
    """
    if not len(probability):
        return []
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, bins + 1)))
    place = np.searchsorted(edges[1:-1], probability)
    found = []
    for one in np.unique(place):
        rows = place == one
        count, hits = int(rows.sum()), int(happened[rows].sum())
        interval = interval_of(rows)
        found.append(ReliabilityBin(count, float(probability[rows].mean()), hits / count, interval.low, interval.high))
    return found


def _quotient(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else math.nan
