"""What a streaming checkpoint says of its progress, read from its files without Spark.

Enters: a checkpoint folder. Leaves: the Kafka offsets up to which every micro-batch is committed. These files are
Structured Streaming's own record, so the answer holds while the server is down too.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError

QUERY = "silver"


class CheckpointError(FinanceLakeError, RuntimeError):
    """The checkpoint is damaged or does not fit the topics; the message says where, and what to do."""


def refuse_misfit(
    consumed: Mapping[str, Mapping[int, int]],
    marks: Mapping[str, Mapping[int, tuple[int, int]]],
    made_again: Collection[str],
    checkpoint: str,
) -> None:
    """Make sure that the topics still hold what comes after a checkpoint.

    Args:
        consumed: per topic and partition, the first offset that is not committed; of an empty checkpoint, nothing.
        marks: low and high watermark of each partition that exists.
        made_again: topics that are others than those that the checkpoint was made of.
        checkpoint: its folder, for the message.

    Raises:
        CheckpointError: messages were deleted before they were read, or a topic or partition is gone or was made again.
    """
    lost, other = [], [f"{topic} was made again" for topic in consumed if topic in made_again]
    for topic, ends in consumed.items():
        if topic in made_again:
            continue
        for partition, end in ends.items():
            low, high = marks.get(topic, {}).get(partition, (0, 0))
            if high < end:
                other.append(f"{topic}/{partition} ends at offset {high}, the checkpoint stands at {end}")
            elif end < low:
                lost.append(f"{topic}/{partition} offsets {end} to {low - 1}")
    if other:
        raise CheckpointError(
            f"The checkpoint {checkpoint} is of other topics: {'; '.join(other)}. "
            "Remove the checkpoint to read them from their beginning; the tables keep what they have."
        )
    if lost:
        raise CheckpointError(
            f"Data was lost: retention deleted messages that silver had not read: {'; '.join(lost)}. Publish that "
            f"range again from its source, and remove {checkpoint} to go on from what is left."
        )


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
        raise _damaged(checkpoint, f"{file} does not hold the offsets of its batch") from error


def consumed_offsets(settings: Settings) -> dict[str, dict[int, int]]:
    """Per topic and partition, the first offset not yet committed by the silver query; empty before its first batch.

    Raises:
        CheckpointError: the checkpoint is damaged.
    """
    checkpoint = Path(settings.checkpoint(QUERY))
    for _ in range(5):
        batch = committed_batch(checkpoint)
        if batch is None:
            return {}
        try:
            offsets = source_offsets(checkpoint, batch)
        except FileNotFoundError:
            continue  # a running query moved on and purged it between the two reads
        return {topic: {int(part): end for part, end in ends.items()} for topic, ends in offsets.items()}
    raise _damaged(checkpoint, "a committed batch has no offsets")


def _damaged(checkpoint: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"The checkpoint {checkpoint} is damaged: {what}. Remove the checkpoint to begin again; the tables keep what "
        "they have."
    )
