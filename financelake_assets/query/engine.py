"""SQL over the lake's tables with DuckDB: read-only, in bounded memory and time.

A connection exists for one query. It has views of the tables that the query names, and may open only the files of those
views. It cannot load or attach anything, and its settings are locked. A statement is checked before it runs, so a write
gets a clear error.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

from financelake_assets.config import Settings
from financelake_assets.query import versions
from financelake_assets.query.errors import QueryError, QueryTimeoutError, ReadOnlyError
from financelake_assets.query.names import BY_NAME, CATALOG
from financelake_assets.query.statements import compared, described_by, tables_of
from financelake_assets.query.versions import AsOf
from financelake_assets.storage.delta import TableSpec

BATCH = 10_000
"""Rows in each batch of an answer."""

_PLAIN_READER = 1
"""Reader protocol whose data files contain exactly the table's rows: no deletion vectors, no column mapping."""

Opened = Mapping[str, DeltaTable | None]


@dataclass(frozen=True)
class Answer:
    """The answer to a query. ``batches`` can be read once; ``versions`` has the version of each table that was read."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    versions: Mapping[str, int | None]
    """``None`` is a table that the lake has not created yet; it has no rows."""

    def table(self) -> pa.Table:
        """All rows at once."""
        return pa.Table.from_batches(self.batches, self.schema)


@dataclass(frozen=True)
class Described:
    """The columns of a query's answer, and the types of its placeholders.

    A placeholder has the type of the column that it is compared with, and else is text, which DuckDB converts.
    """

    schema: pa.Schema
    placeholders: tuple[pa.DataType, ...]


@contextmanager
def answered(
    settings: Settings,
    query: str,
    as_of: AsOf = None,
    seconds: float | None = None,
    parameters: Sequence[object] = (),
    stop: threading.Event | None = None,
) -> Iterator[Answer]:
    """Run one query; its answer can be read only inside the ``with``.

    Args:
        settings: the lake.
        query: one SQL statement in DuckDB's dialect that only reads.
        as_of: a time, or a version if the query names only one table.
        seconds: the time limit; the default is ``query.timeout_seconds``.
        parameters: values of the statement's placeholders, in their order.
        stop: whoever sets it, from any thread, ends the query; the engine sets it when the query has ended.

    Raises:
        ReadOnlyError: the statement does not only read.
        UnknownTableError: it names a table that does not exist.
        VersionGoneError: a table is not kept at that version or time.
        QueryTimeoutError: it exceeded the time limit.
        QueryError: DuckDB refuses it, or it was stopped; the message is DuckDB's.
    """
    limit = settings.query.timeout_seconds if seconds is None else seconds
    with tempfile.TemporaryDirectory(prefix="financelake-sql-") as spill, _connection(settings, spill) as connection:
        with _in_words(threading.Event(), limit):
            named = tables_of(connection, query)
        if isinstance(versions.parsed(as_of), int) and len(named) > 1:
            raise QueryError(
                f"The query reads {', '.join(sorted(named))}; a version is possible only for one table.",
                remedy="Give a time instead: each table is then read as it was at that time.",
            )
        opened = {name: versions.at(spec, settings, as_of) for name, spec in named.items()}
        _prepare(connection, settings, opened)
        with _limited(connection, limit, stop or threading.Event()) as over, _in_words(over, limit):
            reader = connection.execute(query, list(parameters)).to_arrow_reader(BATCH)
            yield Answer(
                reader.schema,
                _batches(reader, over, limit),
                {name: None if table is None else table.version() for name, table in opened.items()},
            )


def described(settings: Settings, query: str, parameters: Sequence[object] | None = None) -> Described:
    """What a query would answer, without running it; raises as ``answered`` does.

    Args:
        settings: the lake.
        query: one SQL statement in DuckDB's dialect that only reads.
        parameters: values of its placeholders; without them, each is null.
    """
    limit = settings.query.timeout_seconds
    with tempfile.TemporaryDirectory(prefix="financelake-sql-") as spill, _connection(settings, spill) as connection:
        with _in_words(threading.Event(), limit):
            named = tables_of(connection, query)
            text, placeholders = described_by(connection, query)
        _prepare(connection, settings, {name: versions.at(spec, settings) for name, spec in named.items()})
        values: list[object] = [None] * placeholders if parameters is None else list(parameters)
        with _limited(connection, limit, threading.Event()) as over, _in_words(over, limit):
            # the text was found to be one SELECT
            kinds = connection.execute(f"SELECT * FROM ({text}\n) LIMIT 0", values).to_arrow_reader(1).schema  # noqa: S608
            names = _as_named(connection, text, values, kinds)
        columns = {field.name.lower(): field.type for name in named for field in BY_NAME[name].schema}
        beside = compared(connection, text) if placeholders else {}
        types = [columns.get(beside.get(str(one + 1), "").lower(), pa.string()) for one in range(placeholders)]
        return Described(names, tuple(types))


def _as_named(connection: duckdb.DuckDBPyConnection, text: str, values: list[object], kinds: pa.Schema) -> pa.Schema:
    """The columns with the query's own names: a subquery changes those that come twice."""
    try:
        names = [str(row[0]) for row in connection.execute(f"DESCRIBE {text}", values).fetchall()]
    except duckdb.Error:  # SHOW, DESCRIBE and SUMMARIZE, whose names come once
        return kinds
    return pa.schema([field.with_name(name) for field, name in zip(kinds, names, strict=True)])


