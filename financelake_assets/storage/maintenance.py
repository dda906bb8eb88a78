"""Maintenance of Delta tables: small files merged, replaced ones deleted after a while, the log kept short.

Enters: table specs and settings. Leaves: the same rows in fewer files, and what was found and done. Runs beside the
live queries: a reader keeps the files of its version until their retention is over, and of two who rewrite the same
file one begins again. It never touches a table's totals and offsets, which live in the log and its checkpoints.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
from deltalake.exceptions import CommitFailedError

from financelake_assets.config import Settings
from financelake_assets.storage.delta import TableSpec
from financelake_assets.storage.store import names

_MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Condition:
    """How a table lies on disk. ``small_files`` are below half the target; ``log_files`` are commits not cleaned up."""

    files: int
    small_files: int
    bytes: int
    log_files: int
    since_checkpoint: int


@dataclass(frozen=True)
class Work:
    """What a run of maintenance found and did to one table."""

    before: Condition
    after: Condition
    merged_files: int
    deleted_files: int

    def metadata(self) -> dict[str, Any]:
        """As flat names for Dagster."""
        return {
            **{f"{name}_before": value for name, value in asdict(self.before).items()},
            **asdict(self.after),
            "merged_files": self.merged_files,
            "deleted_files": self.deleted_files,
        }


def condition(spec: TableSpec, settings: Settings) -> Condition | None:
    """Look at a table's log, not at its rows; ``None`` where it does not exist yet."""
    table = spec.open(settings)
    if table is None:
        return None
    sizes = pa.table(table.get_add_actions()).column("size_bytes").to_pylist()
    log = names(settings, f"{spec.full_name}/_delta_log")
    checkpoints = [int(name[:20]) for name in log if ".checkpoint" in name and name.endswith(".parquet")]
    return Condition(
        files=len(sizes),
        small_files=sum(size < _target_bytes(settings) / 2 for size in sizes),
        bytes=sum(sizes),
        log_files=sum(name.endswith(".json") for name in log),
        since_checkpoint=table.version() - max(checkpoints, default=-1),
    )


def maintain(spec: TableSpec, settings: Settings, *, deletes: bool = True) -> Work | None:
    """Do what is due to one table; ``None`` where it does not exist yet.

    Args:
        spec: the table.
        settings: the lake.
        deletes: whether to delete what is old; not when the clock cannot be trusted to say so.

    Raises:
        CommitFailedError: somebody who does not take turns rewrote the same files again and again.
    """
    before = condition(spec, settings)
    if before is None:
        return None
    merged = _compact(spec, settings) if before.small_files >= settings.maintenance.small_files else 0
    table = spec.ensure(settings)
    deleted: list[str] = []
    if deletes:
        # not only what the log names: a killed writer leaves files that no log knows
        deleted = table.vacuum(settings.maintenance.retention_hours, dry_run=False, full=True)
        # only what lies behind a checkpoint, and after the table's log retention (30 days unless it says otherwise)
        table.cleanup_metadata()
    after = condition(spec, settings) or before
    return Work(before, after, merged, len(deleted))


def _compact(spec: TableSpec, settings: Settings) -> int:
    """Merge small files; how many are gone. Tried beside the writers first, then with their turn taken."""

    def compact() -> int:
        done = spec.ensure(settings).optimize.compact(target_size=_target_bytes(settings), max_concurrent_tasks=2)
        return int(done["numFilesRemoved"])

    try:
        return compact()
    except CommitFailedError:
        with spec.turn(settings):
            return compact()


def _target_bytes(settings: Settings) -> int:
    return settings.maintenance.target_file_mb * _MEGABYTE
