"""Delta tables as the lake declares them: one ``TableSpec`` for each, created and inspected without Spark.

Input: the specs in each layer's ``schema.py``. Output: tables, and facts about them that cost little (rows, version,
newest event). Creation is idempotent and safe if several processes try it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, TypeVar

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from arro3.core import Table
from deltalake import DeltaTable
from deltalake import Schema as DeltaSchema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from financelake_assets.config import Settings
from financelake_assets.files import locked
from financelake_assets.storage.store import delta_options

_ATTEMPTS = 8
_PROPERTIES = {"delta.checkpointInterval": "20"}
"""Properties of every table. Opening one reads each commit since the last checkpoint, and streams commit often."""

T = TypeVar("T")

TIMESTAMP = pa.timestamp("us", tz="UTC")


Sources = tuple[str, ...]
"""Columns of tables, each written as ``layer/name.column``."""


@dataclass(frozen=True)
class Lineage:
    """The source columns of a table's columns.

    ``of`` has the sources of single columns; ``same`` has the tables from which columns of the same name are copied
    (the last table that has the name wins); ``rest`` has the sources of all other columns. A column that only says when
    or by what a row was made (``as_of``, ``model_version`` …) has no sources.
    """

    same: tuple[TableSpec, ...] = ()
    rest: Sources = ()
    of: Mapping[str, Sources] = field(default_factory=dict)


@dataclass(frozen=True)
class TableSpec:
    """A Delta table: its place, its columns, its unique key, its properties, and the column that tells its age.

    ``constraints`` are named rules for every row; a write that breaks one fails. ``expectations`` are rules that a
    check in Dagster tests, where a write must not wait for them. To add a column, a constraint or a property, declare
    it: a table that lacks it gets it when a process next opens it for writing.
    """

    layer: str
    name: str
    schema: pa.Schema
    key: tuple[str, ...]
    description: str
    properties: Mapping[str, str] = field(default_factory=dict)
    constraints: Mapping[str, str] = field(default_factory=dict)
    expectations: Mapping[str, str] = field(default_factory=dict)
    time_column: str = "event_time"
    lineage: Lineage = field(default_factory=Lineage)

    def columns(self, *names: str) -> Sources:
        """Columns of this table, as sources for another table."""
        return tuple(f"{self.full_name}.{name}" for name in names)

    @property
    def made_of(self) -> dict[str, Sources]:
        """The derived columns, each with its sources."""
        found = dict.fromkeys(self.schema.names, self.lineage.rest)
        for source in self.lineage.same:
            found |= {name: source.columns(name) for name in self.schema.names if name in source.schema.names}
        found |= self.lineage.of
        return {name: sources for name, sources in found.items() if sources}

    @property
    def full_name(self) -> str:
        """``layer/name``, as in paths, asset keys and status."""
        return f"{self.layer}/{self.name}"

    @property
    def rules(self) -> dict[str, str]:
        """Constraints and expectations by name, in SQL."""
        return {**self.constraints, **self.expectations}

    @property
    def empty(self) -> pl.DataFrame:
        """No rows, with the declared columns."""
        return pl.DataFrame(pl.from_arrow(self.schema.empty_table()))

    @property
    def same_key(self) -> str:
        """The merge condition: source ``s`` and target ``t`` have the same key."""
        return " AND ".join(f"t.`{name}` = s.`{name}`" for name in self.key)

    def path(self, settings: Settings) -> str:
        """Folder or URL of the table in this lake."""
        return settings.table(self.layer, self.name)

    def ensure(self, settings: Settings) -> DeltaTable:
        """Open the table; create it if it does not exist, and add what is new in its declaration.

        Raises:
            DeltaError: the folder contains something that is not a readable Delta table, or a row that breaks a new
                rule of the declaration.
        """
        try:
            table = self._opened(settings)
        except TableNotFoundError:
            table = self._created(settings)
        if not any(self._lacking(table)):
            return table
        return retried(lambda: self._completed(self._opened(settings)))

    def _opened(self, settings: Settings) -> DeltaTable:
        return _Told(self.path(settings), storage_options=delta_options(settings))

    def _created(self, settings: Settings) -> DeltaTable:
        try:
            return _Told.create(
                self.path(settings),
                schema=self.schema,
                mode="error",
                description=self.description,
                configuration=self._all_properties,
                storage_options=delta_options(settings),
            )
        except DeltaError:
            return self._opened(settings)  # another process created it meanwhile

    def _lacking(self, table: DeltaTable) -> _Lacking:
        present = {field.name for field in table.schema().fields}
        known = table.metadata().configuration
        return _Lacking(
            [name for name in self.schema.names if name not in present],
            {name: rule for name, rule in self.constraints.items() if f"delta.constraints.{name}" not in known},
            {name: value for name, value in self._all_properties.items() if name not in known},
        )

    def _completed(self, table: DeltaTable) -> DeltaTable:
        lacking = self._lacking(table)
        if lacking.properties:
            table.alter.set_table_properties(lacking.properties)
        if lacking.columns:
            # in existing rows the new columns are null
            fields = [self.schema.field(name).with_nullable(True) for name in lacking.columns]
            table.alter.add_columns(DeltaSchema.from_arrow(pa.schema(fields)).fields)
        for name, rule in lacking.rules.items():
            table.alter.add_constraint({name: rule})
        return table

    @property
    def _all_properties(self) -> dict[str, str]:
        return {**_PROPERTIES, **self.properties}

    def open(self, settings: Settings) -> DeltaTable | None:
        """Open the table; ``None`` if it does not exist yet (a broken table still raises)."""
        try:
            return self._opened(settings)
        except TableNotFoundError:
            return None

    def scan(self, settings: Settings, version: int | None = None) -> pl.LazyFrame:
        """The current rows, or those of a version; none if the table does not exist yet.

        Columns that the table had not yet when it was last opened for writing are null.
        """
        table = self.open(settings)
        if table is None:
            return self.empty.lazy()
        if version is not None:
            table.load_as_version(version)
        return self.completed(pl.scan_delta(table))

    def completed(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Rows of the table, with nulls in the declared columns that they lack."""
        present, empty = rows.collect_schema(), self.empty.schema
        lacking = [pl.lit(None, kind).alias(name) for name, kind in empty.items() if name not in present]
        return rows.with_columns(lacking) if lacking else rows

    @contextmanager
    def turn(self, settings: Settings) -> Iterator[None]:
        """A lock for writers that rewrite this table. Without it, one of two writers has to retry.

        Raises:
            LockTimeoutError: another writer does not end.
        """
        folder = settings.run_dir
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / f"table-{self.layer}-{self.name}.lock"):
            yield

    def facts(self, settings: Settings) -> TableFacts | None:
        """Rows, version and newest times, from the table's log alone; ``None`` if it does not exist yet."""
        table = self.open(settings)
        return None if table is None else self.facts_of(table)

    def facts_of(self, table: DeltaTable) -> TableFacts:
        """Rows, version and newest times of an open table."""
        added = pa.table(table.get_add_actions(flatten=True))
        newest = f"max.{self.time_column}"
        # some tables are not ordered by time
        known = newest in added.column_names and pa.types.is_temporal(added[newest].type)
        return TableFacts(
            rows=pc.sum(added["num_records"]).as_py() or 0,
            version=table.version(),
            newest=pc.max(added[newest]).as_py() if known else None,
        )


