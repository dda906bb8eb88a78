"""Delta tables in memory: read once per version, grouped by symbol and interval, bounded.

Input: a table's spec and the lake's settings. Output: an immutable ``TableView`` that all page visitors share. If a new
version only added files, a refresh reads only those files; after any other change it reads the table again. An absent,
empty, damaged or too new table is a state that the page can show, never an exception in a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.storage.delta import TableSpec
from financelake_assets.storage.followed import FollowedTable
from financelake_assets.storage.store import delta_options

State = Literal["absent", "empty", "ready", "broken"]
Group = tuple[str, ...]

_PLAIN_READER = 1
"""Reader protocol whose data files contain exactly the table's rows: no deletion vectors, no column mapping."""

_SPARE = 16
"""A group may have a sixteenth more rows than it must, so that it is not cut at each row that comes."""

_MOST_CHUNKS = 16
"""Rows that came one by one are put together when there are more pieces: before, that costs more than it saves."""


@dataclass(frozen=True, eq=False)
class TableView:
    """One version of a table: rows by group, each group sorted by the table's time and limited to its newest rows."""

    state: State = "absent"
    version: int | None = None
    rows: int = 0
    groups: Mapping[Group, pl.DataFrame] = field(default_factory=dict)
    problem: str | None = None
    empty: pl.DataFrame = field(default_factory=pl.DataFrame)

    def group(self, *key: str | None) -> pl.DataFrame:
        """The rows of one group; no rows if there is no such group."""
        return self.groups.get(tuple(part or "" for part in key), self.empty)

    @property
    def all(self) -> pl.DataFrame:
        """The rows of all groups together."""
        return pl.concat(self.groups.values()) if self.groups else self.empty


