"""New rows of a table, commit by commit, from Delta's log.

Input: a table's commits. Output: for each commit, the rows that it added or changed: the rows of its added files that
are not in its removed files. So a correction gives only the corrected row, and a commit that only compacts files gives
no row.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import polars as pl
from deltalake import DeltaTable

from financelake_assets.config import Settings
from financelake_assets.query import commits
from financelake_assets.query.commits import Commit
from financelake_assets.query.errors import VersionGoneError
from financelake_assets.query.names import dotted
from financelake_assets.query.rendering import in_order
from financelake_assets.storage.delta import TableSpec
from financelake_assets.storage.log_watch import LogWatch
from financelake_assets.storage.store import delta_options

_LOOK_S, _LOOK_STORE_S = 0.2, 1.0
"""Time between two checks for a commit; in a store each check is a request."""


@dataclass(frozen=True, eq=False)
class NewRows:
    """The new rows of one commit. Continue after its ``version``."""

    version: int
    time: datetime
    rows: pl.DataFrame


def position(spec: TableSpec, settings: Settings, after: int | None) -> int:
    """The version after which to begin: the newest one, or the given one.

    Raises:
        VersionGoneError: the log no longer has all commits after it, or the version does not exist yet.
    """
    table = spec.open(settings)
    newest = -1 if table is None else table.version()
    if after is None or after == newest:
        return newest
    if after > newest:
        raise VersionGoneError(
            f"{dotted(spec)} has no version {after}; its newest is {newest}.",
            remedy="A lake that was reset begins again at 0: follow with after=-1.",
        )
    if commits.commit(spec, settings, after + 1) is None:
        raise _log_gone(spec, settings, after + 1)
    return after


def follow(spec: TableSpec, settings: Settings, after: int, idle_seconds: float | None) -> Iterator[NewRows]:
    """The new rows of each commit after a version, without end or until no commit comes for ``idle_seconds``."""
    table: DeltaTable | None = None
    log = LogWatch(spec, settings)
    look = _LOOK_S if settings.store.url is None else _LOOK_STORE_S
    last_new = time.monotonic()
    while True:
        changed = log.may_have_changed()
        table = spec.open(settings) if table is None else table
        if table is not None and changed:
            table.update_incremental()
            while after < table.version():
                after += 1
                found = of_commit(spec, settings, table, after)
                if not found.rows.is_empty():
                    yield found
                last_new = time.monotonic()
        if idle_seconds is not None and time.monotonic() - last_new >= idle_seconds:
            return
        time.sleep(look if idle_seconds is None else min(look, idle_seconds))


def of_commit(spec: TableSpec, settings: Settings, table: DeltaTable, version: int) -> NewRows:
    """The rows that a version of an open table added or changed, none where it only compacted files.

    Raises:
        VersionGoneError: the log no longer has the commit, or maintenance deleted its files.
    """
    found = commits.commit(spec, settings, version)
    if found is None:
        raise _log_gone(spec, settings, version)
    return NewRows(version, found.time, _new_rows(spec, settings, table, found))


def rows_of(spec: TableSpec, settings: Settings, version: int) -> pl.DataFrame:
    """The rows that a version added or changed, in an order that every reader finds again.

    Raises:
        VersionGoneError: as ``of_commit``, or there is no table.
    """
    table = spec.open(settings)
    if table is None:
        raise _log_gone(spec, settings, version)
    return in_order(spec, of_commit(spec, settings, table, version).rows)


def _new_rows(spec: TableSpec, settings: Settings, table: DeltaTable, commit: Commit) -> pl.DataFrame:
    """The rows that a commit added or changed.

    Raises:
        VersionGoneError: maintenance deleted files that the commit added or removed.
    """
    schema = pl.scan_delta(table).collect_schema()
    if not commit.changes or not commit.added:
        return pl.DataFrame(schema=schema)
    added = rows_in(spec, settings, schema, commit.added)
    if not commit.removed:
        return added
    before = rows_in(spec, settings, schema, commit.removed)
    return added.join(before, on=list(schema), how="anti", nulls_equal=True)


def rows_in(spec: TableSpec, settings: Settings, schema: pl.Schema, files: tuple[str, ...]) -> pl.DataFrame:
    """The rows of some of a table's files.

    Raises:
        VersionGoneError: maintenance deleted them.
    """
    try:
        return pl.scan_parquet(
            [f"{spec.path(settings)}/{name}" for name in files],
            schema=schema,
            missing_columns="insert",
            extra_columns="ignore",
            glob=False,
            storage_options=delta_options(settings),
            credential_provider=None,
        ).collect()
    except FileNotFoundError as error:
        raise VersionGoneError(
            f"Maintenance deleted files of {dotted(spec)} before follow read them.",
            remedy="Read the current table with lake.table, and follow from there.",
        ) from error


def _log_gone(spec: TableSpec, settings: Settings, version: int) -> VersionGoneError:
    first = next(iter(commits.versions(spec, settings)), None)
    return VersionGoneError(
        f"The log of {dotted(spec)} no longer has the commit of version {version}.",
        remedy=f"The log begins at version {first}: read the table with lake.table, and follow from there.",
    )
