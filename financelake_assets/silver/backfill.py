"""Back-fill: writes a range of Kafka offsets to silver again in bounded batches, with or without the stream.

Enters: first and end offsets per partition. Leaves: the tables that the stream would leave. Offsets that a table has
counted change nothing in it, so it is safe on any range; it fills a table that was lost, or stands in for the stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pyspark.sql import SparkSession

from financelake_assets.bronze.topics import topic_ids, watermarks
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.silver.checkpoint import consumed_offsets
from financelake_assets.silver.query import TABLES, bounded, write_batch
from financelake_assets.silver.sources import StillTheSame
from financelake_assets.storage.open_tables import OpenTables

Offsets = Mapping[str, Mapping[int, int]]
Range = tuple[int, int]
Ranges = dict[str, dict[int, Range]]


class GapError(FinanceLakeError, ValueError):
    """The range begins behind messages that silver has not counted; they would never be."""


def backfill(spark: SparkSession, settings: Settings, ranges: Mapping[str, Mapping[int, Range]] | None = None) -> None:
    """Write a range of offsets to silver.

    Args:
        spark: any session.
        settings: the lake.
        ranges: first and end offset per topic and partition; everything that is on the topics when left out.

    Raises:
        GapError: the range leaves a gap behind what silver has.
    """
    now = watermarks(settings)
    wanted = {topic: dict(parts) for topic, parts in (now if ranges is None else ranges).items()}
    _refuse_gaps(
        wanted, consumed_offsets(settings), {t: {p: low for p, (low, _) in of.items()} for t, of in now.items()}
    )
    for table in TABLES:
        table.ensure(settings)
    ids, tables = topic_ids(settings), OpenTables(settings)
    for step in steps(wanted, settings.spark.max_offsets_per_trigger):
        messages = bounded(spark, settings, step)
        write_batch(tables, messages, step, ids, StillTheSame(settings, ids))


def steps(ranges: Mapping[str, Mapping[int, Range]], most: int) -> Iterator[Ranges]:
    """Cut ranges into consecutive ones of at most about ``most`` messages, all partitions side by side."""
    count = sum(len(of) for of in ranges.values())
    each = max(1, most // max(1, count))
    left = {(t, p): bounds for t, of in ranges.items() for p, bounds in of.items()}
    while any(first < end for first, end in left.values()):
        step: Ranges = {}
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
