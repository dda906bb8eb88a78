"""How long the continuous queries' batches take, from the files of their checkpoints alone.

Input: settings. Output: one ``Stream`` a query. Structured Streaming writes a batch's offsets when it plans it and its
commit when it is done: the time between the two files is what the batch took, and the newest commit is when the query
last got something done. So the answer holds while Spark is down or busy.
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
    """One query: its newest batch, when that was committed, and seconds a batch over the newest few."""

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
    """When a batch's file was written; ``None`` where Spark has removed it meanwhile."""
    try:
        return (folder / str(batch)).stat().st_mtime
    except FileNotFoundError:
        return None