class _Told(DeltaTable):
    """A table whose files' newest times are told as not before they are.

    A log holds them cut to milliseconds. polars takes them for exact, and leaves out a file whose last row is a few
    microseconds younger, though a filter asks for that row.
    """

    def get_add_actions(self, flatten: bool = False) -> Table:
        """The files, as delta-rs tells of them; not flattened, as polars asks, with times that are not early."""
        told = super().get_add_actions(flatten)
        files = pl.DataFrame(told)
        newest = files["max"].struct.schema if not flatten and "max" in files.columns else {}
        times = [name for name, kind in newest.items() if isinstance(kind, pl.Datetime)]
        if not times or files.is_empty():
            return told
        later = [pl.col("max").struct.field(name) + pl.duration(microseconds=999) for name in times]
        whole = files.with_columns(pl.col("max").struct.with_fields(later)).to_arrow()
        return Table.from_arrow(whole)


class _Lacking(NamedTuple):
    """What the declaration has and the table lacks."""

    columns: list[str]
    rules: dict[str, str]
    properties: dict[str, str]


@dataclass(frozen=True)
class TableFacts:
    """Facts from a table's log: rows, Delta version, and the newest value of its time column (UTC)."""

    rows: int
    version: int
    newest: datetime | None


def columns(fields: Mapping[str, pa.DataType], required: tuple[str, ...] = ()) -> pa.Schema:
    """An Arrow schema from names and types; those named in ``required`` are not nullable."""
    return pa.schema([pa.field(name, kind, nullable=name not in required) for name, kind in fields.items()])


def retried(commit: Callable[[], T]) -> T:
    """Call a function that ends in a commit; call it again if another writer committed first.

    Raises:
        CommitFailedError: another writer committed first at each attempt.
    """
    return Retrying(
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.1),
        retry=retry_if_exception_type(CommitFailedError),
        reraise=True,
    )(commit)
