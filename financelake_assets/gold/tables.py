"""Gold's tables at their edge: rows in and out with delta-rs, a few dozen milliseconds each.

Enters: polars rows with the columns of a ``TableSpec``. Leaves: each key once, as it was first written. An insert is
idempotent, and safe beside another writer: who loses the race for a commit looks again at what is there.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl
from deltalake import DeltaTable

from financelake_assets.config import Settings
from financelake_assets.resources.delta import TableSpec, retried


class OpenTables:
    """A lake's tables, kept open: looking for new commits costs a fraction of opening a table."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._open: dict[str, DeltaTable] = {}

    def newest(self, table: TableSpec) -> DeltaTable:
        """A table as it is now; it is created where it does not exist."""
        opened = self._open.get(table.full_name)
        if opened is None:
            opened = self._open[table.full_name] = table.ensure(self.settings)
        else:
            opened.update_incremental()
        return opened

    def scan(self, table: TableSpec) -> pl.LazyFrame:
        """The table's rows as they are now."""
        return pl.scan_delta(self.newest(table))

    def insert(self, table: TableSpec, rows: pl.DataFrame) -> int:
        """Add the rows whose key is not in the table yet; the others change nothing.

        Args:
            table: the target; it is created where it does not exist.
            rows: at least the columns of the table, each key once.

        Returns:
            How many rows were new.

        Raises:
            CommitFailedError: others wrote to the table again and again.
        """
        if rows.is_empty():
            return 0
        source = rows.select(table.schema.names).to_arrow().cast(table.schema)
        moment = table.time_column
        first, last = rows[moment].min(), rows[moment].max()
        # the bounds hold for every key of the source, and let files be skipped
        bounds = f"t.`{moment}` >= TIMESTAMP '{_text(first)}' AND t.`{moment}` <= TIMESTAMP '{_text(last)}'"

        def merge() -> int:
            opened = self.newest(table)
            merger = opened.merge(source, f"{bounds} AND {table.same_key}", source_alias="s", target_alias="t")
            return int(merger.when_not_matched_insert_all().execute()["num_target_rows_inserted"])

        return retried(merge)


def insert(table: TableSpec, settings: Settings, rows: pl.DataFrame) -> int:
    """Insert once; see ``OpenTables.insert``."""
    return OpenTables(settings).insert(table, rows)


def _text(moment: object) -> str:
    if not isinstance(moment, datetime):
        raise TypeError(f"{moment!r} is not a time")
    return moment.isoformat()
