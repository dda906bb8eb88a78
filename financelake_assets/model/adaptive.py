"""Intervals that adapt: a series whose intervals miss too often gets wider ones, and the other way round.

Input: forecasts with intervals in order of time, and what happened. Output: the same forecasts with intervals that are
wider or narrower by a factor, which follows from the outcomes known when each forecast was made. The walk-forward, the
live query and the repair of history use the same function. The factor stands in each row, so the next one follows from
the tables alone: nothing is kept in memory, and a restart changes nothing.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from financelake_assets.model.metrics import Floats

WIDENING = "widening"
"""The column of the factor: 1 is the interval as it was calibrated."""

STEP = 0.1
"""By how much of its logarithm a factor moves for one miss too many.

Chosen by arithmetic and not by data: the coverage of T forecasts differs from the nominal one by the change of the
factor's logarithm over ``STEP·T``. Where errors are independent and normal, that logarithm of an 80 % interval spreads
by 0.13, so the coverage of a year of daily bars of one series by less than one point. A smaller step would let a year
miss by more, and a larger one would make the widths of single intervals say less.
"""


def factors(known: Floats, score: Floats, miss: float, horizon: int) -> Floats:
    """The factor of each forecast of a series, by gradient steps on what was missed.

    ``log w[i] = log w[i-1] + STEP·(err[i-h] - miss)``, where ``err`` is 1 if the outcome of the forecast h before was
    outside its interval: adaptive conformal inference (Gibbs & Candès 2021), with the logarithm of the width in place
    of the level, as the quantile tracker of Angelopoulos, Candès & Tibshirani (2023). So an interval is never empty nor
    endless. For any outcomes, the share of misses of T forecasts differs from ``miss`` by at most
    ``|log w[T] - log w[0]| / (STEP·T)``, and w stays in the range of the scores, a few steps aside.

    Args:
        known: the factors that are given already, in order of time; NaN where one has to be found.
        score: the distance of each outcome from the middle of the calibrated interval, in half its width; NaN where it
            is not known. Only those of earlier forecasts, at least the horizon before, have a part in a factor.
        miss: the nominal share of misses.
        horizon: in forecasts.
    """
    found = np.array(known, dtype=np.float64)
    before = 1.0
    for i in range(len(found)):
        if np.isnan(found[i]):
            judged = i - horizon
            if judged >= 0 and not np.isnan(score[judged]):
                before *= float(np.exp(STEP * (float(score[judged] > found[judged]) - miss)))
            found[i] = before
        before = found[i]
    return found


def widened(rows: pl.DataFrame, horizon: int, reach: timedelta) -> pl.DataFrame:
    """Widen or narrow the intervals of forecasts.

    Args:
        rows: symbol, event_time, ``low`` and ``high`` (ends of the calibrated interval of the return), realised_return
            (null where it is not known), coverage (nominal), and ``WIDENING`` of the forecasts that stand in a table
            already, null for the others.
        horizon: in bars.
        reach: a series begins anew behind a longer gap than this.

    Returns:
        The rows by symbol and time, with ``WIDENING``, and the ends that follow from it.
    """
    ordered = rows.sort("symbol", "event_time")
    begins = (pl.col("event_time").diff() > reach).fill_null(True) | (pl.col("symbol") != pl.col("symbol").shift(1))
    middle, half = (pl.col("low") + pl.col("high")) / 2, (pl.col("high") - pl.col("low")) / 2
    measured = ordered.with_columns(
        _run=begins.fill_null(True).cast(pl.UInt32).cum_sum(),
        _score=((pl.col("realised_return") - middle).abs() / half).fill_nan(None),
    )
    parts = [_factors_of(run, horizon) for run in measured.partition_by("_run", maintain_order=True)]
    found = measured.with_columns(pl.Series(WIDENING, np.concatenate(parts) if parts else [], pl.Float64))
    return found.with_columns(low=middle - pl.col(WIDENING) * half, high=middle + pl.col(WIDENING) * half).drop(
        "_run", "_score"
    )


def _factors_of(run: pl.DataFrame, horizon: int) -> NDArray[np.float64]:
    known, score = (run[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in (WIDENING, "_score"))
    return factors(known, score, 1 - float(run["coverage"][0]), horizon)
