"""Micro-batches: which offsets one spans, by which universe it is judged, and how many messages it did not have.

Enters: the query's checkpoint and the tables' logs. Leaves: facts that are the same when a batch is run again. Not
every offset is a message: a transaction's end takes one, what was aborted or compacted leaves a hole. The ledger counts
messages, so holes are counted here, by what Spark was given of a range before anything was judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction

from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.silver import schema
from financelake_assets.silver.writing import TopicIds, counted_up_to, universe_version
from financelake_assets.storage.checkpoints import source_offsets
from financelake_assets.storage.delta import TableSpec, retried
from financelake_assets.storage.open_tables import OpenTables

Ranges = Mapping[str, Mapping[int, tuple[int, int]]]
"""First and end offset per topic and partition."""

_WRITTEN: tuple[TableSpec, ...] = (schema.TICKS, schema.BARS, schema.QUARANTINE)


def ranges_of(checkpoint: Path, batch: int, lows: Mapping[str, Mapping[int, int]]) -> Ranges:
    """The offsets that a micro-batch spans.

    Args:
        checkpoint: of the query.
        batch: its id; its offsets are written before it is run.
        lows: where reading begins in partitions that no batch before has read; elsewhere at 0.

    Raises:
        FileNotFoundError, CheckpointError: the checkpoint does not hold the batch.
    """
    ends = source_offsets(checkpoint, batch)
    before = source_offsets(checkpoint, batch - 1) if batch else {}
    return {
        topic: {
            int(part): (before.get(topic, {}).get(part, lows.get(topic, {}).get(int(part), 0)), end)
            for part, end in parts.items()
        }
        for topic, parts in ends.items()
    }


def span(ranges: Ranges) -> int:
    """How many offsets ranges have."""
    return sum(end - first for parts in ranges.values() for first, end in parts.values())


def universe_for(tables: OpenTables, ranges: Ranges, ids: TopicIds) -> tuple[dict[str, str], int]:
    """The asset class of each symbol as a batch is judged by, and the Delta version of the universe that says so.

    A batch of which some table has counted a part is judged by the version that it was judged by then: a message must
    not be refused at first and good when the batch is run again, because the tables have counted different parts.
    """
    newest = tables.newest(UNIVERSE)
    begun = [
        universe_version(table)
        for table in (tables.newest(spec) for spec in _WRITTEN)
        if any(
            counted_up_to(table, topic, part, ids[topic]) > first
            for topic, parts in ranges.items()
            for part, (first, end) in parts.items()
            if first < end
        )
    ]
    pinned = max((version for version in begun if version is not None), default=None)
    version = newest.version()
    if pinned is not None and pinned < version:
        known, version = UNIVERSE.scan(tables.settings, pinned), pinned
    else:
        known = pl.scan_delta(newest)
    return dict(known.select("symbol", "asset_class").collect().iter_rows()), version


def count_holes(tables: OpenTables, places: pl.DataFrame, ranges: Ranges, ids: TopicIds) -> None:
    """Note how many offsets of a batch were no messages. Doing it again changes nothing.

    Args:
        tables: of the lake.
        places: topic, partition and offset of each message that Spark read.
        ranges: of the batch.
        ids: of its topics.
    """
    if places.height == span(ranges):
        return

    def attempt() -> None:
        table = tables.newest(schema.SOURCES)
        noted: list[Transaction] = []
        for topic, parts in ranges.items():
            for part, (first, end) in parts.items():
                name = f"{topic}/{part}@{ids[topic]}"
                begin = max(first, table.transaction_version(_upto(name)) or 0)
                here = places.filter(
                    (pl.col("topic") == topic) & (pl.col("partition") == part) & (pl.col("offset") >= begin)
                )
                found = end - begin - here.height
                if end > begin and found:
                    before = table.transaction_version(_holes(name)) or 0
                    noted += [Transaction(_holes(name), before + found), Transaction(_upto(name), end)]
        if noted:
            properties = CommitProperties(app_transactions=noted)
            table.create_write_transaction([], "append", table.schema(), commit_properties=properties)

    retried(attempt)


def holes(table: DeltaTable, topic: str, partition: int, topic_id: str) -> int:
    """How many offsets of a partition, of those that silver has read, were no messages.

    Args:
        table: silver/sources.
        topic: of the partition.
        partition: its number.
        topic_id: the broker's id of the topic.
    """
    return table.transaction_version(_holes(f"{topic}/{partition}@{topic_id}")) or 0


def _holes(name: str) -> str:
    return f"holes:{name}"


def _upto(name: str) -> str:
    return f"holes-up-to:{name}"
