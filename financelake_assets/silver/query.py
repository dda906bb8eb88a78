"""The silver query: every bronze topic → silver.bars, silver.ticks, silver.quarantine, continuously.

Input: Kafka messages, at least once. Output: Delta tables that count each of them exactly once. Spark reads, and its
executors judge, type, fold and write the files of large batches (``staging.py``). A process beside Spark commits them,
and merges what replaces others (``committing.py``), because a MERGE by Spark takes seconds on a small machine and this
takes milliseconds. Loss by Kafka's retention stops the query loudly; bad input never does: a batch that cannot be done
whole is done in parts (``batch_writing.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.bronze.topics import topic_ids, watermarks
from financelake_assets.config import Settings
from financelake_assets.silver import batches, larger, schema, sources
from financelake_assets.silver.batch_writing import BatchWriter
from financelake_assets.silver.checkpoint import QUERY, consumed_offsets, refuse_other_topics
from financelake_assets.silver.reading import source_options
from financelake_assets.silver.sizing import offsets_per_batch
from financelake_assets.silver.splitting import Notes
from financelake_assets.silver.writing import TopicIds
from financelake_assets.spark_sessions import WriteBatch, start_query
from financelake_assets.storage.checkpoints import open_batch
from financelake_assets.storage.open_tables import OpenTables

__all__ = ["QUERY", "batch_writer", "start"]

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
    larger.catch_up(OpenTables(settings))
    messages = (
        spark.readStream.format("kafka")
        .options(**source_options(settings))
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", offsets_per_batch(settings, consumed, marks))
        .load()
    )
    lows = {topic: {part: low for part, (low, _) in parts.items()} for topic, parts in marks.items()}
    return start_query(messages, QUERY, settings, batch_writer(settings, ids, lows))


def batch_writer(settings: Settings, ids: TopicIds, lows: Mapping[str, Mapping[int, int]]) -> WriteBatch:
    """The function that Spark calls with each micro-batch, for this lake. Its worker keeps the tables open.

    Args:
        settings: the lake.
        ids: the broker's id of each topic.
        lows: first offset of each partition, where a checkpoint is empty.
    """
    plain = settings.without_secrets()
    checkpoint = Path(settings.checkpoint(QUERY))
    kept: list[tuple[BatchWriter, Notes]] = []

    def write(messages: DataFrame, batch_id: int) -> None:
        if not kept:
            here = Settings.sent(plain)
            kept.append((BatchWriter(OpenTables(here), ids), batch_notes(here)))
        writer, notes = kept[0]
        writer.write(messages, batches.ranges_of(checkpoint, batch_id, lows), notes.of(batch_id), notes.write)

    return write


def batch_notes(settings: Settings) -> Notes:
    """Where the lake remembers how often a micro-batch was begun."""
    return Notes(settings.run_dir / f"stream-{QUERY}.batch.json")
