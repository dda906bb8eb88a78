"""What a streaming checkpoint says of its progress, read from its files without Spark.

Enters: a checkpoint folder. Leaves: the Kafka offsets up to which every micro-batch is committed. These files are
Structured Streaming's own record, so the answer holds while the server is down too.
"""

from __future__ import annotations

import json
from pathlib import Path

from financelake_assets.config import Settings

QUERY = "silver"


def committed_batch(checkpoint: Path) -> int | None:
    """Id of the last committed micro-batch; ``None`` when none was committed yet."""
    batches = [int(entry.name) for entry in (checkpoint / "commits").glob("*") if entry.name.isdigit()]
    return max(batches, default=None)


def source_offsets(checkpoint: Path, batch: int) -> str:
    """The first source's end offset of a micro-batch, as the JSON text that the source wrote.

    Raises:
        FileNotFoundError: the batch has been purged, which Spark does after 100 batches.
    """
    # a version line, the batch's metadata, then one line a source
    return (checkpoint / "offsets" / str(batch)).read_text().splitlines()[2]


def consumed_offsets(settings: Settings) -> dict[str, dict[int, int]]:
    """Per topic and partition, the first offset not yet committed by the silver query; empty before its first batch."""
    checkpoint = Path(settings.checkpoint(QUERY))
    for _ in range(5):
        batch = committed_batch(checkpoint)
        if batch is None:
            return {}
        try:
            offsets = json.loads(source_offsets(checkpoint, batch))
        except FileNotFoundError:
            continue  # a running query moved on and purged it between the two reads
        return {topic: {int(part): end for part, end in ends.items()} for topic, ends in offsets.items()}
    raise RuntimeError(f"the checkpoint {checkpoint} names a committed batch without offsets; it is damaged")
