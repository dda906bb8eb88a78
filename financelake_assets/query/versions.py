"""A table as it was at a version or a time, and what is still kept of it.

delta-rs opens a version whose files are gone, and takes the first version for a time before it. Both would be a wrong
answer, so they are looked for here first.
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
"""A version, a time (without a zone it is UTC), either as text, or now."""


def parsed(as_of: AsOf) -> int | datetime | None:
    """A version or a time in UTC; ``None`` is now.

    Raises:
        QueryError: it is neither.
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
        raise QueryError(f"{as_of} is no version.", remedy="Versions begin at 0.")
    return as_of


def at(spec: TableSpec, settings: Settings, as_of: AsOf = None) -> DeltaTable | None:
    """Open a table as it was; ``None`` where nobody has made it yet and it is asked for as it is now.

    Raises:
        VersionGoneError: the version or time was never there, or its files were cleaned up.
    """
    wanted, newest = parsed(as_of), spec.open(settings)
    if wanted is None:
        return newest
    if newest is None:
        raise VersionGoneError(f"{dotted(spec)} has no version yet: the lake has not made the table.")
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
    """The oldest and newest version between which every one can be read; ``None`` without a table.

    A commit's undoing needs the files that it removed. So this walks back from the newest until one is missing.
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
        f"Version {version} of {dotted(spec)} was cleaned up: maintenance deletes replaced files after "
        f"{settings.maintenance.retention_hours} hours.",
        remedy=f"Versions {oldest} to {newest} are kept{time}. FINANCELAKE_MAINTENANCE__RETENTION_HOURS keeps more.",
    )


def _version_at(spec: TableSpec, settings: Settings, time: datetime) -> int:
    """The last version that was committed at a time or before it."""
    known = commits.versions(spec, settings)
    first = commits.time_of(spec, settings, known[0]) if known else None
    if first is None or time < first:
        raise VersionGoneError(
            f"Nothing is kept of {dotted(spec)} at {time:%Y-%m-%d %H:%M:%S} UTC.",
            remedy=f"Its log begins at {first:%Y-%m-%d %H:%M:%S} UTC." if first else "Its log is empty.",
        )
    low, high = 0, len(known) - 1
    while low < high:
        middle = (low + high + 1) // 2
        committed = commits.time_of(spec, settings, known[middle])
        low, high = (middle, high) if committed is not None and committed <= time else (low, middle - 1)
    return known[low]
