"""Inference of means and ratios over bars that depend on each other, as pure functions of arrays.

Input: one number a bar, the bar's cluster (its day) and over how many clusters labels overlap. Output: estimates with
a standard error, degrees of freedom and an interval. Bars of one day count as one observation, whatever the number of
symbols; days may depend on each other. Sources are named where a formula is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, special

from financelake_assets.model.metrics import NOWHERE, Floats, Interval

LEVEL = 0.05
"""Size of a two-sided test, and the share that a 95 % interval leaves out."""

POWER = 0.8
"""How often a test must find an edge for the edge to count as one that the data could have shown."""

LEAST_CLUSTERS = 20
"""Of fewer days than this nothing is inferred."""

Clusters = NDArray[np.generic]
"""What tells rows of one cluster from those of another, and orders the clusters in time: the day of each row."""


@dataclass(frozen=True)
class Estimate:
    """A mean or ratio with what is known of it.

    ``error`` is its standard error and ``freedom`` the degrees of freedom of Student's t that it is judged by. All are
    NaN where nothing can be said.
    """

    value: float
    error: float
    freedom: float

    @property
    def known(self) -> bool:
        """Whether anything can be said."""
        return not math.isnan(self.error)

    @property
    def t(self) -> float:
        """The value in standard errors; 0 where there is nothing to tell apart."""
        if not self.known:
            return math.nan
        return self.value / self.error if self.error > 0 else 0.0

    @property
    def p(self) -> float:
        """Two-sided p-value of the value being zero."""
        return two_sided(self.t, self.freedom)

    @property
    def interval(self) -> Interval:
        """The 95 % confidence interval."""
        if not self.known:
            return NOWHERE
        half = quantile(self.freedom, 1 - LEVEL / 2) * self.error
        return Interval(self.value - half, self.value + half)

    @property
    def detectable(self) -> float:
        """The smallest true value that the test finds in 80 of 100 cases (Bloom 1995): ``(t₀.₉₇₅ + t₀.₈)·error``."""
        if not self.known:
            return math.nan
        return (quantile(self.freedom, 1 - LEVEL / 2) + quantile(self.freedom, POWER)) * self.error


UNKNOWN = Estimate(math.nan, math.nan, math.nan)


def two_sided(t: float, freedom: float) -> float:
    """Two-sided p-value of a t statistic; NaN for one that is unknown."""
    return math.nan if math.isnan(t) else float(2 * special.stdtr(freedom, -abs(t)))


def quantile(freedom: float, share: float) -> float:
    """Quantile of Student's t."""
    return float(special.stdtrit(freedom, share))


def mean(values: Floats, cluster: Clusters, overlap: int) -> Estimate:
    """The mean of the rows; see ``ratio``."""
    return ratio(values, np.ones(len(values)), cluster, overlap)


def ratio(numerator: Floats, denominator: Floats, cluster: Clusters, overlap: int) -> Estimate:
    """``Σ numerator / Σ denominator`` with a standard error that allows for dependence within and across days.

    The residual ``numerator - ratio·denominator`` is summed over the rows of each day, which allows for any dependence
    among symbols (Driscoll & Kraay 1998). The long-run variance of the daily sums is that of equally weighted cosines
    (EWC): ``Ω = 1/B Σ_j Λ_j²`` with ``Λ_j = √(2/T) Σ_t z_t cos(πj(t-½)/T)``, judged by Student's t with B degrees of
    freedom, where ``B = 0.41·T^(2/3)`` (Lazarus, Lewis, Stock & Watson 2018). Labels that overlap make the sums a
    moving average, which is flat only at frequencies below half of one over the overlap: B is at most T/(2·overlap).

    Args:
        numerator: one number a row.
        denominator: one number a row, with a positive sum.
        cluster: the day of each row, comparable in time.
        overlap: over how many days a label reaches; 1 is none.

    Returns:
        The estimate; unknown for fewer than ``LEAST_CLUSTERS`` days, or a denominator that does not sum to more than 0.
    """
    days, place = np.unique(cluster, return_inverse=True)
    total, count = float(np.sum(denominator)), len(days)
    freedom = cosines(count, overlap)
    if count < LEAST_CLUSTERS or freedom < 2 or not total > 0:
        return UNKNOWN
    value = float(np.sum(numerator)) / total
    sums = np.asarray(np.bincount(place, numerator - value * denominator, count), dtype=np.float64)
    return Estimate(value, math.sqrt(count * long_run_variance(sums, freedom)) / total, float(freedom))


