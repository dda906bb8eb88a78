"""A Delta table that is looked at again and again: opened once, and told of new commits after that.

Input: a table's spec and the lake's settings. Output: the table as it is now. Opening one reads every commit since the
last checkpoint of its log, each a request where the table is in an object store.
"""

from __future__ import annotations

from pathlib import Path

from deltalake import DeltaTable

from financelake_assets.config import Settings
from financelake_assets.storage.delta import TableSpec


class FollowedTable:
    """One table. Not for several threads."""

    def __init__(self, spec: TableSpec, settings: Settings) -> None:
        self._spec, self._settings = spec, settings
        self._table: DeltaTable | None = None
        self._folder: tuple[int, int] | None = None

    def newest(self) -> DeltaTable | None:
        """The table as it is now; another object than before where the table is another, ``None`` where there is none.

        Raises:
            DeltaError: it cannot be read. The next look starts afresh.
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
        """Tells a table that was deleted and made again from the one that was open; in a store that takes a restart."""
        try:
            stat = Path(self._spec.path(self._settings), "_delta_log").stat()
        except FileNotFoundError:
            return None
        return stat.st_dev, stat.st_ino
