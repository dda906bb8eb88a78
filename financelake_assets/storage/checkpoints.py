"""Progress of a streaming query, read from the files of its checkpoint without Spark.

Input: a checkpoint folder. Output: the committed micro-batch and the open one. Structured Streaming itself writes these
files, so the answer is correct even while the server is down.
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
    """Id of the last committed micro-batch; ``None`` before the first."""
    return _newest(checkpoint / "commits")


def open_batch(checkpoint: Path) -> tuple[int, float] | None:
    """The micro-batch that is planned and not committed: its id, and the time of its plan (seconds since the epoch).

    A query that was stopped during a batch repeats it, so an earlier run of the query may have planned it.
    """
    planned = _newest(checkpoint / "offsets")
    if planned is None or (checkpoint / "commits" / str(planned)).exists():
        return None
    with suppress(FileNotFoundError):  # somebody deleted the checkpoint meanwhile
        return planned, (checkpoint / "offsets" / str(planned)).stat().st_mtime
    return None


def _newest(folder: Path) -> int | None:
    return max((int(entry.name) for entry in folder.glob("*") if entry.name.isdigit()), default=None)


def source_offsets(checkpoint: Path, batch: int) -> dict[str, Any]:
    """The first source's end offset of a micro-batch, in the source's own format.

    Raises:
        FileNotFoundError: Spark has deleted the batch's file, which it does after 100 batches.
        CheckpointError: the file is truncated or has other content.
    """
    file = checkpoint / "offsets" / str(batch)
    try:
        # a version line, the batch's metadata, then one line for each source
        return dict(json.loads(file.read_text().splitlines()[2]))
    except (IndexError, TypeError, ValueError) as error:
        raise damaged(checkpoint, f"{file} does not hold the offsets of its batch") from error


def damaged(checkpoint: Path, what: str) -> CheckpointError:
    """The error for a checkpoint with wrong content."""
    return CheckpointError(
        f"The checkpoint {checkpoint} is damaged: {what}. Remove the checkpoint: the query then begins again, and the "
        "tables keep their rows."
    )
