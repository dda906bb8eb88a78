"""Metrics of a forecast, each beside its naive baseline, as pure functions of arrays.

Input: predictions and outcomes. Output: numbers; NaN if a metric is undefined. The naive forecast is the last price,
which means a return of zero. Docstrings name the source of each formula.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_Z95 = 1.959963984540054
_REPETITIONS = 1_000


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


def skill_interval(error: Floats, naive_error: Floats, period: NDArray[np.datetime64], seed: int = 7) -> Interval:
    """Confidence interval of the skill by the circular block bootstrap (Politis & Romano 1992).

    Rows of one time (several symbols) stay together, and blocks contain successive times. So dependence across symbols
    and over a few bars does not make the interval too narrow.

    Args:
        error: of the forecast.
        naive_error: of the naive forecast.
        period: time of each row; rows of the same time are resampled together.
        seed: of the resampling.
    """
    _, time = np.unique(period, return_inverse=True)
    count = int(time.max()) + 1 if len(time) else 0
    if count < 2:
        return NOWHERE
    ours, naive = (np.bincount(time, one**2).astype(np.float64) for one in (error, naive_error))
    length = max(1, round(count ** (1 / 3)))
    blocks = math.ceil(count / length)
    # compute block sums first: then a repetition only adds the sums of a few blocks
    block_ours, block_naive = (_circular_sums(part, length) for part in (ours, naive))
    starts = np.random.default_rng(seed).integers(0, count, (_REPETITIONS, blocks))
    drawn_ours, drawn_naive = (sums[starts].sum(axis=1) for sums in (block_ours, block_naive))
    if not (drawn_naive > 0).all():
        return NOWHERE
    found = 1 - drawn_ours / drawn_naive
    low, high = np.quantile(found, [0.025, 0.975])
    return Interval(float(low), float(high))


def _circular_sums(values: Floats, length: int) -> Floats:
    """Sums of ``length`` neighbours from every start; after the last value comes the first."""
    running = np.concatenate([[0.0], np.cumsum(np.concatenate([values, values[: length - 1]]))])
    return np.asarray(running[length:] - running[:-length], dtype=np.float64)


def mase(error: Floats, naive_error_in_training: Floats) -> float:
    """Mean absolute scaled error (Hyndman & Koehler 2006): 1 is the naive forecast's error in training."""
    return _quotient(float(np.mean(np.abs(error))), float(np.mean(np.abs(naive_error_in_training))))


def oos_r2(actual: Floats, predicted: Floats, training_mean: Floats) -> float:
    """Out-of-sample R² of returns (Campbell & Thompson 2008), ``1 - Σ(r-r̂)²/Σ(r-r̄)²``, r̄ from the training rows."""
    return 1 - _quotient(float(np.sum((actual - predicted) ** 2)), float(np.sum((actual - training_mean) ** 2)))


def wilson(successes: int, trials: int) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927)."""
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


def t_statistic(found: float, rows: float) -> float:
    """Student's t of a correlation over ``rows`` independent rows."""
    if math.isnan(found) or rows <= 2 or abs(found) >= 1:
        return math.nan
    return found * math.sqrt((rows - 2) / (1 - found**2))


def qlike(volatility: Floats, returns: Floats) -> float:
    """Mean quasi-likelihood loss of a volatility forecast: ``log(s²) + r²/s²``; less is better.

    It ranks forecasts as the unknown true variance would, although a squared return is a noisy measure of it (Patton
    2011).
    """
    return float(np.mean(2 * np.log(volatility) + (returns / volatility) ** 2))


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


def reliability(probability: Floats, happened: NDArray[np.bool_], bins: int = 10) -> list[ReliabilityBin]:
    """Reliability curve in bins of about equally many rows (DeGroot & Fienberg 1983); the ideal is the diagonal."""
    if not len(probability):
        return []
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, bins + 1)))
    place = np.searchsorted(edges[1:-1], probability)
    found = []
    for one in np.unique(place):
        rows = place == one
        count, hits = int(rows.sum()), int(happened[rows].sum())
        interval = wilson(hits, count)
        found.append(ReliabilityBin(count, float(probability[rows].mean()), hits / count, interval.low, interval.high))
    return found


def _quotient(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else math.nan
