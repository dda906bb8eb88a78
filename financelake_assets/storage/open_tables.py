"""Tables that a query writes to, kept open: delta-rs reads and writes rows in a few dozen milliseconds.

Input: polars rows with the columns of a ``TableSpec``. Output: each key once, as first written. An insert is idempotent
and safe beside another writer: if the other one commits first, it reads the table again and retries.
"""

from __future__ import annotations

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from financelake_assets.config import Settings
from financelake_assets.storage.delta import TableSpec, retried

_INSERTS = "inserts"


class OpenTables:
    """A lake's tables, kept open: checking for new commits costs far less than opening a table."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._open: dict[str, DeltaTable] = {}

    def newest(self, table: TableSpec) -> DeltaTable:
        """The current version of a table; creates the table if it does not exist."""
        opened = self._open.get(table.full_name)
        if opened is None:
            opened = self._open[table.full_name] = table.ensure(self.settings)
        else:
            opened.update_incremental()
        return opened

    def scan(self, table: TableSpec) -> pl.LazyFrame:
        """The table's current rows."""
        return pl.scan_delta(self.newest(table))

    def insert(self, table: TableSpec, rows: pl.DataFrame) -> int:
        """Add the rows whose key is not in the table yet; ignore the others.

        Args:
            table: the target; created if it does not exist.
            rows: at least the columns of the table, each key once.

        Returns:
            How many rows were new.

        Raises:
            CommitFailedError: another writer committed first at each attempt.
        """
        if rows.is_empty():
            return 0
        near = pl.col(table.time_column).is_between(rows[table.time_column].min(), rows[table.time_column].max())
        key = list(table.key)

        def add() -> int:
            opened = self.newest(table)
            known = pl.scan_delta(opened).filter(near).select(key).collect()
            new = rows.join(known, on=key, how="anti", nulls_equal=True)
            if not new.is_empty():
                source = new.select(table.schema.names).to_arrow().cast(table.schema)
                # appends never conflict, but two writers of the same transaction id do: the second one retries
                inserts = Transaction(_INSERTS, (opened.transaction_version(_INSERTS) or 0) + 1)
                properties = CommitProperties(app_transactions=[inserts])
                write_deltalake(opened, source, mode="append", commit_properties=properties)
            return new.height

        return retried(add)
