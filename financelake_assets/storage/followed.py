"""Delta tables that are checked again and again: opened once, then updated with new commits.

Input: a table's spec and the lake's settings. Output: the current version of the table, or its figures. Opening a table
reads every commit since the last checkpoint of its log, and each is a request if the table is in an object store.
"""

from __future__ import annotations

import threading

from deltalake import DeltaTable

from financelake_assets.config import Settings
from financelake_assets.storage.delta import TableFacts, TableSpec
from financelake_assets.storage.log_watch import LogWatch


class FollowedTable:
    """One table. Not for use by several threads."""

    def __init__(self, spec: TableSpec, settings: Settings) -> None:
        self._spec, self._settings = spec, settings
        self._log = LogWatch(spec, settings)
        self._table: DeltaTable | None = None
        self._folder: tuple[int, int] | None = None

    def newest(self) -> DeltaTable | None:
        """The current version: a new object if the table was created again, ``None`` if there is no table.

        Raises:
            DeltaError: it cannot be read. The next call opens it again.
        """
        changed = self._log.may_have_changed()
        if self._table is not None and not changed:
            return self._table
        table, self._table = self._table, None
        folder = self._log.folder
        if table is None or folder != self._folder:
            table = self._spec.open(self._settings)
        else:
            table.update_incremental()
        self._table, self._folder = table, folder
        return table


class FollowedFacts:
    """The figures of a lake's tables, read again only where there is a new commit. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._tables: dict[str, FollowedTable] = {}
        self._known: dict[str, tuple[DeltaTable, TableFacts]] = {}

    def of(self, spec: TableSpec) -> TableFacts | None:
        """Rows, version and newest times of a table; ``None`` if it does not exist yet.

        Raises:
            DeltaError: it cannot be read. The next call opens it again.
        """
        with self._lock:
            table = self._tables.setdefault(spec.full_name, FollowedTable(spec, self._settings)).newest()
            if table is None:
                return None
            seen = self._known.get(spec.full_name)
            if seen is not None and seen[0] is table and seen[1].version == table.version():
                return seen[1]
            facts = spec.facts_of(table)
            self._known[spec.full_name] = (table, facts)
            return facts