@contextmanager
def _connection(settings: Settings, spill: str) -> Iterator[duckdb.DuckDBPyConnection]:
    limits: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{settings.query.memory_mb}MB",
        "temp_directory": spill,
        "max_temp_directory_size": f"{settings.query.spill_mb}MB",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,  # a query must not see the caller's variables
    }
    with duckdb.connect(config=limits) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"ATTACH ':memory:' AS {CATALOG}")  # so that `financelake.silver.bars` is a name too
        connection.execute(f"USE {CATALOG}")
        yield connection


def _prepare(connection: duckdb.DuckDBPyConnection, settings: Settings, opened: Opened) -> None:
    """Make a view of each table, and close everything else."""
    paths = {name: _paths(BY_NAME[name], settings, table) for name, table in opened.items()}
    allowed = [path for found in paths.values() for path in found or ()]
    connection.execute(f"SET allowed_paths = [{', '.join(map(_quoted, allowed))}]")
    connection.execute("SET enable_external_access = false")
    for layer in {BY_NAME[name].layer for name in opened}:
        connection.execute(f"CREATE SCHEMA {layer}")
    for name, table in opened.items():
        _view(connection, name, table, paths[name])
    connection.execute("SET lock_configuration = true")


def _paths(spec: TableSpec, settings: Settings, table: DeltaTable | None) -> list[str] | None:
    """The files that DuckDB can read by itself; ``None`` if delta-rs has to read them, as from a store."""
    if table is None:
        return []
    plain = table.protocol().min_reader_version == _PLAIN_READER and not table.metadata().partition_columns
    if settings.store.url is not None or not plain:
        return None
    return [str(Path(spec.path(settings), name)) for name in sorted(versions.files(table))]


def _view(connection: duckdb.DuckDBPyConnection, name: str, table: DeltaTable | None, paths: list[str] | None) -> None:
    spec = BY_NAME[name]
    # declares all columns and types, even if no file has them yet
    schema = spec.schema if table is None else pa.schema(table.schema().to_arrow())
    declared, hidden = f"columns_{spec.layer}_{spec.name}", f"rows_{spec.layer}_{spec.name}"
    connection.register(declared, schema.empty_table())
    sources = [declared]
    if paths is None and table is not None:
        connection.register(hidden, table.to_pyarrow_dataset())
        sources.append(hidden)
    elif paths:
        sources.append(f"read_parquet([{', '.join(map(_quoted, paths))}], union_by_name = true)")
    # the names are from the catalogue, and the paths are quoted
    rows = " UNION ALL BY NAME ".join(f"FROM {source}" for source in sources)
    connection.execute(f"CREATE VIEW {name} AS {rows}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def _limited(connection: duckdb.DuckDBPyConnection, seconds: float, stop: threading.Event) -> Iterator[threading.Event]:
    """Interrupt the connection after a while, or when it is told to stop; the event says whether the time was over."""
    over, ended = threading.Event(), threading.Event()

    def watch() -> None:
        told = stop.wait(seconds)
        if not ended.is_set():
            if not told:
                over.set()
            connection.interrupt()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield over
    finally:
        ended.set()
        stop.set()
        watcher.join()  # it must not interrupt a closed connection


def _batches(reader: pa.RecordBatchReader, over: threading.Event, seconds: float) -> Iterator[pa.RecordBatch]:
    with _in_words(over, seconds):
        for batch in reader:
            if over.is_set():
                raise too_long(seconds)
            yield batch


def too_long(seconds: float) -> QueryTimeoutError:
    """The error of a query that exceeded its time limit."""
    return QueryTimeoutError(
        f"The query was stopped after {seconds:g} s.",
        remedy="Read less (one symbol, a time range), or raise --timeout or FINANCELAKE_QUERY__TIMEOUT_SECONDS.",
    )


@contextmanager
def _in_words(over: threading.Event, seconds: float) -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        if over.is_set():
            raise too_long(seconds) from error
        if isinstance(error, duckdb.OutOfMemoryException):
            raise QueryError(
                "The query needs more memory or disk than its limit.",
                remedy="Read less, or raise FINANCELAKE_QUERY__MEMORY_MB or FINANCELAKE_QUERY__SPILL_MB.",
            ) from error
        if isinstance(error, duckdb.PermissionException):
            raise ReadOnlyError("A query can read the lake's tables, and no other file or address.") from error
        if not isinstance(error, (duckdb.Error, pa.ArrowException)):
            raise
        raise QueryError(str(error).strip()) from error
