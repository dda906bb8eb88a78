"""The silver query's checkpoint: the Kafka offsets that it has committed, and whether it fits the topics of now."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from financelake_assets.config import Settings
from financelake_assets.storage.checkpoints import (
    CheckpointError,
    committed_batch,
    damaged,
    source_offsets,
)

QUERY = "silver"


def refuse_other_topics(
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
    raise damaged(checkpoint, "a committed batch has no offsets")
