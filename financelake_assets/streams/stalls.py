"""Detects a micro-batch that does not end, from the checkpoint's files, without a call to Spark."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from financelake_assets.config import Settings
from financelake_assets.storage.checkpoints import open_batch


@dataclass(frozen=True)
class OpenBatch:
    """A micro-batch in progress, and for how long the query has worked on it."""

    id: int
    seconds: float


def open_batch_of(settings: Settings, name: str) -> OpenBatch | None:
    """The micro-batch that a running query works on, by its checkpoint; ``None`` if the query waits for data."""
    found = open_batch(Path(settings.checkpoint(name)))
    if found is None:
        return None
    (batch, since), now = found, time.time()
    times = [since]
    with suppress(FileNotFoundError):  # not started by ``Streams.ensure``
        times.append(_started_file(settings, name).stat().st_mtime)
    # a time in the future is from before the clock was set back
    return OpenBatch(batch, now - max((at for at in times if at <= now), default=now))


def stall(batch: OpenBatch | None, failures: int, settings: Settings) -> str | None:
    """The reason why a running query counts as hung; ``None`` if it does not.

    The time limit of a batch doubles with each failure in a row, so a batch that only takes long ends at last.
    """
    if batch is None or batch.seconds <= settings.streams.stall_seconds * 2 ** min(failures, 8):
        return None
    return f"batch {batch.id} had not ended after {batch.seconds:.0f} s"


def _started_file(settings: Settings, name: str) -> Path:
    return settings.run_dir / f"stream-{name}.started"
