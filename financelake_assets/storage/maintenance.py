"""Maintenance of Delta tables: compacts small files, deletes replaced files after a while, keeps the log short.

Input: table specs and settings. Output: the same rows in fewer files, and a report. It runs beside the live queries: a
reader keeps the files of its version until their retention has passed, and if two processes rewrite the same file, one
of them retries. It never changes a table's totals and offsets, which are in the log and its checkpoints.
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
    """State of a table on disk. ``small_files`` are below half the target size; ``log_files`` are uncleaned commits."""

    files: int
    small_files: int
    bytes: int
    log_files: int
    since_checkpoint: int


@dataclass(frozen=True)
class Work:
    """What a maintenance run found and did to one table."""

    before: Condition
    after: Condition
    merged_files: int
    deleted_files: int

    def metadata(self) -> dict[str, Any]:
        """The values under flat names for Dagster."""
        return {
            **{f"{name}_before": value for name, value in asdict(self.before).items()},
            **asdict(self.after),
            "merged_files": self.merged_files,
            "deleted_files": self.deleted_files,
        }


def condition(spec: TableSpec, settings: Settings) -> Condition | None:
    """Inspect a table's log, not its rows; ``None`` if the table does not exist yet."""
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
    """Do the due work for one table; ``None`` if it does not exist yet.

    Args:
        spec: the table.
        settings: the lake.
        deletes: whether to delete old files; false while the clock cannot be trusted.

    Raises:
        CommitFailedError: a writer without the lock rewrote the same files at each attempt.
    """
    before = condition(spec, settings)
    if before is None:
        return None
    merged = _compact(spec, settings) if before.small_files >= settings.maintenance.small_files else 0
    table = spec.ensure(settings)
    deleted: list[str] = []
    if deletes:
        # also deletes files that the log does not name: a killed writer leaves such files
        deleted = table.vacuum(settings.maintenance.retention_hours, dry_run=False, full=True)
        # only log files before a checkpoint and older than the table's log retention (30 days by default)
        table.cleanup_metadata()
    after = condition(spec, settings) or before
    return Work(before, after, merged, len(deleted))


def _compact(spec: TableSpec, settings: Settings) -> int:
    """Compact small files; return how many fewer there are. The first attempt takes no lock, the next one does."""

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
