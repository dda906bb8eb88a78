"""The silver query: every bronze topic → silver.bars, silver.ticks, silver.quarantine, continuously.

Enters: Kafka messages, at least once. Leaves: Delta tables that count each of them exactly once. Spark reads, and
its executors judge and type (``reading.py``, ``cleaning.py``); what a micro-batch changes is folded and committed
beside it (``merging.py``, ``writing.py``), because a MERGE by Spark takes seconds on a small machine and this takes
milliseconds. Loss by Kafka's
retention stops the query loudly; bad input never does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from functools import partial, reduce
from operator import or_
from pathlib import Path

import polars as pl
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from financelake_assets.bronze.access import spark_options
from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.bronze.topics import BRONZE, topic_ids, watermarks
from financelake_assets.config import Settings
from financelake_assets.intervals import TICK
from financelake_assets.silver import batches, culprits, merging, reading, schema, sources, splitting, writing
from financelake_assets.silver.batches import Ranges, count_holes
from financelake_assets.silver.checkpoint import QUERY, consumed_offsets, refuse_other_topics
from financelake_assets.silver.merging import Change
from financelake_assets.silver.sizing import offsets_per_batch
from financelake_assets.silver.writing import TopicIds
from financelake_assets.spark_sessions import WriteBatch, start_query
from financelake_assets.storage.checkpoints import open_batch
from financelake_assets.storage.open_tables import OpenTables

__all__ = ["QUERY", "batch_writer", "start", "write_batch"]

TABLES = (schema.BARS, schema.TICKS, schema.QUARANTINE, UNIVERSE)


def start(spark: SparkSession, settings: Settings) -> StreamingQuery:
    """Start the silver query from its checkpoint, or from the topics' beginning when it has none.

    Args:
        spark: the session that will own the query.
        settings: the lake; its topics must exist.

    Raises:
        CheckpointError: the topics do not hold what comes after the checkpoint.
        BrokerUnavailableError: the broker could not be asked.
    """
    ids, marks, known = topic_ids(settings), watermarks(settings), sources.current_ids(settings)
    made_again = {topic for topic, id_ in ids.items() if known.get(topic, id_) != id_}
    consumed = consumed_offsets(settings)
    refuse_other_topics(consumed, marks, made_again, settings.checkpoint(QUERY))
    sources.register(settings, ids, marks)
    planned = open_batch(Path(settings.checkpoint(QUERY)))
    if planned is None:
        batch_notes(settings).forget()
    else:
        batch_notes(settings).begin_again(planned[0])
    for table in TABLES:
        table.ensure(settings)
    messages = (
        spark.readStream.format("kafka")
        .options(**source_options(settings))
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", offsets_per_batch(settings, consumed, marks))
        .load()
    )
    lows = {topic: {part: low for part, (low, _) in parts.items()} for topic, parts in marks.items()}
    return start_query(messages, QUERY, settings, batch_writer(settings, ids, lows))


def source_options(settings: Settings) -> dict[str, str]:
    """Options of Spark's Kafka source: whatever is lost is an error, and aborted transactions are not read."""
    return {
        "kafka.bootstrap.servers": settings.kafka_bootstrap,
        **spark_options(settings),
        "subscribe": ",".join(BRONZE),
        "failOnDataLoss": "true",
        "includeHeaders": "true",
        "kafka.isolation.level": "read_committed",
        # a reader that goes back to earlier offsets first waits for the answer to what it asked for before
        "kafka.fetch.max.wait.ms": "20",
        # a reader holds what it polled; 500 of a megabyte, its default, would be half of a small machine's memory
        "kafka.max.poll.records": "100",
    }


