"""Statistics of an equity curve and of trades, as pure functions of arrays; NaN where a statistic is undefined.

Input: equity at each step, or returns from step to step. Output: numbers. The risk-free rate is zero. Docstrings name
the source of each formula.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_EULER = 0.5772156649015329
_NORMAL = NormalDist()


def returns(equity: Floats) -> Floats:
    """Simple returns from step to step, without the steps after the equity reached zero."""
    ruined = np.flatnonzero(equity <= 0)
    alive = equity[: ruined[0] + 1] if len(ruined) else equity
    return np.asarray(alive[1:] / alive[:-1] - 1, dtype=np.float64) if len(alive) > 1 else np.empty(0)


def yearly_return(found: Floats, a_year: float) -> float:
    """Compound growth per year."""
    if len(found) == 0:
        return math.nan
    grown = float(np.prod(1 + found))
    return float(grown ** (a_year / len(found)) - 1) if grown > 0 else -1.0


def yearly_volatility(found: Floats, a_year: float) -> float:
    """Yearly standard deviation of the returns."""
    return float(np.std(found, ddof=1) * math.sqrt(a_year)) if len(found) > 1 else math.nan


def sharpe(found: Floats, a_year: float = 1.0) -> float:
    """Mean over standard deviation (Sharpe 1966)."""
    if len(found) < 2:
        return math.nan
    return _quotient(float(np.mean(found)), float(np.std(found, ddof=1))) * math.sqrt(a_year)


def rolling_sharpe(found: Floats, window: int, a_year: float) -> Floats:
    """The yearly Sharpe ratio of the last ``window`` returns at each return; NaN before there are so many.

    Args:
        found: returns.
        window: how many returns, at least 2.
        a_year: returns a year.
    """
    ratios = np.full(len(found), np.nan)
    if len(found) >= window:
        windows = np.lib.stride_tricks.sliding_window_view(found, window)
        mean, spread = np.mean(windows, axis=1), np.std(windows, axis=1, ddof=1)
        # equal returns have no spread, whatever a rounding error says
        spread[np.ptp(windows, axis=1) == 0] = np.nan
        ratios[window - 1 :] = mean / spread * math.sqrt(a_year)
    return ratios


def sortino(found: Floats, a_year: float = 1.0) -> float:
    """Mean over the root mean square of the losses, where gains count as zero (Sortino & Price 1994)."""
    if len(found) < 2:
        return math.nan
    downside = math.sqrt(float(np.mean(np.minimum(found, 0.0) ** 2)))
    return _quotient(float(np.mean(found)), downside) * math.sqrt(a_year)


def max_drawdown(found: Floats) -> float:
    """The largest fall from an earlier peak, as a negative share."""
    if len(found) == 0:
        return math.nan
    curve = np.concatenate([[1.0], np.cumprod(1 + found)])
    return float(np.min(curve / np.maximum.accumulate(curve) - 1))


def calmar(found: Floats, a_year: float) -> float:
    """Yearly return over the maximum drawdown (Young 1991)."""
    return _quotient(yearly_return(found, a_year), -max_drawdown(found))


def win_rate(profits: Floats) -> float:
    """Share of closed positions with a profit."""
    return float(np.mean(profits > 0)) if len(profits) else math.nan


def profit_factor(profits: Floats) -> float:
    """Total profit of the positions that won over the total loss of those that lost."""
    return _quotient(float(profits[profits > 0].sum()), -float(profits[profits < 0].sum()))


def probabilistic_sharpe(found: Floats, benchmark: float = 0.0) -> float:
    """Probability that the true Sharpe ratio is above a benchmark (Bailey & López de Prado 2012).

    Args:
        found: returns.
        benchmark: a Sharpe ratio per step, not per year.
    """
    if len(found) < 4:
        return math.nan
    ratio = sharpe(found)
    spread = found - np.mean(found)
    deviation = math.sqrt(float(np.mean(spread**2)))
    if math.isnan(ratio) or deviation == 0:
        return math.nan
    skewness = float(np.mean(spread**3)) / deviation**3
    kurtosis = float(np.mean(spread**4)) / deviation**4
    variance = 1 - skewness * ratio + (kurtosis - 1) / 4 * ratio**2
    if variance <= 0:
        return math.nan
    return _NORMAL.cdf((ratio - benchmark) * math.sqrt((len(found) - 1) / variance))


def expected_best_sharpe(variance: float, trials: int) -> float:
    """The expected Sharpe ratio per step of the best of ``trials`` worthless strategies.

    Args:
        variance: of the trials' Sharpe ratios, per step.
        trials: how many strategies were tried.
    """
    if trials < 2:
        return 0.0
    first, second = _NORMAL.inv_cdf(1 - 1 / trials), _NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * ((1 - _EULER) * first + _EULER * second)


def deflated_sharpe(found: Floats, variance: float, trials: int) -> float:
    """Probability that the Sharpe ratio is real though the strategy is the best of many (Bailey & López de Prado 2014).

    Args:
        found: returns of the chosen strategy.
        variance: of the Sharpe ratios, per step, of all strategies that were tried.
        trials: how many were tried.
    """
    return probabilistic_sharpe(found, expected_best_sharpe(variance, trials))


def _quotient(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else math.nan
