"""A table at a version or a time, and which versions are kept.

delta-rs opens a version whose files are gone, and for a time before the first version it opens the first version. Both
would give a wrong answer, so this module checks for them first.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from financelake_assets.config import Settings
from financelake_assets.query import commits
from financelake_assets.query.errors import QueryError, VersionGoneError
from financelake_assets.query.names import dotted
from financelake_assets.storage.delta import TableSpec
from financelake_assets.storage.store import delta_options, names

AsOf = int | datetime | str | None
"""A version, a time (UTC if it has no zone), either of them as text, or ``None`` for now."""


def parsed(as_of: AsOf) -> int | datetime | None:
    """A version, or a time in UTC; ``None`` is now.

    Raises:
        QueryError: it is neither a version nor a time.
    """
    if isinstance(as_of, str):
        text = as_of.strip()
        if text.isdecimal():
            return int(text)
        try:
            as_of = datetime.fromisoformat(text)
        except ValueError:
            raise QueryError(
                f"{as_of!r} is neither a version nor a time.",
                remedy="A version is a whole number such as 12, a time is ISO 8601 such as 2026-11-01T09:30.",
            ) from None
    if isinstance(as_of, datetime):
        return as_of.replace(tzinfo=UTC) if as_of.tzinfo is None else as_of.astimezone(UTC)
    if as_of is not None and as_of < 0:
        raise QueryError(f"{as_of} is not a version.", remedy="Versions begin at 0.")
    return as_of


def at(spec: TableSpec, settings: Settings, as_of: AsOf = None) -> DeltaTable | None:
    """Open a table at a version or time; ``None`` for the current state of a table that does not exist yet.

    Raises:
        VersionGoneError: the version or time never existed, or its files were deleted.
    """
    wanted, newest = parsed(as_of), spec.open(settings)
    if wanted is None:
        return newest
    if newest is None:
        raise VersionGoneError(f"{dotted(spec)} has no version yet: the lake has not created the table.")
    version = wanted if isinstance(wanted, int) else _version_at(spec, settings, wanted)
    if version > newest.version():
        raise VersionGoneError(
            f"{dotted(spec)} has no version {version} yet.", remedy=f"Its newest version is {newest.version()}."
        )
    if version == newest.version():
        return newest
    try:
        table = DeltaTable(spec.path(settings), version=version, storage_options=delta_options(settings))
    except DeltaError as error:
        raise _gone(spec, settings, version) from error
    if not files(table) - files(newest) <= _present(spec, settings):
        raise _gone(spec, settings, version)
    return table


def files(table: DeltaTable) -> set[str]:
    """The data files of a version, by their paths in the table's folder."""
    return set(pa.table(table.get_add_actions())["path"].to_pylist())


def kept(spec: TableSpec, settings: Settings) -> tuple[int, int] | None:
    """The oldest and newest version between which every version can be read; ``None`` without a table.

    A version before a commit needs the files that the commit removed. So this walks back from the newest version until
    one is missing.
    """
    newest = spec.open(settings)
    if newest is None:
        return None
    present, oldest = _present(spec, settings), newest.version()
    while oldest > 0:
        last = commits.commit(spec, settings, oldest)
        if last is None or not present.issuperset(last.removed):
            break
        if commits.commit(spec, settings, oldest - 1) is None:
            break
        oldest -= 1
    return oldest, newest.version()


def _present(spec: TableSpec, settings: Settings) -> set[str]:
    return {name for name in names(settings, spec.full_name) if not name.startswith("_delta_log/")}


def _gone(spec: TableSpec, settings: Settings, version: int) -> VersionGoneError:
    oldest, newest = kept(spec, settings) or (0, 0)
    since = commits.time_of(spec, settings, oldest)
    time = f", from {since:%Y-%m-%d %H:%M:%S} UTC" if since else ""
    return VersionGoneError(
        f"Version {version} of {dotted(spec)} is no longer kept: maintenance deletes replaced files after "
        f"{settings.maintenance.retention_hours} hours.",
        remedy=f"Versions {oldest} to {newest} are kept{time}. FINANCELAKE_MAINTENANCE__RETENTION_HOURS keeps more.",
    )


def _version_at(spec: TableSpec, settings: Settings, time: datetime) -> int:
    """The last version that was committed at or before a time."""
    known = commits.versions(spec, settings)
    first = commits.time_of(spec, settings, known[0]) if known else None
    if first is None or time < first:
        raise VersionGoneError(
            f"No version of {dotted(spec)} is kept for {time:%Y-%m-%d %H:%M:%S} UTC.",
            remedy=f"Its log begins at {first:%Y-%m-%d %H:%M:%S} UTC." if first else "Its log is empty.",
        )
    low, high = 0, len(known) - 1
    while low < high:
        middle = (low + high + 1) // 2
        committed = commits.time_of(spec, settings, known[middle])
        low, high = (middle, high) if committed is not None and committed <= time else (low, middle - 1)
    return known[low]
