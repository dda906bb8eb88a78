"""The silver query: every bronze topic → silver.bars, silver.ticks, silver.quarantine, continuously.

Enters: Kafka messages, at least once. Leaves: Delta tables that count each of them exactly once. Spark reads, and its
executors judge, type, fold and write the files of large batches (``staging.py``). A process beside Spark commits them,
and merges what replaces others (``committing.py``), because a MERGE by Spark takes seconds on a small machine and this
takes milliseconds. Loss by Kafka's retention stops the query loudly; bad input never does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from financelake_assets.bronze.access import spark_options
from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.bronze.topics import BRONZE, topic_ids, watermarks
from financelake_assets.config import Settings
from financelake_assets.silver import batches, committing, holes, reading, schema, sources
from financelake_assets.silver.batches import Ranges
from financelake_assets.silver.checkpoint import QUERY, consumed_offsets, refuse_other_topics
from financelake_assets.silver.holes import Holes, Seen
from financelake_assets.silver.staged import Executors
from financelake_assets.silver.writing import TopicIds
from financelake_assets.spark_sessions import WriteBatch, start_query
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
    refuse_other_topics(consumed_offsets(settings), marks, made_again, settings.checkpoint(QUERY))
    sources.register(settings, ids, marks)
    for table in TABLES:
        table.ensure(settings)
    messages = (
        spark.readStream.format("kafka")
        .options(**source_options(settings))
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", settings.spark.max_offsets_per_trigger)
        .load()
    )
    lows = {topic: {part: low for part, (low, _) in parts.items()} for topic, parts in marks.items()}
    return start_query(messages, QUERY, settings, batch_writer(settings, ids, lows))


def source_options(settings: Settings, topics: Sequence[str] = BRONZE) -> dict[str, str]:
    """Options of Spark's Kafka source: whatever is lost is an error, and aborted transactions are not read."""
    return {
        "kafka.bootstrap.servers": settings.kafka_bootstrap,
        **spark_options(settings),
        "subscribe": ",".join(topics),
        "failOnDataLoss": "true",
        "includeHeaders": "true",
        "kafka.isolation.level": "read_committed",
        # a reader that goes back to earlier offsets first waits for the answer to what it asked for before
        "kafka.fetch.max.wait.ms": "20",
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
    kept: list[tuple[OpenTables, Executors]] = []

    def write(messages: DataFrame, batch_id: int) -> None:
        if not kept:
            kept.append((OpenTables(Settings.sent(plain)), Executors()))
        tables, executors = kept[0]
        ranges = batches.ranges_of(checkpoint, batch_id, lows)
        holes.note(tables, write_batch(tables, messages, ranges, ids, executors), ids)

    return write


def write_batch(tables: OpenTables, messages: DataFrame, ranges: Ranges, ids: TopicIds, executors: Executors) -> Holes:
    """Clean a bounded set of messages and write what they change in silver. Doing it again changes nothing.

    Args:
        tables: of the lake.
        messages: rows as Spark's Kafka source gives them, headers included.
        ranges: the offsets that they were read from.
        ids: the broker's id of each topic.
        executors: which stage a large batch.

    Returns:
        The offsets of the ranges that are no messages.

    Raises:
        SkippedError: Spark was not given a message that the broker has. Nothing was written then.
    """
    universe, version = batches.universe_for(tables, ranges, ids)
    count = batches.span(ranges)
    if count > reading.SMALL and executors.usable and batches.is_new(tables, ranges, ids):
        staged = executors.stage(tables, messages, universe)
        if staged is not None:
            found = _confirmed(tables, staged.seen, ranges)
            committing.write_staged(tables, staged, ranges, ids, version)
            return found
    judged = reading.judged(messages, universe, count)
    found = _confirmed(tables, holes.seen(judged), ranges)
    committing.write_cleaned(tables, judged, ids, version, partial(reading.raw_of, messages))
    return found


def _confirmed(tables: OpenTables, seen: Sequence[Seen], ranges: Ranges) -> Holes:
    found = holes.find(seen, ranges)
    holes.confirm(tables.settings, found)
    return found
