"""A Delta table that is checked again and again: opened once, then updated with new commits.

Input: a table's spec and the lake's settings. Output: the current version of the table. Opening a table reads every
commit since the last checkpoint of its log, and each is a request if the table is in an object store.
"""

from __future__ import annotations

from pathlib import Path

from deltalake import DeltaTable

from financelake_assets.config import Settings
from financelake_assets.storage.delta import TableSpec


class FollowedTable:
    """One table. Not for use by several threads."""

    def __init__(self, spec: TableSpec, settings: Settings) -> None:
        self._spec, self._settings = spec, settings
        self._table: DeltaTable | None = None
        self._folder: tuple[int, int] | None = None

    def newest(self) -> DeltaTable | None:
        """The current version: a new object if the table was created again, ``None`` if there is no table.

        Raises:
            DeltaError: it cannot be read. The next call opens it again.
        """
        table, self._table = self._table, None
        folder = self._identity()
        if table is None or folder != self._folder:
            table = self._spec.open(self._settings)
        else:
            table.update_incremental()
        self._table, self._folder = table, folder
        return table

    def _identity(self) -> tuple[int, int] | None:
        """Identifies a table's folder, so that a table that was created again is noticed; a store needs a restart."""
        try:
            stat = Path(self._spec.path(self._settings), "_delta_log").stat()
        except FileNotFoundError:
            return None
        return stat.st_dev, stat.st_ino
