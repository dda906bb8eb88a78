"""Merging: good messages folded into silver, so that any replay, duplicate or correction leaves the right table.

Enters: cleaned rows of one micro-batch. Leaves: silver.bars, silver.ticks and silver.quarantine with every message
counted exactly once. Each MERGE is idempotent by itself, by comparing offsets, so it needs no transaction id: a batch
that ran before, wholly or in part, changes nothing. A symbol's messages share a partition, so its offsets are ordered.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from financelake_assets.config import Settings
from financelake_assets.resources.delta import merge
from financelake_assets.silver import schema

VALUES = ("open", "high", "low", "close", "adj_close", "volume", "imputed")
LINEAGE = ("topic", "partition", "offset", "provider", "ingested_at")
BAR_INTERVAL_OF_TICKS = "1m"

_EXACT_LIMIT = 1e15

_NOT_YET_MERGED = "NOT (t.topic = s.topic AND t.partition = s.partition AND t.offset >= s.offset)"


def fold_bars(bars: DataFrame) -> DataFrame:
    """Fold a batch's bar messages to one row a key.

    Args:
        bars: cleaned good messages that are bars.

    Returns:
        One row per (symbol, interval, event_time) with the values and lineage of its last message, ``first`` (a
        struct of its first message's values), ``messages`` (those that brought new values) and ``duplicates`` (those
        that repeated the values before them).
    """
    by_key = Window.partitionBy(*schema.BARS.key).orderBy("topic", "partition", "offset")
    values = F.struct(*VALUES)
    changed = F.lag(values).over(by_key).isNull() | ~values.eqNullSafe(F.lag(values).over(by_key))
    last = F.max_by(F.struct("asset_class", *VALUES, *LINEAGE), _arrival())
    return (
        bars.withColumn("changed", changed.cast("long"))
        .groupBy(*schema.BARS.key)
        .agg(
            F.min_by(values, _arrival()).alias("first"),
            last.alias("last"),
            F.sum("changed").alias("messages"),
            F.sum(1 - F.col("changed")).alias("duplicates"),
        )
        .select(*schema.BARS.key, "first", "last.*", "messages", "duplicates")
    )


def merge_bars(spark: SparkSession, settings: Settings, folded: DataFrame, within: str) -> None:
    """MERGE folded bars into silver.bars: insert new keys, correct known ones, count what only repeated.

    Args:
        spark: the session that ``folded`` belongs to.
        settings: the lake.
        folded: the result of ``fold_bars``.
        within: a predicate over the target ``t`` that holds for every key of the batch; it prunes files.
    """
    repeated = "CASE WHEN s.first <=> struct(" + ", ".join(f"t.{name}" for name in VALUES) + ") THEN 1 ELSE 0 END"
    merge(
        spark,
        schema.BARS,
        settings,
        folded,
        within=within,
        update={
            **_from_source(*VALUES, *LINEAGE),
            "messages": f"t.messages + s.messages - {repeated}",
            "duplicates": f"t.duplicates + s.duplicates + {repeated}",
            "processed_at": "current_timestamp()",
        },
        update_when=_NOT_YET_MERGED,
        insert={
            **_from_source(*(name for name in folded.columns if name != "first")),
            "processed_at": "current_timestamp()",
        },
    )


def merge_ticks(spark: SparkSession, settings: Settings, ticks: DataFrame, within: str) -> None:
    """MERGE trades into silver.ticks, then rebuild the 1-minute bars that they touch.

    A trade without a ``trade_id`` is identified by its place on the topic, because real trades share a millisecond, a
    price and a size. The bars are always rebuilt from all of their trades, so the order of arrival does not matter.
    """
    identity = F.coalesce("trade_id", F.concat_ws("/", "topic", "partition", "offset"))
    trade = F.struct("asset_class", F.col("close").alias("price"), F.col("volume").alias("size"))
    folded = (
        ticks.withColumn("trade_id", identity)
        .groupBy(*schema.TICKS.key)
        .agg(
            F.min_by(trade, _arrival()).alias("first"),
            F.max_by(F.struct(*LINEAGE), _arrival()).alias("last"),
            (F.count("*") - 1).alias("duplicates"),
        )
        .select(*schema.TICKS.key, "first.*", "last.*", "duplicates")
    )
    merge(
        spark,
        schema.TICKS,
        settings,
        folded,
        within=within,
        update={
            "duplicates": "t.duplicates + s.duplicates + 1",
            **_from_source("topic", "partition", "offset"),
            "processed_at": "current_timestamp()",
        },
        update_when=_NOT_YET_MERGED,
        insert={**_from_source(*folded.columns), "processed_at": "current_timestamp()"},
    )
    touched = ticks.select("symbol", F.date_trunc("minute", "event_time").alias("minute")).distinct()
    bars = _bars_of_trades(spark, settings, touched, within)
    columns = _from_source(*schema.BARS.schema.names)
    # the trades are counted in silver.ticks; what bar messages have been counted here stays
    counted = ("messages", "duplicates")
    merge(
        spark,
        schema.BARS,
        settings,
        bars,
        within=within,
        update={name: value for name, value in columns.items() if name not in counted},
        update_when=_NOT_YET_MERGED,
        insert=columns,
    )


def _bars_of_trades(spark: SparkSession, settings: Settings, touched: DataFrame, within: str) -> DataFrame:
    """The bars of the touched (symbol, minute) pairs, from all their trades in silver.ticks."""
    trades = (
        spark.read.format("delta")
        .load(schema.TICKS.path(settings))
        .alias("t")
        .where(f"({within})")
        .withColumn("minute", F.date_trunc("minute", "event_time"))
        .join(touched, ["symbol", "minute"], "left_semi")
    )
    traded = F.struct("event_time", "topic", "partition", "offset")
    return (
        trades.groupBy("symbol", F.col("minute").alias("event_time"))
        .agg(
            F.min_by("price", traded).alias("open"),
            F.max("price").alias("high"),
            F.min("price").alias("low"),
            F.max_by("price", traded).alias("close"),
            _exact_sum("size").alias("volume"),
            F.count("*").alias("trades"),
            F.max_by(F.struct("asset_class", *LINEAGE), _arrival()).alias("last"),
        )
        .select("*", "last.*")
        .withColumns(
            {
                "interval": F.lit(BAR_INTERVAL_OF_TICKS),
                "messages": F.lit(0),
                "duplicates": F.lit(0),
                "adj_close": F.lit(None).cast("double"),
                "imputed": F.lit(None).cast("string"),
                "processed_at": F.current_timestamp(),
            }
        )
        .select(*schema.BARS.schema.names)
    )


def merge_quarantine(spark: SparkSession, settings: Settings, bad: DataFrame, lowest_offset: int) -> None:
    """MERGE unusable messages into silver.quarantine, once per offset."""
    rows = bad.withColumn("quarantined_at", F.current_timestamp()).select(*schema.QUARANTINE.schema.names)
    merge(
        spark,
        schema.QUARANTINE,
        settings,
        rows,
        within=f"t.offset >= {lowest_offset}",
        insert=_from_source(*rows.columns),
    )


def _from_source(*names: str) -> dict[str, str]:
    return {name: f"s.`{name}`" for name in names}


def _arrival() -> Column:
    return F.struct("topic", "partition", "offset")


def _exact_sum(name: str) -> Column:
    """Sum in decimal where the values allow it: a sum of doubles depends on the order of its rows."""
    exact = F.try_sum(F.col(name).try_cast("decimal(38,12)")).cast("double")
    return F.when(F.max(F.abs(name)) < _EXACT_LIMIT, exact).otherwise(F.sum(name))