def batch_writer(settings: Settings, ids: TopicIds, lows: Mapping[str, Mapping[int, int]]) -> WriteBatch:
    """The function that Spark calls with each micro-batch, for this lake. Its worker keeps the tables open.

    Args:
        settings: the lake.
        ids: the broker's id of each topic.
        lows: first offset of each partition, where a checkpoint is empty.
    """
    plain = settings.without_secrets()
    checkpoint = Path(settings.checkpoint(QUERY))
    kept: list[tuple[OpenTables, sources.StillTheSame]] = []

    def write(messages: DataFrame, batch_id: int) -> None:
        if not kept:
            here = Settings.sent(plain)
            kept.append((OpenTables(here), sources.StillTheSame(here, ids)))
        tables, refuse_others = kept[0]
        _write_or_split(tables, messages, batch_id, batches.ranges_of(checkpoint, batch_id, lows), ids, refuse_others)

    return write


def _write_or_split(
    tables: OpenTables,
    messages: DataFrame,
    batch_id: int,
    ranges: Ranges,
    ids: TopicIds,
    refuse_others: Callable[[], None],
) -> None:
    """Write a micro-batch, whole or, where it fails or was begun again and again, in parts."""
    notes = batch_notes(tables.settings)
    begun = notes.of(batch_id)

    def do(part: Ranges, of: DataFrame) -> None:
        count_holes(tables, write_batch(tables, of, part, ids, refuse_others), part, ids)

    def refuse(part: Ranges, error: BaseException | None) -> None:
        refuse_others()
        universe, version = batches.universe_for(tables, part, ids)
        found = None if error is None else reading.alone(part_of(messages, part, tables.settings))
        if error is not None and found is not None and not culprits.is_culprit(error, found, universe):
            raise error
        row = culprits.refused(part, found)
        writing.write(schema.QUARANTINE, tables, row, ids, lambda _, new: Change(new, False, new.height), version)

    if begun.starts < splitting.WHOLE_STARTS:
        try:
            do(ranges, messages)
        except Exception as error:
            if not culprits.may_be_of_messages(error):
                raise
        else:
            return
    splitting.in_parts(
        ranges,
        begun,
        notes.write,
        lambda part: do(part, part_of(messages, part, tables.settings)),
        refuse,
        culprits.may_be_of_messages,
    )


def batch_notes(settings: Settings) -> splitting.Notes:
    """Where the lake remembers how often a micro-batch was begun."""
    return splitting.Notes(settings.run_dir / f"stream-{QUERY}.batch.json")


def part_of(messages: DataFrame, part: Ranges, settings: Settings) -> DataFrame:
    """The messages of a part of a batch. Others are not even read, where this process can log in to the broker."""
    if settings.kafka.security != "PLAINTEXT" and settings.kafka.password is None:
        places = [
            (F.col("topic") == topic) & (F.col("partition") == partition) & F.col("offset").between(first, end - 1)
            for topic, of in part.items()
            for partition, (first, end) in of.items()
        ]
        return messages.where(reduce(or_, places, F.lit(False)))
    return bounded(messages.sparkSession, settings, part)


def bounded(spark: SparkSession, settings: Settings, ranges: Ranges) -> DataFrame:
    """The messages of some offsets, as Spark's Kafka source gives them."""
    first = {topic: {str(part): at for part, (at, _) in of.items()} for topic, of in ranges.items()}
    ends = {topic: {str(part): end for part, (_, end) in of.items()} for topic, of in ranges.items()}
    options = {name: value for name, value in source_options(settings).items() if name != "subscribe"}
    return (
        spark.read.format("kafka")
        .options(**options)
        .option("assign", json.dumps({topic: sorted(of) for topic, of in ranges.items()}))
        .option("startingOffsets", json.dumps(first))
        .option("endingOffsets", json.dumps(ends))
        .load()
    )


