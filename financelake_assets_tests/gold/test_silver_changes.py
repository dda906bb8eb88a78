"""Which of silver's commits a micro-batch of the gold query covers, and the bars that they changed."""

from __future__ import annotations

import json
import threading
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pyspark.sql.streaming.datasource import ReadAllAvailable

from financelake_assets.config import Settings
from financelake_assets.gold import source
from financelake_assets.gold.silver_changes import (
    COMMIT,
    Versions,
    changes,
    consumed_version,
    refuse_other_table,
    versions_of,
)
from financelake_assets.gold.source import VersionsReader
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.checkpoints import CheckpointError
from financelake_assets_tests.gold.lakes import append, correct, market


def planned(checkpoint: Path, batch: int, version: int, table: str = "x") -> None:
    """Spark's record of a micro-batch that ends before a version, and of its commit."""
    for folder, line in (("offsets", {"table": table, "version": version}), ("commits", {"nextBatchWatermarkMs": 0})):
        (checkpoint / folder).mkdir(parents=True, exist_ok=True)
        (checkpoint / folder / str(batch)).write_text(f"v1\n{{}}\n{json.dumps(line)}")


def test_a_batch_goes_on_where_the_one_before_ended(tmp_path: Path) -> None:
    for batch, version in enumerate((5, 6, 9)):
        planned(tmp_path, batch, version)
    assert [versions_of(tmp_path, batch, 3) for batch in range(3)] == [(3, 4), (5, 5), (6, 8)]
    assert consumed_version(tmp_path) == 8
    assert consumed_version(tmp_path / "none yet") == -1


def test_a_checkpoint_of_another_table_or_release_is_refused(offline_lake: Settings, tmp_path: Path) -> None:
    bars = BARS.ensure(offline_lake)
    refuse_other_table(tmp_path, bars)
    planned(tmp_path, 0, 5, table=str(bars.metadata().id))
    refuse_other_table(tmp_path, bars)
    planned(tmp_path, 1, 6, table="another")
    with pytest.raises(CheckpointError, match="another table"):
        refuse_other_table(tmp_path, bars)


def test_a_checkpoint_that_is_cut_short_is_named(tmp_path: Path) -> None:
    planned(tmp_path, 0, 5)
    (tmp_path / "offsets" / "0").write_text("v1\n")
    with pytest.raises(CheckpointError, match="damaged"):
        versions_of(tmp_path, 0, 3)


def test_changes_are_the_bars_as_each_version_left_them(offline_lake: Settings) -> None:
    first = append(offline_lake, market(0, 2))
    dearer = market(1, 3).with_columns(pl.col("close", "high") * 2)
    second = correct(offline_lake, dearer)
    found = changes(BARS.ensure(offline_lake), Versions(first, second))
    assert found[COMMIT].to_list() == [first] * 6 + [second] * 6
    for version, rows in ((first, market(0, 2)), (second, dearer)):
        brought = found.filter(pl.col(COMMIT) == version).drop(COMMIT)
        assert_frame_equal(brought.sort(BARS.key), rows.select(BARS.schema.names).sort(BARS.key))


def test_what_only_moves_rows_changes_no_bar(offline_lake: Settings) -> None:
    for number in range(3):
        last = append(offline_lake, market(number, number + 1))
    table = BARS.ensure(offline_lake)
    table.optimize.compact()
    assert table.version() == last + 1
    found = changes(table, Versions(last + 1, last + 1))
    assert found.is_empty()
    assert found.schema == changes(table, Versions(last + 2, last + 1)).schema


# -- the source ------------------------------------------------------------------------------------------


def test_the_source_follows_the_commits_of_the_table(offline_lake: Settings) -> None:
    first = append(offline_lake, market(0, 1))
    reader = VersionsReader(offline_lake, first)
    start = reader.initialOffset()
    assert start["version"] == first
    end = reader.latestOffset(start, ReadAllAvailable())
    assert end == {**start, "version": first + 1}
    assert reader.latestOffset(end, ReadAllAvailable()) == end  # nothing new, after a moment
    last = append(offline_lake, market(1, 2))
    assert reader.latestOffset(end, ReadAllAvailable())["version"] == last + 1
    assert reader.reportLatestOffset()["version"] == last + 1
    (part,) = reader.partitions(start, {**end, "version": last + 1})
    assert list(reader.read(part)) == [(first,), (last,)]


def test_the_source_waits_for_a_commit_that_comes(offline_lake: Settings) -> None:
    newest = append(offline_lake, market(0, 1))
    reader = VersionsReader(offline_lake, newest + 1)
    late = threading.Timer(0.1, append, (offline_lake, market(1, 2)))
    late.start()
    ends = [reader.latestOffset(reader.initialOffset(), ReadAllAvailable())["version"]]
    late.join()
    while ends[-1] == newest + 1:  # a machine that was busy for longer than the wait
        ends.append(reader.latestOffset(reader.initialOffset(), ReadAllAvailable())["version"])
    assert ends[-1] == newest + 2


def test_a_query_that_was_away_catches_up_in_bounded_steps(
    offline_lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "MOST_VERSIONS", 2)
    for day in range(5):
        newest = append(offline_lake, market(day, day + 1))
    reader = VersionsReader(offline_lake, 0)
    offset, ends = reader.initialOffset(), [0]
    while offset["version"] <= newest:
        offset = reader.latestOffset(offset, ReadAllAvailable())
        ends.append(offset["version"])
    assert max(after - before for before, after in pairwise(ends)) == 2
    assert ends[-1] == newest + 1


def test_a_table_made_again_is_not_followed(offline_lake: Settings) -> None:
    reader = VersionsReader(offline_lake, 0)
    with pytest.raises(CheckpointError, match="another table"):
        reader.latestOffset({"table": "the one before", "version": 0}, ReadAllAvailable())
