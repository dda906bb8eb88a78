from __future__ import annotations

import os
from datetime import UTC, datetime

from dash_app.data.batches import streams
from dash_app.data.lake_reader import LakeReader
from dash_app.views import lake as view
from financelake_assets.config import Settings

BEGAN = datetime(2026, 3, 1, tzinfo=UTC).timestamp()


def _batch(lake: Settings, query: str, number: int, began: float, took: float | None) -> None:
    """The files that Spark leaves: offsets when a batch is planned, a commit when it is done."""
    for name, written in (("offsets", began), ("commits", None if took is None else began + took)):
        folder = lake.data_dir / "checkpoints" / query / name
        folder.mkdir(parents=True, exist_ok=True)
        if written is not None:
            (folder / str(number)).write_text("v1")
            (folder / f".{number}.crc").write_text("")
            os.utime(folder / str(number), (written, written))


def test_without_checkpoints_there_are_no_streams(offline_lake: Settings) -> None:
    assert streams(offline_lake) == ()
    (offline_lake.data_dir / "checkpoints" / "silver" / "commits").mkdir(parents=True)
    assert streams(offline_lake) == ()


def test_a_batch_took_from_its_offsets_to_its_commit_and_one_under_way_does_not_count(offline_lake: Settings) -> None:
    for number in range(40):
        _batch(offline_lake, "silver", number, BEGAN + 10 * number, 9.0 if number < 20 else 2.0 + (number == 39))
    _batch(offline_lake, "silver", 40, BEGAN + 400, None)
    _batch(offline_lake, "gold", 0, BEGAN, 1.5)
    gold, silver = streams(offline_lake)
    assert (gold.name, gold.batch, gold.median) == ("gold", 0, 1.5)
    assert (silver.batch, silver.median, silver.slowest) == (39, 2.0, 3.0)
    assert silver.committed_at == datetime.fromtimestamp(BEGAN + 393, UTC)


def test_a_batch_whose_offsets_are_gone_has_no_duration(offline_lake: Settings) -> None:
    _batch(offline_lake, "silver", 7, BEGAN, 1.0)
    (offline_lake.data_dir / "checkpoints" / "silver" / "offsets" / "7").unlink()
    (silver,) = streams(offline_lake)
    assert (silver.batch, silver.median) == (7, None)


def test_the_lake_view_tells_how_long_batches_take(offline_lake: Settings) -> None:
    reader = LakeReader(offline_lake)
    reader.refresh()
    assert "No query has committed" in str(view.page(reader.snapshot))
    _batch(offline_lake, "silver", 7, BEGAN, 1.5)
    reader = LakeReader(offline_lake)
    reader.refresh()
    said = str(view.page(reader.snapshot))
    assert "silver" in said
    assert "1.5" in said
