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
        beginning one bar later, which a trade after the bar's close can earn (null until that bar exists).
    """
    ahead = [_ahead("log_return", bars) for bars in range(1, horizon + 1)]
    known = featured.with_columns(
        target_time=_ahead("event_time", horizon),
        realised_return=pl.sum_horizontal(ahead, ignore_nulls=False),
        expected_move=pl.col("bar_volatility") * math.sqrt(horizon),
    )
    scaled = (pl.col("realised_return") / pl.col("expected_move")).clip(-LARGEST_LABEL, LARGEST_LABEL)
    later = [_ahead("log_return", bars) for bars in range(2, horizon + 2)]
    return known.with_columns(
        scaled.alias(LABEL),
        (pl.col("realised_return") > 0).cast(pl.Float64).alias(UP),
        scaled.abs().alias(SIZE),
        delayed_return=pl.sum_horizontal(later, ignore_nulls=False),
    )


def _ahead(name: str, bars: int) -> pl.Expr:
    return pl.col(name).shift(-bars).over(SERIES)
