"""Silver's change feed for the gold query, read without a Spark job.

Input: a micro-batch of the query's checkpoint. Output: the versions of silver that it covers, and the bars that they
changed. Spark plans each batch (``source.py``) and stores its offsets before the batch begins.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import polars as pl
from deltalake import DeltaTable

from financelake_assets.silver.schema import BARS
from financelake_assets.storage.checkpoints import CheckpointError, committed_batch, source_offsets

COMMIT = "_commit_version"


class Versions(NamedTuple):
    """Delta versions of silver, ``first`` to ``last`` inclusive; empty if ``last`` is before ``first``."""

    first: int
    last: int


def versions_of(checkpoint: Path, batch: int, first_version: int) -> Versions:
    """The versions of silver that a micro-batch covers.

    Args:
        checkpoint: the query's checkpoint folder.
        batch: the id of the micro-batch.
        first_version: the first version of the query's first batch.

    Raises:
        CheckpointError: the checkpoint is damaged.
    """
    first = first_version if batch == 0 else source_offsets(checkpoint, batch - 1)["version"]
    return Versions(first, source_offsets(checkpoint, batch)["version"] - 1)


def consumed_version(checkpoint: Path) -> int:
    """The last version of silver that the query has committed; -1 before its first batch."""
    batch = committed_batch(checkpoint)
    return -1 if batch is None else int(source_offsets(checkpoint, batch)["version"]) - 1


def refuse_other_table(checkpoint: Path, bars: DeltaTable) -> None:
    """Make sure that a checkpoint belongs to this table.

    Raises:
        CheckpointError: it belongs to another table or an earlier release; the message says what to do.
    """
    batch = committed_batch(checkpoint)
    if batch is not None and source_offsets(checkpoint, batch).get("table") != str(bars.metadata().id):
        raise CheckpointError(
            f"The checkpoint {checkpoint} belongs to another table than {bars.table_uri}, or to an earlier release. "
            "Remove it to continue after the champion's training data; bars that were scored do not change."
        )


def changes(bars: DeltaTable, committed: Versions) -> pl.DataFrame:
    """The bars that some versions inserted or updated, once for each version, with the values of that version.

    Args:
        bars: silver.bars, opened at the last of the versions or later.
        committed: the versions.

    Returns:
        The columns of silver.bars and ``_commit_version``, in the order of the versions.
    """
    if committed.last < committed.first:
        return BARS.empty.with_columns(pl.lit(0, pl.UInt64).alias(COMMIT))
    feed = bars.load_cdf(starting_version=committed.first, ending_version=committed.last)
    rows = pl.DataFrame(feed.read_all()).filter(pl.col("_change_type").is_in(["insert", "update_postimage"]))
    return rows.select(*BARS.schema.names, COMMIT).sort(COMMIT, maintain_order=True)
