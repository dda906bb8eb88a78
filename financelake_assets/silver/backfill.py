"""Back-fill: writes a range of Kafka offsets to silver again in bounded batches, with or without the stream.

Input: first and end offsets per partition. Output: the tables that the stream would leave. Offsets that a table has
counted change nothing in it, so it is safe on any range; it fills a table that was lost, or stands in for the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from pyspark.sql import SparkSession

from financelake_assets.bronze.topics import topic_ids, watermarks
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.silver import reading
from financelake_assets.silver.batch_writing import BatchWriter
from financelake_assets.silver.checkpoint import consumed_offsets
from financelake_assets.silver.query import TABLES
from financelake_assets.silver.ranges import Ranges, span
from financelake_assets.silver.splitting import Begun
from financelake_assets.storage.open_tables import OpenTables

Offsets = Mapping[str, Mapping[int, int]]


class GapError(FinanceLakeError, ValueError):
    """The range begins behind messages that silver has not counted; they would never be."""


def backfill(
    spark: SparkSession,
    settings: Settings,
    ranges: Ranges | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> int:
    """Write a range of offsets to silver.

    Args:
        spark: any session.
        settings: the lake.
        ranges: first and end offset per topic and partition; everything that is on the topics when left out.
        progress: told after each batch how many offsets are done, and how many there are.

    Returns:
        How many messages the ranges hold.

    Raises:
        GapError: the range leaves a gap behind what silver has.
        SkippedError: Spark was not given a message that the broker has.
        BrokerUnavailableError: the broker could not be asked.
    """
    now = watermarks(settings)
    wanted = {topic: dict(parts) for topic, parts in (now if ranges is None else ranges).items()}
    _refuse_gaps(
        wanted, consumed_offsets(settings), {t: {p: low for p, (low, _) in of.items()} for t, of in now.items()}
    )
    for table in TABLES:
        table.ensure(settings)
    writer = BatchWriter(OpenTables(settings), topic_ids(settings))
    done, count, everything = 0, 0, span(wanted)
    progress(done, everything)
    for step in steps(wanted, settings.spark.max_offsets_per_trigger):
        count += writer.write(reading.bounded(spark, settings, step), step, Begun(0))
        done += span(step)
        progress(done, everything)
    return count


def steps(ranges: Ranges, most: int) -> Iterator[Ranges]:
    """Cut ranges into consecutive ones of at most about ``most`` messages, all partitions side by side."""
    count = sum(len(of) for of in ranges.values())
    each = max(1, most // max(1, count))
    left = {(t, p): bounds for t, of in ranges.items() for p, bounds in of.items()}
    while any(first < end for first, end in left.values()):
        step: dict[str, dict[int, tuple[int, int]]] = {}
        for (topic, partition), (first, end) in left.items():
            step.setdefault(topic, {})[partition] = (first, min(end, first + each))
            left[topic, partition] = (min(end, first + each), end)
        yield step


def _refuse_gaps(ranges: Ranges, consumed: Offsets, low: Offsets) -> None:
    for topic, of in ranges.items():
        for partition, (first, end) in of.items():
            counted = max(consumed.get(topic, {}).get(partition, 0), low[topic][partition])
            if first < end and first > counted:
                raise GapError(
                    f"{topic}/{partition} is counted up to offset {counted}; a range from {first} leaves a gap"
                )