class CachedTable:
    """The newest version of one table in memory. One thread refreshes it; any number of threads read ``view``."""

    def __init__(
        self,
        spec: TableSpec,
        settings: Settings,
        *,
        group_by: Group = (),
        keep: int = 1_000,
        unique: Group | None = None,
        without: Group = (),
        where: pl.Expr | None = None,
    ) -> None:
        """Declare what to keep.

        Args:
            spec: the table.
            settings: the lake.
            group_by: columns that identify a group, where null is an empty text; without any, the whole table is one.
            keep: how many of each group's newest rows to keep.
            unique: columns that identify a row for the page, by default the table's key; the latest row wins.
            without: columns that the page does not need.
            where: which rows the page needs; ``TableView.rows`` counts the others too.
        """
        self.spec = spec
        self._settings = settings
        self._group_by = group_by
        self._keep = keep
        self._unique = list(unique or spec.key)
        self._where = where
        self._order = [spec.time_column] + (["as_of"] if "as_of" in spec.schema.names else [])
        self._empty = spec.empty.drop(without)
        self._followed = FollowedTable(spec, settings)
        self._table: DeltaTable | None = None
        self._files: frozenset[str] = frozenset()
        self._read_version: int | None = None
        self.view = TableView(empty=self._empty)

    def refresh(self) -> bool:
        """Read the rows of a newer version, if there is one; true if ``view`` changed."""
        before = self.view
        try:
            self.view = self._newest(before)
        except Exception as error:
            self._table = None  # the next refresh opens the table again
            problem = _plain_words(self.spec, error)
            if before.problem != problem:
                self.view = replace(before, state="broken", problem=problem)
        return self.view is not before

    def _newest(self, before: TableView) -> TableView:
        table = self._followed.newest()
        if table is not self._table:
            self._table, self._files, self._read_version = table, frozenset(), None
        if table is None:
            return before if before.state == "absent" else TableView(empty=self._empty)
        if table.version() == self._read_version:
            return before
        view = self._read(table, before)
        self._read_version = view.version
        return view

    def _read(self, table: DeltaTable, before: TableView) -> TableView:
        files = frozenset(table.file_uris())
        plain = table.protocol().min_reader_version == _PLAIN_READER and not table.metadata().partition_columns
        grown = plain and bool(self._files) and self._files <= files
        added = files - self._files if grown else files
        came = 0
        if not added:
            groups: dict[Group, pl.DataFrame] = dict(before.groups) if grown else {}
        else:
            fresh = self._typed(self._of_files(added, table) if plain else pl.scan_delta(table))
            came = fresh.height
            needed = fresh if self._where is None else fresh.filter(self._where)
            groups = self._merged(before.groups if grown else {}, needed)
        self._files = files
        count = before.rows + came if grown else self._count(table)
        return TableView("ready" if groups else "empty", table.version(), count, groups, None, self._empty)

    def _of_files(self, uris: frozenset[str], table: DeltaTable) -> pl.LazyFrame:
        options = delta_options(self._settings)
        # the first file decides which columns are read; one of an earlier release may lack a part of the key
        part_is_new = any(self.spec.schema.field(name).nullable for name in self._unique)
        return pl.scan_parquet(
            sorted(uris),
            schema=pl.scan_delta(table).collect_schema() if part_is_new else None,
            missing_columns="insert",
            extra_columns="ignore",
            storage_options=options,
            credential_provider=None,
        )

    @staticmethod
    def _count(table: DeltaTable) -> int:
        return pc.sum(pa.table(table.get_add_actions())["num_records"]).as_py() or 0

    def _typed(self, rows: pl.LazyFrame) -> pl.DataFrame:
        """The declared columns with their declared types; columns that a file lacks are null, others are ignored."""
        present = rows.collect_schema().names()
        needed = [name for name in self._unique if not self.spec.schema.field(name).nullable]
        missing = [name for name in needed if name not in present]
        if missing:
            raise MissingColumnsError(f"{self.spec.full_name} has no column {', '.join(missing)}")
        columns = [
            (pl.col(name) if name in present else pl.lit(None)).cast(kind).alias(name)
            for name, kind in self._empty.schema.items()
        ]
        return rows.select(columns).collect()

    def _merged(self, known: Mapping[Group, pl.DataFrame], fresh: pl.DataFrame) -> dict[Group, pl.DataFrame]:
        merged = dict(known)
        for key, rows in _partitions(fresh, self._group_by):
            old, newer = known.get(key), rows if rows.height == 1 else self._ordered(rows)
            if old is None:
                merged[key] = newer.tail(self._keep)
            elif self._follows(old, newer):
                # the usual case, and a hundredth of the work
                longer = old.vstack(newer)
                if longer.height > self._keep + self._keep // _SPARE:
                    longer = longer.tail(self._keep)
                merged[key] = longer.rechunk() if longer.n_chunks() > _MOST_CHUNKS else longer
            else:
                merged[key] = self._ordered(pl.concat([old, rows])).tail(self._keep)
        return merged

    def _ordered(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The latest of the rows of each key, by time."""
        in_order = rows.sort(self._order, maintain_order=True)
        return in_order.unique(self._unique, keep="last", maintain_order=True)

    def _follows(self, old: pl.DataFrame, newer: pl.DataFrame) -> bool:
        """Whether all rows come after the known ones, and so are none of them."""
        time = self.spec.time_column
        if time not in self._unique:
            return False
        before, first = old[time][-1], newer[time][0]
        return before is not None and first is not None and first > before


class MissingColumnsError(FinanceLakeError, ValueError):
    """A table lacks columns that identify its rows."""


def _partitions(frame: pl.DataFrame, by: Group) -> Iterable[tuple[Group, pl.DataFrame]]:
    if frame.is_empty():
        return ()
    if not by:
        return (((), frame),)
    parts = frame.partition_by(list(by))  # as a dictionary it would take ten times as long
    return ((tuple(str(rows[name][0] or "") for name in by), rows) for rows in parts)


def _plain_words(spec: TableSpec, error: Exception) -> str:
    """What is wrong with a table, without a stack trace or a path."""
    if isinstance(error, MissingColumnsError):
        return str(error)
    if isinstance(error, (FileNotFoundError, TableNotFoundError)):
        return f"files of {spec.full_name} disappeared while it was read"
    text = str(error).lower()
    if "reader" in text and ("version" in text or "feature" in text):
        return f"{spec.full_name} was written by a newer version of Delta than this page can read"
    return f"{spec.full_name} cannot be read ({type(error).__name__})"
