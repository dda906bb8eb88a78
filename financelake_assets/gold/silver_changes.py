"""Silver's change feed as the gold query follows it, read without a Spark job.

Enters: a micro-batch of the query's checkpoint. Leaves: the versions of silver that it covers, and the bars that they
changed. Spark plans each batch (``source.py``) and writes its offsets down before it begins.
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
    """Delta versions of silver, ``first`` to ``last`` included; none where ``last`` is before ``first``."""

    first: int
    last: int


def versions_of(checkpoint: Path, batch: int, first_version: int) -> Versions:
    """Which versions of silver a micro-batch covers.

    Args:
        checkpoint: of the query.
        batch: its id.
        first_version: where the query's first batch begins.

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
    """Make sure that a checkpoint is of this table.

    Raises:
        CheckpointError: it is of another one, or of an earlier release; the message says what to do.
    """
    batch = committed_batch(checkpoint)
    if batch is not None and source_offsets(checkpoint, batch).get("table") != str(bars.metadata().id):
        raise CheckpointError(
            f"The checkpoint {checkpoint} is of another table than {bars.table_uri}, or of an earlier release. Remove "
            "it to go on behind what the champion learnt from; bars that were scored stay as they are."
        )


def changes(bars: DeltaTable, committed: Versions) -> pl.DataFrame:
    """The bars that some versions inserted or updated, each time as that version left it.

    Args:
        bars: silver.bars, as new as the versions.
        committed: the versions.

    Returns:
        The columns of silver.bars and ``_commit_version``, in the order of the versions.
    """
    if committed.last < committed.first:
        return BARS.empty.with_columns(pl.lit(0, pl.UInt64).alias(COMMIT))
    feed = bars.load_cdf(starting_version=committed.first, ending_version=committed.last)
    rows = pl.DataFrame(feed.read_all()).filter(pl.col("_change_type").is_in(["insert", "update_postimage"]))
    return rows.select(*BARS.schema.names, COMMIT).sort(COMMIT, maintain_order=True)
