"""Whether the best of several strategies earned more than the best of as many worthless ones would.

Input: the daily returns of the strategies on the same days. Output: a p-value. The test of superior predictive ability
of Hansen (2005), "A test for superior predictive ability", Journal of Business & Economic Statistics 23(4): a reality
check (White 2000, Econometrica 68(5)) in which many poor strategies beside a good one do not hide it. Pure.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from financelake_assets.model.metrics import Floats

SAMPLES = 2_000
"""Of the bootstrap: a p-value of 5 % is known to half a point."""

_SEED = 24
_QUIET_LAGS = 5
"""So many small correlations in a row end the search; the article's rule has more than five from 10^25 days on."""


def p_value(returns: Floats, samples: int = SAMPLES, seed: int = _SEED) -> float:
    """How often the best of as many worthless strategies looks at least as good as the best of these.

    Against the strategy that never trades, whose return is zero. With the mean return d of a strategy and its standard
    error w, the statistic is the largest d / w, and zero if all are negative. Its distribution is that of the same
    statistic in stationary bootstrap samples (Politis & Romano 1994; mean length of a block: the longest ``block`` of a
    strategy) of returns whose mean was taken away; a strategy with ``d < -w sqrt(2 log log n)`` keeps its mean, because
    it cannot be the best (Hansen's consistent p-value). The standard errors are those of the bootstrap.

    Args:
        returns: one row a day in order, one column a strategy; in any unit, also one for each strategy.
        samples: of the bootstrap.
        seed: of the samples: the same returns have the same p-value.

    Returns:
        From 0 to 1. A strategy that always earns the same has no standard error and counts for nothing.

    Raises:
        ValueError: there are fewer than three days or no strategy, or a return is not finite.
    """
    days, count = returns.shape
    if days < 3 or not count or not np.isfinite(returns).all():
        raise ValueError(f"{count} strategies on {days} days cannot be judged")
    means = returns.mean(axis=0)
    sampled = _sampled_means(returns, samples, seed)
    errors = np.sqrt(np.mean((sampled - means) ** 2, axis=0))
    known = errors > 1e-12 * np.sqrt(np.mean(returns**2, axis=0))
    if not known.any():
        return 1.0
    means, errors, sampled = means[known], errors[known], sampled[:, known]
    best = max(0.0, float((means / errors).max()))
    poor = means < -errors * math.sqrt(2 * math.log(math.log(days)))
    worthless = ((sampled - np.where(poor, 0.0, means)) / errors).max(axis=1).clip(min=0.0)
    return float(np.mean(worthless >= best))


def block(returns: Floats) -> float:
    """The mean length of a block for the stationary bootstrap of one series' mean: 1 where days do not depend.

    Politis & White (2004), "Automatic block-length selection for the dependent bootstrap", Econometric Reviews 23(1),
    as corrected by Patton, Politis & White (2009), 28(4). Long blocks of independent days make standard errors noisy,
    and a noisy standard error makes the luckiest strategy look better.
    """
    days = len(returns)
    centred = returns - returns.mean()
    most = min(math.ceil(math.sqrt(days)) + _QUIET_LAGS, days - 2)
    covariances = np.array([centred[: days - lag] @ centred[lag:] for lag in range(most + 1)]) / days
    if covariances[0] <= 0:
        return 1.0
    small = np.abs(covariances[1:] / covariances[0]) < 2 * math.sqrt(math.log10(days) / days)
    starts = range(len(small) - _QUIET_LAGS + 1)
    quiet = next((lag for lag in starts if small[lag : lag + _QUIET_LAGS].all()), None)
    last = most if quiet is None else max(quiet, 1)  # the last lag that matters
    lags = np.arange(1, min(2 * last, most) + 1)
    weights = np.clip(2 * (1 - lags / (2 * last)), 0, 1)  # the flat-top kernel
    sum_of_all = covariances[0] + 2 * np.sum(weights * covariances[lags])
    slope = 2 * np.sum(weights * lags * covariances[lags])
    length = (slope**2 / sum_of_all**2) ** (1 / 3) * days ** (1 / 3)
    return float(np.clip(length, 1.0, min(3 * math.sqrt(days), days / 3)))


def _sampled_means(returns: Floats, samples: int, seed: int) -> Floats:
    """The mean of each strategy in each bootstrap sample: one row a sample."""
    days, longest = len(returns), max(block(strategy) for strategy in returns.T)
    random = np.random.default_rng(seed)
    found = np.empty((samples, returns.shape[1]))
    for number in range(samples):
        found[number] = _counts(random, days, 1 / longest) @ returns
    return found / days


def _counts(random: np.random.Generator, days: int, ends: float) -> NDArray[np.float64]:
    """How often a sample has each day: blocks of consecutive days, the first after the last, of geometric lengths."""
    begins = random.random(days) < ends
    begins[0] = True
    of = np.cumsum(begins) - 1
    starts = random.integers(0, days, of[-1] + 1)
    since = np.arange(days) - np.flatnonzero(begins)[of]
    return np.bincount((starts[of] + since) % days, minlength=days).astype(np.float64)
