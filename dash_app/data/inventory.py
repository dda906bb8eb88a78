"""The lake's tables: rows, versions, sizes, ages, and growth.

Input: settings. Output: one ``TableSize`` for each existing table, and the lag of the topics. It reads only Delta logs
and the checkpoint's files, every few seconds; a separate thread asks the broker.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from dash_app.data.batches import Stream, streams
from dash_app.data.lag import BrokerWatcher, TopicLag, by_topic
from financelake_assets.catalogue import TABLES
from financelake_assets.config import Settings
from financelake_assets.silver.checkpoint import consumed_offsets
from financelake_assets.storage.delta import TableSpec
from financelake_assets.storage.followed import FollowedTable


@dataclass(frozen=True)
class TableSize:
    """One table as its log describes it; ``rate`` is rows per second since the last refresh."""

    name: str
    description: str
    rows: int
    version: int
    files: int
    size: int
    newest: datetime | None
    rate: float | None = None


@dataclass(frozen=True)
class Inventory:
    """All tables at one time."""

    tables: tuple[TableSize, ...] = ()
    missing: tuple[str, ...] = ()
    topics: tuple[TopicLag, ...] = ()
    streams: tuple[Stream, ...] = ()


class Stocktaker:
    """Reads the state of all tables, at most every few seconds."""

    def __init__(self, settings: Settings, broker: BrokerWatcher, every_seconds: float = 5.0) -> None:
        self._settings, self._broker = settings, broker
        self._every = every_seconds
        self._looked: float | None = None
        self._followed = {spec.full_name: FollowedTable(spec, settings) for spec in TABLES}
        self.inventory = Inventory()

    def refresh(self) -> bool:
        """Read again if enough time has passed; true if something changed."""
        now = time.monotonic()
        if self._looked is not None and now - self._looked < self._every:
            return False
        passed = None if self._looked is None else now - self._looked
        self._looked = now
        before = self.inventory
        self.inventory = self._look({table.name: table.rows for table in before.tables}, passed)
        return self.inventory != before

    def _look(self, rows: Mapping[str, int], passed: float | None) -> Inventory:
        found: list[TableSize] = []
        missing: list[str] = []
        for spec in TABLES:
            size = self._size(spec, rows.get(spec.full_name), passed)
            if size is None:
                missing.append(spec.full_name)
            else:
                found.append(size)
        return Inventory(tuple(found), tuple(missing), self._topics(), streams(self._settings))

    def _size(self, spec: TableSpec, rows_before: int | None, passed: float | None) -> TableSize | None:
        try:
            table = self._followed[spec.full_name].newest()
            if table is None:
                return None
            added = pa.table(table.get_add_actions(flatten=True))
        except Exception:  # the reader of its rows reports a damaged table
            return None
        rows = pc.sum(added["num_records"]).as_py() or 0
        column = f"max.{spec.time_column}"
        newest = pc.max(added[column]).as_py() if column in added.column_names else None
        return TableSize(
            spec.full_name,
            spec.description,
            rows,
            table.version(),
            added.num_rows,
            pc.sum(added["size_bytes"]).as_py() or 0,
            newest if isinstance(newest, datetime) else None,  # some tables are not sorted by time
            None if rows_before is None or not passed else max(0.0, (rows - rows_before) / passed),
        )

    def _topics(self) -> tuple[TopicLag, ...]:
        try:
            consumed = consumed_offsets(self._settings)
        except (OSError, RuntimeError):  # absent or damaged
            consumed = {}
        return by_topic(consumed, self._broker.marks)
