"""Reading: what Spark was given of the topics, judged and typed, in the process that writes it.

Input: a micro-batch as Spark's Kafka source gives it. Output: its judged rows. A large batch is cleaned where Spark
reads it, by ``mapInArrow`` on the executors; of a small one it costs less to bring the messages and clean them here.
However large messages are, what comes here at once is bounded: long raw bytes are fetched when they are written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import reduce
from operator import or_

import polars as pl
import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructType

from financelake_assets.bronze.access import spark_options
from financelake_assets.bronze.topics import BRONZE
from financelake_assets.config import Settings
from financelake_assets.silver import cleaning
from financelake_assets.silver.cleaning import CLEANED, MESSAGES, Universe
from financelake_assets.silver.judgement import MOST_BYTES
from financelake_assets.silver.merging import ARRIVAL
from financelake_assets.silver.ranges import Ranges

SMALL = 20_000
"""Messages. Fewer are brought here as they are."""
LONG = 4_096
"""Bytes. The raw bytes of a longer message that is refused are fetched in a turn of their own."""
AT_ONCE = 64 << 20
"""Bytes of long messages that are fetched in one turn."""

JUDGED = pa.schema([*CLEANED, pa.field("left_out", pa.int64())])
"""``CLEANED``, and how many raw bytes were left out to be fetched."""


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
        # Spark goes back to where it stands after every poll, and so drops what was fetched and not polled; a fetch is
        # of a megabyte, which the topics' compression cannot hide more than some megabytes in
        "kafka.max.poll.records": "5000",
    }


def bounded(spark: SparkSession, settings: Settings, ranges: Ranges) -> DataFrame:
    """The messages of some offsets, as Spark's Kafka source gives them. Other partitions are not asked for."""
    begun = {topic: {part: span for part, span in of.items() if span[0] < span[1]} for topic, of in ranges.items()}
    some = {topic: of for topic, of in begun.items() if of}
    first = {topic: {str(part): at for part, (at, _) in of.items()} for topic, of in some.items()}
    ends = {topic: {str(part): end for part, (_, end) in of.items()} for topic, of in some.items()}
    options = {name: value for name, value in source_options(settings).items() if name != "subscribe"}
    return (
        spark.read.format("kafka")
        .options(**options)
        .option("assign", json.dumps({topic: sorted(of) for topic, of in some.items()}))
        .option("startingOffsets", json.dumps(first))
        .option("endingOffsets", json.dumps(ends))
        .load()
    )


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


def judged(messages: DataFrame, universe: Universe, count: int | None) -> pl.DataFrame:
    """Every message of a batch, judged and typed.

    Args:
        messages: rows as Spark's Kafka source gives them, headers included.
        universe: of the lake.
        count: how many offsets the batch spans, where that is known.

    Returns:
        Rows of ``JUDGED``, in the order of no column.
    """
    if count is None or count > SMALL:
        return _frame(on_executors(messages, universe).toArrow())
    # each task costs more than it does for so little
    few = messages.coalesce(2)
    is_short = F.coalesce(F.octet_length("value"), F.lit(0)) <= LONG
    short = few.select(*columns(F.when(is_short, F.col("value"))), is_short.alias("short")).toArrow()
    found = pl.DataFrame(short)
    near = _frame(_without_long_raw(cleaning.clean(found.filter("short").drop("short").to_arrow(), universe)))
    if found["short"].all():
        return near
    return pl.concat([near, _frame(on_executors(few.where(~is_short), universe).toArrow())])


def on_executors(messages: DataFrame, universe: Universe) -> DataFrame:
    """Rows of ``JUDGED`` of every message, judged where Spark reads it."""

    def clean(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            found = _without_long_raw(cleaning.clean(batch, universe))
            if found.num_rows != batch.num_rows:
                raise AssertionError(f"of {batch.num_rows} messages {found.num_rows} were judged")
            yield from found.combine_chunks().to_batches()

    return messages.select(*columns(F.col("value"))).mapInArrow(clean, _spark_schema(JUDGED))


def raw_of(messages: DataFrame, settings: Settings, places: pl.DataFrame) -> pl.DataFrame:
    """Topic, partition, offset and ``raw``, up to the limit, of some long messages of a batch.

    Args:
        messages: the batch.
        settings: the lake.
        places: topic, partition and offset.
    """
    spans: dict[str, dict[int, tuple[int, int]]] = {}
    first_last = places.group_by("topic", "partition").agg(first=pl.col("offset").min(), last=pl.col("offset").max())
    for topic, partition, first, last in first_last.select("topic", "partition", "first", "last").iter_rows():
        spans.setdefault(topic, {})[partition] = (first, last + 1)
    long = part_of(messages, spans, settings).where(F.octet_length("value") > LONG)
    rows = long.select(*ARRIVAL, _kept(F.col("value")).alias("raw")).toArrow()
    return pl.DataFrame(rows).join(places, on=list(ARRIVAL), how="semi")


def alone(messages: DataFrame) -> pl.DataFrame:
    """Messages as they are, with the columns of ``MESSAGES``; for one or two."""
    return pl.DataFrame(messages.select(*columns(F.col("value"))).toArrow().cast(MESSAGES))


def turns(bad: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Cut refused messages into parts of which the raw bytes that were left out can be fetched at once.

    Args:
        bad: rows of ``JUDGED``. Of each partition a later part holds later offsets.
    """
    if "left_out" not in bad.columns:
        yield bad
        return
    ordered = bad.sort(*ARRIVAL)
    parts = ordered.with_columns(part=pl.col("left_out").fill_null(0).cum_sum() // AT_ONCE)
    yield from (part.drop("part") for part in parts.partition_by("part", maintain_order=True))


def _without_long_raw(cleaned: pa.Table) -> pa.Table:
    frame = pl.DataFrame(pl.from_arrow(cleaned))
    size = pl.col("raw").bin.size().cast(pl.Int64)
    long = size > LONG
    kept = frame.with_columns(left_out=pl.when(long).then(size), raw=pl.when(~long).then("raw"))
    return kept.select(JUDGED.names).to_arrow().cast(JUDGED)


def columns(value: Column) -> list[Column]:
    """The columns of ``MESSAGES``, made by Spark; of a value beyond the limit its beginning, its size and its hash."""
    size = F.octet_length("value")
    cut = size > MOST_BYTES
    found = {
        "value": _kept(value),
        "timestamp": F.col("timestamp"),
        # the last header of that name
        "provider": F.try_element_at(F.filter(F.col("headers"), lambda header: header["key"] == "provider"), F.lit(-1))[
            "value"
        ],
        "size": F.when(cut, size).cast("long"),
        "sha256": F.when(cut, F.sha2(F.col("value"), 256)),
    }
    return [found.get(name, F.col(name)).alias(name) for name in MESSAGES.names]


def _kept(value: Column) -> Column:
    return F.when(F.octet_length("value") > MOST_BYTES, F.substring(value, 1, MOST_BYTES)).otherwise(value)


def _spark_schema(schema: pa.Schema) -> StructType:
    return from_arrow_schema(schema)


def _frame(table: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(table.cast(JUDGED)))
