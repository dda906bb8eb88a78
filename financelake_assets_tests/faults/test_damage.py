"""A checkpoint whose newest files are damaged: it is refused loudly, and removing it loses and doubles nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from financelake_assets.config import Settings
from financelake_assets.silver.checkpoint import QUERY
from financelake_assets.silver.ledger import read_ledger
from financelake_assets.storage.checkpoints import CheckpointError, committed_batch
from financelake_assets_tests.faults import lakes
from financelake_assets_tests.silver import kafka

pytestmark = pytest.mark.integration


def _damages(whole: str) -> list[str]:
    """Empty, cut within its offsets, and cut before them."""
    return ["", whole[:-5], whole[: whole.rindex("\n")]]


def _put(file: Path, text: str) -> None:
    file.write_text(text)
    # a crash of the machine may leave none, and with it Spark would see the damage at once
    file.with_name(f".{file.name}.crc").unlink(missing_ok=True)


def test_a_damaged_newest_batch_of_the_checkpoint_is_refused_and_beginning_again_leaves_the_same_tables(
    lake: Settings, tmp_path: Path
):
    kafka.add_universe(lake)
    with kafka.running(lake) as query:
        for part in range(2):
            kafka.produce(lake, kafka.mixture(150, first=150 * part))
            kafka.drain(lake, query)
    kafka.produce(lake, kafka.mixture(150, first=300))  # what a gap would swallow
    found, checkpoint = kafka.tables(lake), Path(lake.checkpoint(QUERY))
    newest = checkpoint / "offsets" / str(committed_batch(checkpoint))
    damages = _damages(newest.read_text())

    for damaged in damages:
        _put(newest, damaged)
        with pytest.raises(CheckpointError, match=f"{newest} does not hold"), kafka.running(lake):
            pass
        with pytest.raises(CheckpointError, match="damaged"):
            read_ledger(lake)

    # the same in a batch that was planned and not committed is for Spark to see
    _put(checkpoint / "commits" / newest.name, "")
    (checkpoint / "commits" / newest.name).unlink()
    for damaged in damages:
        _put(newest, damaged)
        with kafka.running(lake) as query:
            kafka.eventually(lambda: not query.isActive, "the query ended")
            assert query.exception() is not None
    assert kafka.tables(lake) == found

    shutil.rmtree(checkpoint)
    with kafka.running(lake) as query:
        kafka.drain(lake, query)
    lakes.assert_as_undisturbed(lake, tmp_path / "undisturbed")
