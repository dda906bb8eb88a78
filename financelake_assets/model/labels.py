"""Labels: the return after a bar, and the targets of the forests.

Input: the result of ``features_of``. Output: the same rows with the outcome over the horizon; null if the horizon has
not passed yet, or if a price in between was not positive.
"""

from __future__ import annotations

import math

import polars as pl
import pyarrow as pa

from financelake_assets.intervals import SERIES
from financelake_assets.storage.delta import TIMESTAMP

LABEL = "label"
UP = "up"
SIZE = "size"
TARGET = "target"
"""What the forest of the return learns: the label, or what a plug-in makes of it."""
LARGEST_LABEL = 4.0
"""Training cuts larger moves off at this many standard deviations: a forest averages, and one crash would dominate its
leaf. Evaluation does not cut moves off."""

LABELS = pa.schema(
    {
        "target_time": TIMESTAMP,
        "realised_return": pa.float64(),
        "expected_move": pa.float64(),
        LABEL: pa.float64(),
        UP: pa.float64(),
        SIZE: pa.float64(),
        "delayed_return": pa.float64(),
        "traded_return": pa.float64(),
    }
)
"""The columns that ``labels_of`` adds."""


def labels_of(featured: pl.DataFrame, horizon: int) -> pl.DataFrame:
    """Add the outcome over the horizon.

    Args:
        featured: the result of ``features_of``, whole series of bars.
        horizon: how many bars ahead.

    Returns:
        The same rows, and: ``target_time``, the start of the bar at the horizon; ``realised_return``, the log return
        from this bar's close to that bar's close; ``expected_move``, its expected standard deviation; ``label``, the
        return in such standard deviations, cut off at ``LARGEST_LABEL``; ``up``, 1 if the return is above zero,
        otherwise 0; ``size``, the absolute label; ``delayed_return``, the log return over the same number of bars
        beginning one bar later, from close to close; ``traded_return``, the simple return from open to open, which a
        trade after the bar's close can earn: it begins at the next bar's open and ends the same number of bars later
        (a bar without an open counts with its close). Both are null until those bars exist.
    """
    known = featured.with_columns(
        target_time=_ahead("event_time", horizon),
        realised_return=realised(horizon),
        expected_move=pl.col("bar_volatility") * math.sqrt(horizon),
    )
    scaled = (pl.col("realised_return") / pl.col("expected_move")).clip(-LARGEST_LABEL, LARGEST_LABEL)
    later = [_ahead("log_return", bars) for bars in range(2, horizon + 2)]
    delayed = pl.sum_horizontal(later, ignore_nulls=False)
    # from a close to the same bar's open is within a bar, so no split or dividend lies between
    invented = pl.col("imputed").cast(pl.String).fill_null("").str.contains("open")
    place = pl.when((pl.col("open") > 0) & ~invented).then("open").otherwise("close")
    back = pl.when(pl.col("close") > 0).then((place / pl.col("close")).log())
    grown = (delayed + back.shift(-horizon - 1).over(SERIES) - back.shift(-1).over(SERIES)).exp() - 1
    # a price below zero has no log return, and is a loss that must not be left out
    entry = pl.when(place > 0).then(place)
    raw = place.shift(-horizon - 1).over(SERIES) / entry.shift(-1).over(SERIES) - 1
    return known.with_columns(
        scaled.alias(LABEL),
        (pl.col("realised_return") > 0).cast(pl.Float64).alias(UP),
        scaled.abs().alias(SIZE),
        delayed_return=delayed,
        traded_return=pl.coalesce(grown, raw),
    )


def realised(horizon: int) -> pl.Expr:
    """The log return over the horizon after each bar of sorted series; null where it is not known yet."""
    ahead = [_ahead("log_return", bars) for bars in range(1, horizon + 1)]
    return pl.sum_horizontal(ahead, ignore_nulls=False)


def _ahead(name: str, bars: int) -> pl.Expr:
    return pl.col(name).shift(-bars).over(SERIES)
