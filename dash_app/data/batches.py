"""Duration of the continuous queries' batches, from the files of their checkpoints.

Input: settings. Output: one ``Stream`` for each query. Structured Streaming writes a batch's offsets when it plans the
batch and its commit when it has finished. The time between the two files is the batch's duration, and the newest commit
is the query's last progress. So the answer is correct even if Spark is down or busy.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from financelake_assets.config import Settings

_NEWEST = 20


@dataclass(frozen=True)
class Stream:
    """One query: its newest batch, the time of its commit, and the durations in seconds over the newest batches."""

    name: str
    batch: int
    committed_at: datetime
    median: float | None
    slowest: float | None


def streams(settings: Settings) -> tuple[Stream, ...]:
    """All queries that have committed a batch, by name."""
    folders = sorted((settings.data_dir / "checkpoints").glob("*/commits"))
    return tuple(stream for folder in folders if (stream := _stream(folder.parent)) is not None)


def _stream(checkpoint: Path) -> Stream | None:
    batches = sorted(int(file.name) for file in (checkpoint / "commits").iterdir() if file.name.isdigit())
    if not batches:
        return None
    newest = batches[-_NEWEST:]
    known = [(_written(checkpoint / "offsets", one), _written(checkpoint / "commits", one)) for one in newest]
    took = [end - begin for begin, end in known if begin is not None and end is not None]
    last = known[-1][1]
    if last is None:
        return None
    median, slowest = (statistics.median(took), max(took)) if took else (None, None)
    return Stream(checkpoint.name, batches[-1], datetime.fromtimestamp(last, UTC), median, slowest)


def _written(folder: Path, batch: int) -> float | None:
    """When a batch's file was written; ``None`` if Spark has deleted it meanwhile."""
    try:
        return (folder / str(batch)).stat().st_mtime
    except FileNotFoundError:
        return None
