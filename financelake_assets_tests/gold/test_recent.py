"""What is kept in memory gives the same bars as a table that is read anew."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from financelake_assets.config import Settings
from financelake_assets.gold.recent import RecentBars
from financelake_assets.gold.scoring import finished
from financelake_assets.model.features import LOOKBACK
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets_tests.gold.frames import bar, bars, day
from financelake_assets_tests.gold.lakes import append, correct

EXTRA = 3
BAR_KEY = ["symbol", "interval", "event_time"]


def batches() -> st.SearchStrategy[list[list[tuple[str, int]]]]:
    keys = st.tuples(st.sampled_from(["A", "B"]), st.integers(0, 260))
    return st.lists(st.lists(keys, min_size=1, max_size=4, unique=True), min_size=1, max_size=5)


def needed(found: pl.DataFrame, changed: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Each changed bar with those before it that matter."""
    for symbol, _, time in changed.select(BAR_KEY).sort(BAR_KEY).iter_rows():
        before = found.filter((pl.col("symbol") == symbol) & (pl.col("event_time") <= time))
        yield before.sort("event_time").tail(LOOKBACK + EXTRA + 1)


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(batches())
def test_memory_and_table_say_the_same(tmp_path_factory, work: list[list[tuple[str, int]]]):
    folder: Path = tmp_path_factory.mktemp("recent")
    lake = Settings(data_dir=folder)
    append(lake, bars(*[bar(n, 100.0 + n, symbol) for symbol in "AB" for n in range(200)]))
    kept = RecentBars(OpenTables(lake), EXTRA)
    for number, keys in enumerate(work):
        changed = bars(*[bar(n, 1_000.0 + number, symbol, offset=10_000 + number) for symbol, n in keys])
        correct(lake, changed)
        anew = RecentBars(OpenTables(lake), EXTRA).with_changes(changed)
        for ours, theirs in zip(needed(kept.with_changes(changed), changed), needed(anew, changed), strict=True):
            assert_frame_equal(ours, theirs)


def test_a_series_is_read_once(offline_lake: Settings, monkeypatch):
    append(offline_lake, bars(*[bar(n, 100.0) for n in range(200)]))
    kept = RecentBars(OpenTables(offline_lake), EXTRA)
    kept.with_changes(bars(bar(200, 1.0)))
    monkeypatch.setattr(RecentBars, "_read", lambda *_: 1 / 0)
    around = kept.with_changes(bars(bar(201, 2.0)))
    assert around["close"].tail(3).to_list() == [100.0, 1.0, 2.0]
    assert around.height > LOOKBACK + EXTRA


def test_bars_of_trades_are_finished_by_the_next_one():
    grown = [bar(n, 100.0, trades=3) for n in range(3)]
    whole = [bar(n, 100.0, "IBM") for n in range(3)]
    frame = bars(*grown, *whole)

    def due(*changed: dict) -> list[tuple[str, timedelta]]:
        return [(symbol, time - day(0)) for symbol, _, time in finished(frame, bars(*changed)).iter_rows()]

    assert due(grown[2]) == [("AAPL", timedelta(days=1))]
    assert due(grown[0]) == [("AAPL", timedelta(days=0))]
    assert due(whole[2], whole[1]) == [("IBM", timedelta(days=1)), ("IBM", timedelta(days=2))]
    assert due(grown[1]) == [("AAPL", timedelta(days=0)), ("AAPL", timedelta(days=1))]
