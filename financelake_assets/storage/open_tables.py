"""Tables that a query writes to, kept open: rows in and out with delta-rs, a few dozen milliseconds each.

Input: polars rows with the columns of a ``TableSpec``. Output: each key once, as it was first written. An insert is
idempotent, and safe beside another writer: who loses the race for a commit looks again at what is there.
"""

from __future__ import annotations

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from financelake_assets.config import Settings
from financelake_assets.storage.delta import TableSpec, retried

_INSERTS = "inserts"


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
        near = pl.col(table.time_column).is_between(rows[table.time_column].min(), rows[table.time_column].max())
        key = list(table.key)

        def add() -> int:
            opened = self.newest(table)
            known = pl.scan_delta(opened).filter(near).select(key).collect()
            new = rows.join(known, on=key, how="anti")
            if not new.is_empty():
                source = new.select(table.schema.names).to_arrow().cast(table.schema)
                # appends conflict with nothing, but two that move one number do: who comes second looks again
                inserts = Transaction(_INSERTS, (opened.transaction_version(_INSERTS) or 0) + 1)
                properties = CommitProperties(app_transactions=[inserts])
                write_deltalake(opened, source, mode="append", commit_properties=properties)
            return new.height

        return retried(add)