def write_batch(
    tables: OpenTables,
    messages: DataFrame,
    ranges: Ranges,
    ids: TopicIds,
    refuse_others: Callable[[], None] = lambda: None,
) -> pl.DataFrame:
    """Clean a bounded set of messages and write what they change in silver. Doing it again changes nothing.

    Args:
        tables: of the lake.
        messages: rows as Spark's Kafka source gives them, headers included.
        ranges: the offsets that they were read from.
        ids: the broker's id of each topic.
        refuse_others: raises where those are no longer the topics that the messages were read from.

    Returns:
        Topic, partition and offset of every message.
    """
    universe, version = batches.universe_for(tables, ranges, ids)
    found = reading.judged(messages, universe, batches.span(ranges))
    refuse_others()
    write_cleaned(tables, found, ids, version, partial(reading.raw_of, messages))
    return found.select(reading.PLACE)


def write_cleaned(
    tables: OpenTables,
    cleaned: pl.DataFrame,
    ids: TopicIds,
    universe: int | None = None,
    raw_of: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
) -> None:
    """Write judged messages to the silver tables, trades first: the 1-minute bars are rebuilt from them.

    Args:
        tables: of the lake.
        cleaned: judged messages.
        ids: of their topics.
        universe: version of the universe that they were judged by.
        raw_of: fetches the raw bytes that were left out of some messages.
    """
    good, bad = cleaned.filter(pl.col("reason").is_null()), cleaned.filter(pl.col("reason").is_not_null())
    ticks = good.filter(pl.col("interval") == TICK)
    writing.write(schema.TICKS, tables, ticks, ids, partial(_trades, _made_again(tables, ids)), universe)
    writing.write(schema.BARS, tables, good, ids, lambda table, fresh: _bars(tables, table, fresh), universe)
    for part in reading.turns(bad):
        whole = part if raw_of is None else _with_raw(part, raw_of)
        writing.write(schema.QUARANTINE, tables, whole, ids, lambda _, new: Change(new, False, new.height), universe)


def _with_raw(bad: pl.DataFrame, raw_of: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
    long = bad.filter(pl.col("left_out").is_not_null()).select(reading.PLACE)
    if long.is_empty():
        return bad
    found = raw_of(long).rename({"raw": "fetched"})
    return bad.join(found, on=list(reading.PLACE), how="left", maintain_order="left").with_columns(
        raw=pl.coalesce("raw", "fetched")
    )


def _trades(made_again: Collection[str], table: DeltaTable, ticks: pl.DataFrame) -> Change:
    named = merging.as_trades(ticks.filter(pl.col("trade_id").is_not_null()))
    known = writing.rows_with(table, named.select(schema.TICKS.key))
    # without an id of its own no message names a trade that is known, but by a topic before
    unnamed = ticks.filter(pl.col("trade_id").is_null() & pl.col("topic").is_in(list(made_again)))
    if not unnamed.is_empty():
        at_these_times = writing.rows_with(table, unnamed.select("symbol", "event_time").unique())
        known = pl.concat([known, at_these_times]).unique(schema.TICKS.key)
    return merging.trade_changes(known, ticks)


def _made_again(tables: OpenTables, ids: TopicIds) -> set[str]:
    """The topics that there may have been others before, under their names."""
    known = tables.scan(schema.SOURCES).select("topic", "topic_id").unique().collect()
    seen = {topic: set(found) for topic, found in known.group_by("topic").agg("topic_id").iter_rows()}
    return {topic for topic, topic_id in ids.items() if seen.get(topic) != {topic_id}}


def _bars(tables: OpenTables, table: DeltaTable, good: pl.DataFrame) -> Change:
    ticks, bars = good.filter(pl.col("interval") == TICK), good.filter(pl.col("interval") != TICK)
    minutes = ticks.select("symbol", pl.col("event_time").dt.truncate("1m")).unique()
    rebuilt_keys = minutes.with_columns(interval=pl.lit(merging.BAR_OF_TRADES)).select(schema.BARS.key)
    known = writing.rows_with(table, pl.concat([bars.select(schema.BARS.key), rebuilt_keys]).unique())
    change = merging.bar_changes(known, bars)
    if minutes.is_empty():
        return change
    trades = writing.rows_in_minutes(tables.newest(schema.TICKS), minutes)
    return merging.with_bars_of_trades(known, change, merging.bars_of_trades(trades))
