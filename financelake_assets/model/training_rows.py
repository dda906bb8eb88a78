"""Training rows: bars → features and labels, as Spark rows for the forests and as a frame for the evaluation.

Input: silver bars of one interval. Output: the rows that can be predicted; those whose label is not null can be learnt.
The bars of most markets fit in this process, and polars computes them at once. Spark's workers compute a larger market,
a series each. Both apply the same pure functions, so the rows are the same to the last bit.
"""

from __future__ import annotations

import polars as pl
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from financelake_assets.config import ModelSettings, Settings
from financelake_assets.model.feature_frames import by_series
from financelake_assets.model.features import ADDED, FEATURES, SYMBOL_WEEKDAY, features_of
from financelake_assets.model.labels import LABEL, LABELS, SIZE, UP, labels_of
from financelake_assets.model.markets import Market
from financelake_assets.model.pipeline import local
from financelake_assets.silver.schema import BARS

MOST_LOCAL_BARS = 500_000
"""A market with more bars is computed by Spark: that many take 1 GB of this process."""

KEY = ("symbol", "asset_class", "event_time")
"""The key of labelled rows; all have the same interval."""

_LATER = ("delayed_return", "traded_return")
FACTS = (*KEY, "target_time", "price", "realised_return", *_LATER, "expected_move", LABEL)
"""What the evaluation needs of a row."""

_COLUMNS = (*FACTS, UP, SIZE, *FEATURES, SYMBOL_WEEKDAY)
_PARTITIONS = 2

Bars = DataFrame | pl.DataFrame
"""Silver bars of one interval: in Spark, or in this process."""


def read_bars(session: SparkSession, settings: Settings, version: int, market: Market) -> Bars:
    """Silver's bars of a market at a Delta version; in this process if there are at most ``MOST_LOCAL_BARS``."""
    own = BARS.scan(settings, version).filter(pl.col("interval") == market.interval)
    if own.select(pl.len()).collect().item() <= MOST_LOCAL_BARS:
        return own.collect()
    bars = session.read.format("delta").option("versionAsOf", version).load(BARS.path(settings))
    return bars.where(F.col("interval") == market.interval)


def scorable_rows(session: SparkSession, bars: Bars, settings: ModelSettings) -> DataFrame:
    """The rows that can be predicted, with features and labels, computed once; a label is null if it is not known yet.

    Args:
        session: the session of ``bars``.
        bars: whole series.
        settings: the symbols and the horizon.
    """
    rows = _in_process(session, bars, settings) if isinstance(bars, pl.DataFrame) else _in_spark(bars, settings)
    # a forest's samples depend on the order of rows: sort them, because silver's files have no fixed order
    parts = ("symbol", "event_time")
    ordered = rows.select(*_COLUMNS).repartition(_PARTITIONS, *parts).sortWithinPartitions(*parts)
    # otherwise every job of every fit would compute the rows again
    return ordered.localCheckpoint()


def facts_of(rows: DataFrame) -> pl.DataFrame:
    """``FACTS`` of the rows, in UTC without a zone."""
    return local(rows.select(*FACTS))


def _in_process(session: SparkSession, bars: pl.DataFrame, settings: ModelSettings) -> DataFrame:
    own = bars.filter(pl.col("symbol").is_in(list(settings.symbols))) if settings.symbols else bars
    rows = labels_of(features_of(own), settings.horizon).filter("scorable").select(_COLUMNS)
    arrow = rows.to_arrow()
    return session.createDataFrame(arrow, from_arrow_schema(arrow.schema))  # without rows it would infer no schema


def _in_spark(bars: DataFrame, settings: ModelSettings) -> DataFrame:
    own = bars.where(F.col("symbol").isin(*settings.symbols)) if settings.symbols else bars
    horizon, featured, labelled = settings.horizon, features_of, labels_of  # resolved here, not in the workers
    both = pa.schema([*ADDED, *LABELS])
    rows = by_series(own, lambda series: labelled(featured(series), horizon), both)
    return rows.where("scorable")