def cosines(count: int, overlap: int) -> int:
    """How many cosines estimate the long-run variance of so many days: see ``ratio``."""
    return int(min(0.41 * count ** (2 / 3), count / (2 * overlap)))


def long_run_variance(values: Floats, cosines: int) -> float:
    """Long-run variance of a series of mean zero by equally weighted cosines; see ``ratio``.

    The cosines are coefficients of a discrete cosine transform: as a table, those of a year of minutes would fill
    gigabytes.
    """
    return float(np.mean(fft.dct(values, norm="ortho")[1 : cosines + 1] ** 2))


def clark_west(actual: Floats, predicted: Floats, nested: Floats, cluster: Clusters, overlap: int) -> Estimate:
    """The mean of Clark & West (2007): above zero when the forecast predicts what the nested one does not.

    A forecast that has to estimate what is zero in truth has the larger squared error by its own noise,
    ``(nested - predicted)²``, which the test takes out:
    ``f = (y - nested)² - (y - predicted)² + (nested - predicted)²``.

    Args:
        actual: what happened.
        predicted: the forecast.
        nested: the forecast that is a special case of it: zero, or the mean of the training rows.
        cluster: see ``ratio``.
        overlap: see ``ratio``.
    """
    noise = (nested - predicted) ** 2
    return mean((actual - nested) ** 2 - (actual - predicted) ** 2 + noise, cluster, overlap)


def skill(error: Floats, naive_error: Floats, cluster: Clusters, overlap: int) -> Estimate:
    """Skill ``1 - MSE/MSE_naive`` (Murphy 1988) with the test of Diebold & Mariano (1995) as its standard error.

    Args:
        error: of the forecast.
        naive_error: of the naive forecast.
        cluster: see ``ratio``.
        overlap: see ``ratio``.
    """
    return ratio(naive_error**2 - error**2, naive_error**2, cluster, overlap)


def correlation(left: Floats, right: Floats, cluster: Clusters, overlap: int) -> Estimate:
    """Pearson's correlation with a standard error that allows for dependence, by its influence function.

    That of a row is ``ab - r(a² + b²)/2`` for standardised a and b (Devlin, Gnanadesikan & Kettenring 1975).
    """
    if len(left) < 3 or np.ptp(left) == 0 or np.ptp(right) == 0:
        return UNKNOWN
    a, b = ((side - np.mean(side)) / np.std(side) for side in (left, right))
    found = float(np.mean(a * b))
    spread = mean(a * b - found * (a**2 + b**2) / 2, cluster, overlap)
    return Estimate(found, spread.error, spread.freedom)


def effective_rows(rows: int, share: Estimate) -> float:
    """How many independent rows tell as much of a share as so many dependent ones (Kish 1965): ``p(1-p)/error²``.

    Args:
        rows: how many there are; never more come out.
        share: the estimated share.
    """
    if not share.known or share.error == 0:
        return float(rows)
    return min(float(rows), share.value * (1 - share.value) / share.error**2)


def false_discovery(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for having looked at all of them (Benjamini & Hochberg 1995); NaN stays NaN, and is none.

    Of those at most 5 % when adjusted, 5 % are false on average.
    """
    from scipy.stats import false_discovery_control  # heavy, and only a training asks

    values = np.array(p_values, dtype=np.float64)
    known = ~np.isnan(values)
    if known.any():
        values[known] = false_discovery_control(values[known])
    return [float(value) for value in values]


def overlap_in_days(symbol: NDArray[np.str_], day: Clusters, horizon: int) -> int:
    """Over how many of the days that there are a label of some symbol reaches: the median of the widest symbol.

    Bars of a day count as one, so intraday labels overlap less; a symbol that trades on fewer days than another reaches
    over more of them.

    Args:
        symbol: of each row.
        day: of each row.
        horizon: in bars of the symbol.
    """
    _, place = np.unique(day, return_inverse=True)
    widest = 1
    for one in np.unique(symbol):
        own = np.sort(place[symbol == one])
        if len(own) > horizon:
            widest = max(widest, math.ceil(float(np.median(own[horizon:] - own[:-horizon]))))
    return widest
