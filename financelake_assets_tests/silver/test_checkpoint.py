"""Progress read from checkpoint files, as Structured Streaming writes them."""

import json
import os
from pathlib import Path

import pytest

from financelake_assets.config import Settings
from financelake_assets.silver.checkpoint import consumed_offsets, refuse_other_topics
from financelake_assets.storage.checkpoints import CheckpointError, committed_batch, open_batch


def write_batch(checkpoint: Path, batch: int, offsets: dict[str, dict[str, int]], *, committed: bool) -> None:
    for folder in ("offsets", "commits"):
        (checkpoint / folder).mkdir(parents=True, exist_ok=True)
    (checkpoint / "offsets" / str(batch)).write_text(f'v1\n{{"batchWatermarkMs":0}}\n{json.dumps(offsets)}')
    if committed:
        (checkpoint / "commits" / str(batch)).write_text('v1\n{"nextBatchWatermarkMs":0}')


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


def test_nothing_is_consumed_before_the_first_commit(settings: Settings):
    checkpoint = Path(settings.checkpoint("silver"))
    assert consumed_offsets(settings) == {}
    write_batch(checkpoint, 0, {"bronze.stock": {"0": 7}}, committed=False)
    assert consumed_offsets(settings) == {}


def test_a_planned_batch_is_not_consumed(settings: Settings):
    checkpoint = Path(settings.checkpoint("silver"))
    write_batch(checkpoint, 9, {"bronze.stock": {"0": 7, "1": 3}}, committed=True)
    write_batch(checkpoint, 10, {"bronze.stock": {"0": 99, "1": 99}}, committed=False)
    assert consumed_offsets(settings) == {"bronze.stock": {0: 7, 1: 3}}


def test_the_open_batch_is_the_newest_that_is_planned_and_not_committed(tmp_path: Path):
    assert open_batch(tmp_path) is None
    write_batch(tmp_path, 9, {"bronze.stock": {"0": 7}}, committed=True)
    assert open_batch(tmp_path) is None
    write_batch(tmp_path, 10, {"bronze.stock": {"0": 9}}, committed=False)
    os.utime(tmp_path / "offsets" / "10", (5_000, 5_000))
    (tmp_path / "offsets" / ".11.tmp").write_text("v1")
    assert open_batch(tmp_path) == (10, 5_000)


def test_batches_are_compared_as_numbers_and_other_files_ignored(settings: Settings):
    checkpoint = Path(settings.checkpoint("silver"))
    write_batch(checkpoint, 9, {"t": {"0": 1}}, committed=True)
    write_batch(checkpoint, 10, {"t": {"0": 2}}, committed=True)
    (checkpoint / "commits" / ".11.crc").write_text("")
    assert committed_batch(checkpoint) == 10


def test_a_commit_without_its_offsets_is_damage_not_an_empty_answer(settings: Settings):
    checkpoint = Path(settings.checkpoint("silver"))
    write_batch(checkpoint, 0, {"t": {"0": 1}}, committed=True)
    (checkpoint / "offsets" / "0").unlink()
    with pytest.raises(CheckpointError, match="damaged"):
        consumed_offsets(settings)


@pytest.mark.parametrize("keep", [0, 2, -2, None], ids=["empty", "a version", "cut short", "zeros"])
def test_offsets_that_are_cut_short_are_damage_and_the_message_names_the_file(settings: Settings, keep: int | None):
    checkpoint = Path(settings.checkpoint("silver"))
    write_batch(checkpoint, 3, {"t": {"0": 1}}, committed=True)
    file = checkpoint / "offsets" / "3"
    whole = file.read_text()
    file.write_text("\0" * len(whole) if keep is None else whole[:keep])
    with pytest.raises(CheckpointError, match=r"offsets/3 does not hold .* Remove the checkpoint"):
        consumed_offsets(settings)


@pytest.mark.parametrize("consumed", [{}, {"t": {0: 5, 1: 0}}, {"t": {0: 9}}])
def test_a_checkpoint_within_the_topics_fits(consumed: dict[str, dict[int, int]]):
    refuse_other_topics(consumed, {"t": {0: (5, 9), 1: (0, 0), 2: (3, 4)}}, (), "folder")


def test_what_retention_deleted_unread_is_named_by_its_offsets():
    with pytest.raises(CheckpointError, match=r"Data was lost.* t/1 offsets 4 to 6\. .*remove folder"):
        refuse_other_topics({"t": {0: 5, 1: 4}}, {"t": {0: (5, 9), 1: (7, 9)}}, (), "folder")


@pytest.mark.parametrize("marks", [{}, {"t": {}}, {"t": {0: (0, 4)}}], ids=["no topic", "no partition", "shorter"])
def test_a_topic_that_ends_before_the_checkpoint_is_another_one(marks: dict[str, dict[int, tuple[int, int]]]):
    with pytest.raises(CheckpointError, match=r"other topics.*the checkpoint stands at 5"):
        refuse_other_topics({"t": {0: 5}}, marks, (), "folder")


def test_a_topic_that_was_made_again_is_another_one_though_its_offsets_fit():
    with pytest.raises(CheckpointError, match=r"other topics: t was made again\. Remove"):
        refuse_other_topics({"t": {0: 5}}, {"t": {0: (0, 9)}}, {"t", "u"}, "folder")
