"""Intervals that adapt in gold: the factor of each new prediction follows from the predictions before it.

Input: new predictions, the bars around them, and the series' earlier rows of gold.predictions. Output: the new ones
with their factor (``widening``) and the interval that follows from it, as ``model.adaptive`` says. The state is in the
table, so a repeated batch and a restart give the same rows.
"""

from __future__ import annotations

import polars as pl

from financelake_assets.gold.schema import PREDICTIONS
from financelake_assets.intervals import SERIES
from financelake_assets.model import features
from financelake_assets.model.adaptive import WIDENING, widened
from financelake_assets.model.labels import realised
from financelake_assets.model.record import ModelRecord
from financelake_assets.silver.schema import BARS

_BAR_KEY = list(BARS.key)
COLUMNS = (*_BAR_KEY, "horizon", "close", "lower", "upper", "coverage", WIDENING, "model_version", "as_of")
EARLIER = PREDICTIONS.empty.select(COLUMNS)
"""No earlier predictions: each series begins with its intervals as they are calibrated."""


def adapted(made: pl.DataFrame, featured: pl.DataFrame, earlier: pl.DataFrame, record: ModelRecord) -> pl.DataFrame:
    """Widen or narrow the intervals of new predictions.

    Args:
        made: rows of gold.predictions of one interval, with intervals as they were calibrated.
        featured: the result of ``features_of`` for the bars of their series, from the horizon before the first on.
        earlier: rows of gold.predictions of these series, from at least the horizon before the first on, with
            ``COLUMNS``; other versions' too.
        record: the version that made them.

    Returns:
        ``made`` with ``WIDENING``, lower and upper.
    """
    if made.is_empty():
        return made.with_columns(pl.lit(None, pl.Float64).alias(WIDENING))
    middle, half = (pl.col("low") + pl.col("high")) / 2, (pl.col("high") - pl.col("low")) / 2
    ends = {"low": (pl.col("lower") / pl.col("close")).log(), "high": (pl.col("upper") / pl.col("close")).log()}
    factor = pl.col(WIDENING).fill_null(1.0)  # an earlier release's intervals are as they were calibrated
    own = pl.col("model_version") == record.model_version
    stored = (
        earlier.filter(pl.col("horizon") == record.horizon)
        .join(made.select(_BAR_KEY).with_columns(_new=pl.lit(True)), on=_BAR_KEY, how="left")
        .filter(own | pl.col("_new").is_null())
        .sort(own, "as_of")  # where two versions predicted a bar, the later one counts
        .unique(_BAR_KEY, keep="last", maintain_order=True)
        .with_columns(**ends)
        .with_columns(low=middle - half / factor, high=middle + half / factor)
        .with_columns(factor.alias(WIDENING))
    )
    new = (
        made.join(stored, on=_BAR_KEY, how="anti")
        .with_columns(**ends)
        .with_columns(pl.lit(None, pl.Float64).alias(WIDENING))
    )
    names = (*_BAR_KEY, "coverage", "low", "high", WIDENING)
    both = pl.concat([stored.select(names), new.select(names)])
    ordered = featured.sort(*SERIES, "event_time")
    outcomes = ordered.select(*_BAR_KEY, realised_return=realised(record.horizon))
    known = both.join(outcomes, on=_BAR_KEY, how="left")
    found = widened(known, record.horizon, features.reach(record.interval)).select(*_BAR_KEY, "low", "high", WIDENING)
    return (
        made.drop("lower", "upper", WIDENING, strict=False)
        .join(found, on=_BAR_KEY, how="left", maintain_order="left")
        .with_columns(
            lower=pl.col("close") * pl.col("low").exp(),
            upper=pl.col("close") * pl.col("high").exp(),
        )
        .drop("low", "high")
    )
