"""Micro-batches: which offsets one spans, and by which universe it is judged.

Input: the query's checkpoint and the tables' logs. Output: facts that are the same when a batch is run again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.silver import schema
from financelake_assets.silver.ranges import Ranges
from financelake_assets.silver.writing import Ends, TopicIds, universe_version, untouched
from financelake_assets.storage.checkpoints import source_offsets
from financelake_assets.storage.delta import TableSpec
from financelake_assets.storage.open_tables import OpenTables

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


def firsts_of(ranges: Ranges) -> Ends:
    """Where each partition that has something in its range begins."""
    return [
        (topic, part, first) for topic, parts in ranges.items() for part, (first, end) in parts.items() if first < end
    ]


def is_new(tables: OpenTables, ranges: Ranges, ids: TopicIds) -> bool:
    """Whether no table has counted a part of the ranges, as far as is known."""
    return all(untouched(tables.newest(spec), firsts_of(ranges), ids) for spec in _WRITTEN)


def universe_for(tables: OpenTables, ranges: Ranges, ids: TopicIds) -> tuple[dict[str, str], int]:
    """The asset class of each symbol as a batch is judged by, and the Delta version of the universe that says so.

    A batch of which some table has counted a part is judged by the version that it was judged by then: a message must
    not be refused at first and good when the batch is run again, because the tables have counted different parts.
    """
    newest = tables.newest(UNIVERSE)
    firsts = firsts_of(ranges)
    opened = (tables.newest(spec) for spec in _WRITTEN)
    begun = [universe_version(table) for table in opened if not untouched(table, firsts, ids)]
    pinned = max((version for version in begun if version is not None), default=None)
    version = newest.version()
    if pinned is not None and pinned < version:
        known, version = UNIVERSE.scan(tables.settings, pinned), pinned
    else:
        known = pl.scan_delta(newest)
    return dict(known.select("symbol", "asset_class").collect().iter_rows()), version
