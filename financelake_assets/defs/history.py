"""Dagster's own history, kept for a time: runs that are over, and events that no run wrote.

Input: an instance and a time. Output: what is younger, and of each asset and check what was told last, however old.
Dagster deletes ticks by its own setting, and neither runs nor events; a lake that never stops would fill a disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg
import sqlalchemy as db
from dagster._core.storage.event_log.schema import AssetEventTagsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

_AT_ONCE = 500
_MOST_RUNS = 5_000
_OVER = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_OF_NO_RUN = ""
_EVENTS, _TAGS = SqlEventLogStorageTable.c, AssetEventTagsTable.c


@dataclass(frozen=True)
class Forgotten:
    """How many runs and events were deleted."""

    runs: int
    events: int


def forget(instance: dg.DagsterInstance, before: datetime) -> Forgotten:
    """Delete runs that ended, and events of no run, from before a time.

    Args:
        instance: whose history.
        before: UTC. What each asset was told last is kept, and so is the run that told it.
    """
    return Forgotten(_runs(instance, before), _events(instance.event_log_storage, before))


def _runs(instance: dg.DagsterInstance, before: datetime) -> int:
    last = {record.asset_entry.last_run_id for record in instance.get_asset_records()}
    old = dg.RunsFilter(statuses=_OVER, created_before=before)
    # the oldest first: those that stay are few
    records = instance.get_run_records(old, limit=_MOST_RUNS, ascending=True)
    due = [record.dagster_run.run_id for record in records if record.dagster_run.run_id not in last]
    for run_id in due:
        instance.delete_run(run_id)
    return len(due)


def _events(storage: object, before: datetime) -> int:
    """Delete events of no run in every database that has them: SQLite keeps them in two."""
    if not isinstance(storage, SqlEventLogStorage):
        return 0
    with storage.index_connection() as connection:
        deleted = _delete(connection, before)
    if storage.is_run_sharded:
        with storage.run_connection(_OF_NO_RUN) as connection:
            _delete(connection, before)
    return deleted


def _delete(connection: db.Connection, before: datetime) -> int:
    of_no_run = _EVENTS.run_id == _OF_NO_RUN
    # of each asset and kind of event the last stays: it is what the page shows
    newest = db.select(db.func.max(_EVENTS.id)).group_by(
        _EVENTS.asset_key, _EVENTS.dagster_event_type, _EVENTS.partition
    )
    kept = {row[0] for row in connection.execute(newest)}
    found = connection.execute(
        db.select(_EVENTS.id).where(of_no_run, _EVENTS.timestamp < before.astimezone(UTC).replace(tzinfo=None))
    )
    old = [row[0] for row in found if row[0] not in kept]
    for first in range(0, len(old), _AT_ONCE):
        part = old[first : first + _AT_ONCE]
        if db.inspect(connection).has_table(AssetEventTagsTable.name):
            connection.execute(AssetEventTagsTable.delete().where(_TAGS.event_id.in_(part)))
        connection.execute(SqlEventLogStorageTable.delete().where(_EVENTS.id.in_(part)))
    return len(old)
