"""The silver query: every bronze topic → silver.bars, silver.ticks, silver.quarantine, continuously.

Enters: Kafka messages, at least once. Leaves: Delta tables that count each of them exactly once (see ``merging.py``).
Loss by Kafka's retention stops the query loudly; bad input never does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from financelake_assets.bronze.topics import BRONZE
from financelake_assets.config import Settings
from financelake_assets.silver import merging, schema
from financelake_assets.silver.checkpoint import QUERY
from financelake_assets.silver.cleaning import TICK, clean

TABLES = (schema.BARS, schema.TICKS, schema.QUARANTINE, schema.UNIVERSE)
_MOST_SYMBOLS_IN_A_PREDICATE = 200


def start(spark: SparkSession, settings: Settings) -> StreamingQuery:
    """Start the silver query from its checkpoint, or from the topics' beginning when it has none.

    Args:
        spark: the session that will own the query.
        settings: the lake; its topics must exist.
    """
    for table in TABLES:
        table.ensure(settings)
    messages = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", settings.kafka_bootstrap)
        .option("subscribe", ",".join(BRONZE))
        .option("startingOffsets", "earliest")
        .option("failOnDataLoss", "true")
        .option("includeHeaders", "true")
        .option("kafka.isolation.level", "read_committed")
        .option("maxOffsetsPerTrigger", settings.spark.max_offsets_per_trigger)
        .load()
    )
    return (
        messages.writeStream.queryName(QUERY)
        .foreachBatch(batch_writer(settings))
        .option("checkpointLocation", settings.checkpoint(QUERY))
        .trigger(processingTime=f"{settings.spark.trigger_seconds} seconds")
        .start()
    )


def batch_writer(settings: Settings) -> Callable[[DataFrame, int], None]:
    """The function that Spark calls with each micro-batch, for this lake."""
    plain = settings.model_dump_json()

    def write(messages: DataFrame, batch_id: int) -> None:  # noqa: ARG001  # Spark's signature
        write_batch(messages.sparkSession, Settings.model_validate_json(plain), messages)

    return write


def write_batch(spark: SparkSession, settings: Settings, messages: DataFrame) -> None:
    """Clean a bounded set of messages and merge it into silver. Doing it again changes nothing.

    Args:
        spark: the session of ``messages``.
        settings: the lake.
        messages: rows as Spark's Kafka source gives them, headers included.
    """
    universe = spark.read.format("delta").load(schema.UNIVERSE.path(settings))
    cleaned = clean(messages, universe).persist()
    try:
        facts = _facts(cleaned)
        good = cleaned.where(F.col("reason").isNull())
        if facts.bars:
            bars = merging.fold_bars(good.where(F.col("interval") != TICK))
            within = _within(facts, facts.first_bar, facts.last_bar)
            merging.merge_bars(spark, settings, bars, within)
        if facts.ticks:
            ticks = good.where(F.col("interval") == TICK)
            within = _within(facts, facts.first_tick, facts.last_tick)
            merging.merge_ticks(spark, settings, ticks, within)
        if facts.bad:
            bad = cleaned.where(F.col("reason").isNotNull())
            merging.merge_quarantine(spark, settings, bad, facts.lowest_bad_offset)
    finally:
        cleaned.unpersist()


class _Facts(NamedTuple):
    """What one pass over a cleaned batch tells, in the order that ``_facts`` asks for; times in µs since 1970."""

    bad: int
    lowest_bad_offset: int
    bars: int
    first_bar: int
    last_bar: int
    ticks: int
    first_tick: int
    last_tick: int
    symbols: list[str]


def _facts(cleaned: DataFrame) -> _Facts:
    bad = F.col("reason").isNotNull()
    tick = ~bad & (F.col("interval") == TICK)
    bar = ~bad & (F.col("interval") != TICK)

    def where(condition: Column, name: str) -> Column:
        return F.when(condition, F.col(name))

    row = cleaned.agg(
        F.count_if(bad),
        F.min(where(bad, "offset")),
        F.count_if(bar),
        F.unix_micros(F.min(where(bar, "event_time"))),
        F.unix_micros(F.max(where(bar, "event_time"))),
        F.count_if(tick),
        F.unix_micros(F.date_trunc("minute", F.min(where(tick, "event_time")))),
        F.unix_micros(F.date_trunc("minute", F.max(where(tick, "event_time"))) + F.expr("INTERVAL 1 MINUTE")),
        F.collect_set(where(~bad, "symbol")),
    ).collect()[0]
    return _Facts(*row)


def _within(facts: _Facts, first: int, last: int) -> str:
    """A predicate on the target ``t`` that holds for every key of the batch, for Delta to skip files by."""
    bounds = f"t.event_time BETWEEN timestamp_micros({first}) AND timestamp_micros({last})"
    if len(facts.symbols) > _MOST_SYMBOLS_IN_A_PREDICATE:
        return bounds
    # symbols passed the universe, but a literal is quoted all the same
    literals = ", ".join("'" + symbol.replace("\\", "\\\\").replace("'", "\\'") + "'" for symbol in facts.symbols)
    return f"{bounds} AND t.symbol IN ({literals})"
