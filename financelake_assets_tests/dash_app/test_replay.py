"""A replay shows the lake as of a past bar: what a lake without the later bars would show, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dash_app.address import Address
from dash_app.charts.figures import candles
from dash_app.charts.theme import LIGHT
from dash_app.data import market, screener
from dash_app.data.flow import track_record
from dash_app.data.history import History
from dash_app.data.indicators import chosen
from dash_app.data.lake_reader import LakeReader, Snapshot
from dash_app.data.replay import Replays, as_of, end_of, last_start, stepped
from dash_app.data.similar import similar
from dash_app.data.why import explain
from dash_app.symbol_callbacks import find
from dash_app.views import market as view
from financelake_assets.config import Settings
from financelake_assets_tests.dash_app import written

SYMBOLS = ("AAPL", "IBM", "BTC-USD")
SHOW = chosen(["EMA 20", "RSI 14", "OBV"])
# what tells when rows came, and not what they say
_CAME = {"arrived", "overdue", "history", "fresh"}


def _read(lake: Settings) -> Snapshot:
    reader = LakeReader(lake)
    reader.refresh()
    return reader.snapshot


def _lake(path: Any, rows: pl.DataFrame) -> Settings:
    """As ``written`` has it; the gold of a bar uses no later bar, and its outcome is the next bar."""
    lake = Settings(data_dir=path)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    written.write_bars(lake, rows, at)
    written.write_gold(lake, rows)
    written.write_scorecard(lake, rows)
    return lake


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Snapshot, pl.DataFrame]:
    rows = written.bars(SYMBOLS, 10, 1_400)
    lake = _lake(tmp_path_factory.mktemp("whole"), rows)
    return lake, _read(lake), rows


@pytest.mark.parametrize("back", [0, 1, 37, 900, 1_250])
def test_a_replay_shows_what_a_lake_without_the_later_bars_shows(whole, back: int, tmp_path_factory) -> None:
    lake, now, rows = whole
    start = rows.filter(symbol="AAPL")["event_time"].reverse()[back]
    moment = end_of(start, "1d")
    replayed = Replays(History(lake)).at(now, moment, "AAPL", "1d")
    until = rows.filter(pl.col("event_time") <= start)
    then = _read(_lake(tmp_path_factory.mktemp("then"), until))

    one, other = (find(snapshot, "AAPL", "1d", Address(bars=250, show=SHOW)) for snapshot in (replayed, then))
    assert one is not None
    assert other is not None
    assert one.last["event_time"] == start
    figures = [candles(series, LIGHT, view="v") for series in (one, other)]
    for figure in figures:
        figure["layout"]["meta"].pop("older")
    assert figures[0] == figures[1]
    assert str(view.head(one, "")) == str(view.head(other, ""))
    assert str(view.facts(one, "")) == str(view.facts(other, ""))
    assert str(view.table(one)) == str(view.table(other))
    record, record_then = (track_record(snapshot, "AAPL", "1d") for snapshot in (replayed, then))
    assert record is not None
    assert str(view.record(record)) == str(view.record(record_then))
    why, why_then = (explain(snapshot, "AAPL", "1d", start) for snapshot in (replayed, then))
    assert why is not None
    assert why_then is not None
    assert (why.features, why.used, why.first) == (why_then.features, why_then.used, why_then.first)
    listed = {row["symbol"]: row for row in market.watch_rows(replayed)}
    listed_then = {row["symbol"]: row for row in market.watch_rows(then)}
    assert "AAPL" in listed
    for symbol, row in listed.items():
        assert {name: value for name, value in row.items() if name not in _CAME} == {
            name: value for name, value in listed_then[symbol].items() if name not in _CAME
        }
    keys = [(symbol, "1d") for symbol in listed]
    assert screener.kept(replayed, "signal is BUY or rsi < 50 %", keys) == screener.kept(
        then, "signal is BUY or rsi < 50 %", keys
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(st.integers(0, 900), st.integers(0, 86_399))
def test_no_row_of_a_replay_is_later_than_its_moment(whole, back: int, seconds: int) -> None:
    _, now, rows = whole
    moment = rows["event_time"].max() - timedelta(days=back, seconds=seconds)  # type: ignore[operator]
    cut = as_of(now, moment)
    for name, table in cut.tables.items():
        for key, frame in table.groups.items():
            if key and name != "gold/models":
                column = "target_time" if "target_time" in frame.columns else "event_time"
                assert end_of(frame[column].max(), "1d") <= moment, name
    assert cut.metrics.is_empty()
    assert cut.portfolio.is_empty()
    assert cut.equity.groups == {}
    assert cut.overdue == {}
    assert cut.stamp != now.stamp


def test_what_was_most_like_a_bar_uses_only_outcomes_that_were_known(whole) -> None:
    rows = whole[1].bars.group("IBM", "1d")
    for horizon in (1, 5):
        found = similar(rows.head(900), horizon)
        assert found is not None
        chosen_bar = rows["event_time"][899]
        times = rows["event_time"].to_list()
        for day in found.days:
            assert times.index(day.event_time) + horizon <= 899
            assert day.event_time < chosen_bar
        changed = rows.with_columns(
            close=pl.when(pl.col("event_time") > chosen_bar).then(pl.col("close") * 9).otherwise(pl.col("close"))
        )
        assert similar(changed.head(900), horizon) == found
        assert found.low <= found.mean <= found.high
        assert 0 <= found.rose <= len(found.days) <= 20
        distances = [day.distance for day in found.days]
        assert distances == sorted(distances)
        ordered = sorted(times.index(day.event_time) for day in found.days)
        assert all(after - before >= 5 for before, after in pairwise(ordered))
    assert similar(rows.head(50)) is None


def test_steps_go_bar_by_bar_within_the_series(whole) -> None:
    lake, now, rows = whole
    frames = History(lake).of(now, "IBM", "1d")
    times = rows.filter(symbol="IBM")["event_time"]
    moment = stepped(frames, "1d", None, -10)
    assert moment == end_of(times[-11], "1d")
    assert stepped(frames, "1d", moment, 1) == end_of(times[-10], "1d")
    assert stepped(frames, "1d", moment, -1) == end_of(times[-12], "1d")
    assert stepped(frames, "1d", moment, 99) == end_of(times[-1], "1d")
    assert stepped(frames, "1d", moment, -9_999) == end_of(times[0], "1d")
    assert last_start(end_of(times[5], "1d"), "1d") == times[5]


def test_a_replay_before_the_first_bar_has_no_chart(whole) -> None:
    lake, now, _ = whole
    long_ago = datetime(1950, 1, 1, tzinfo=UTC)
    replayed = Replays(History(lake)).at(now, long_ago, "AAPL", "1d")
    assert find(replayed, "AAPL", "1d", Address()) is None
    assert market.watch_rows(replayed) == []
