"""What a streaming checkpoint says of its progress, read from its files without Spark.

Input: a checkpoint folder. Output: what is committed, and what is being worked on. These files are Structured
Streaming's own record, so the answer holds while the server is down too.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from financelake_assets.errors import FinanceLakeError


class CheckpointError(FinanceLakeError, RuntimeError):
    """The checkpoint is damaged or does not fit the topics; the message says where, and what to do."""


def committed_batch(checkpoint: Path) -> int | None:
    """Id of the last committed micro-batch; ``None`` when none was committed yet."""
    return _newest(checkpoint / "commits")


def open_batch(checkpoint: Path) -> tuple[int, float] | None:
    """The micro-batch that was planned and is not committed: its id, and when it was planned (seconds since the epoch).

    A query that was stopped in its midst does it again, so a batch may have been planned by a query before.
    """
    planned = _newest(checkpoint / "offsets")
    if planned is None or (checkpoint / "commits" / str(planned)).exists():
        return None
    with suppress(FileNotFoundError):  # somebody removed the checkpoint meanwhile
        return planned, (checkpoint / "offsets" / str(planned)).stat().st_mtime
    return None


def _newest(folder: Path) -> int | None:
    return max((int(entry.name) for entry in folder.glob("*") if entry.name.isdigit()), default=None)


def source_offsets(checkpoint: Path, batch: int) -> dict[str, Any]:
    """The first source's end offset of a micro-batch, as the source wrote it.

    Raises:
        FileNotFoundError: the batch has been purged, which Spark does after 100 batches.
        CheckpointError: the file is cut short or holds something else.
    """
    file = checkpoint / "offsets" / str(batch)
    try:
        # a version line, the batch's metadata, then one line a source
        return dict(json.loads(file.read_text().splitlines()[2]))
    except (IndexError, TypeError, ValueError) as error:
        raise damaged(checkpoint, f"{file} does not hold the offsets of its batch") from error


def damaged(checkpoint: Path, what: str) -> CheckpointError:
    """The error of a checkpoint that does not hold what it should."""
    return CheckpointError(
        f"The checkpoint {checkpoint} is damaged: {what}. Remove the checkpoint to begin again; the tables keep what "
        "they have."
    )
