"""Older bars, and bars in groups: what a chart of 100,000 bars shows."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plotly import graph_objects

from dash_app.charts.figures import candles
from dash_app.charts.theme import LIGHT
from dash_app.data import market, window
from dash_app.data.history import Frames, History, kept_frames, with_series
from dash_app.data.indicators import chosen
from dash_app.data.lake_reader import KEPT_BARS, LakeReader, Snapshot
from dash_app.views.market import in_words
from financelake_assets.config import Settings
from financelake_assets_tests.dash_app import written

BARS = 2_600


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Snapshot, pl.DataFrame]:
    lake = Settings(data_dir=tmp_path_factory.mktemp("long"))
    rows = written.bars(("IBM",), 10, BARS)
    written.write_bars(lake, rows)
    written.write_gold(lake, rows)
    reader = LakeReader(lake)
    reader.refresh()
    return lake, reader.snapshot, rows


def _of(long: tuple[Settings, Snapshot, pl.DataFrame], bars: int, **more: object) -> market.Series:
    lake, snapshot, _ = long
    frames = History(lake).of(snapshot, "IBM", "1d")
    found = window.series(snapshot, frames, "IBM", "1d", bars, **more)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_the_bars_that_the_page_does_not_keep_come_from_the_lake(long) -> None:
    lake, snapshot, rows = long
    assert kept_frames(snapshot, "IBM", "1d").bars.height == KEPT_BARS
    frames = History(lake).of(snapshot, "IBM", "1d")
    assert frames.bars["event_time"].to_list() == rows["event_time"].to_list()
    assert frames.bars["close"].to_list() == rows["close"].to_list()
    assert frames.signals.height == rows.height - 20, "the rule of the tests needs twenty bars"
    assert frames.bars.schema == kept_frames(snapshot, "IBM", "1d").bars.schema


def test_a_new_bar_shows_at_once_beside_what_was_read_before(long, tmp_path_factory) -> None:
    lake = Settings(data_dir=tmp_path_factory.mktemp("moving"))
    rows = written.bars(("IBM",), 0, 1_203)
    written.write_bars(lake, rows.head(1_200))
    reader, history = LakeReader(lake), History(lake)
    reader.refresh()
    assert history.of(reader.snapshot, "IBM", "1d").bars.height == 1_200
    written.write_bars(lake, rows.tail(3))
    reader.refresh()
    assert history.of(reader.snapshot, "IBM", "1d").bars["event_time"].to_list() == rows["event_time"].to_list()


@given(st.integers(1, 2_000_000))
def test_a_group_is_the_smallest_step_that_fits(bars: int) -> None:
    size = window.group_size(bars)
    assert bars <= size * window.MOST_CANDLES
    steps = [mantissa * 10**power for power in range(5) for mantissa in (1, 2, 5)]
    assert size in steps
    smaller = [one for one in steps if one < size]
    assert not smaller or bars > smaller[-1] * window.MOST_CANDLES


def test_a_group_of_bars_is_a_true_candle_and_says_so(long) -> None:
    rows = long[2].with_columns(pl.col("open", "high", "low", "close", "volume").cast(pl.Float64))
    shown = _of(long, BARS)
    assert shown.group == 5
    assert shown.bars.height == BARS // 5
    for number in (0, 17, BARS // 5 - 1):
        bars, group = rows[number * 5 : number * 5 + 5], shown.bars.row(number, named=True)
        assert group["event_time"] == bars["event_time"][0]
        assert (group["open"], group["close"]) == (bars["open"][0], bars["close"][-1])
        assert (group["high"], group["low"]) == (bars["high"].max(), bars["low"].min())
        assert group["volume"] == pytest.approx(bars["volume"].sum())
    assert "Each candle is 5 bars" in in_words(shown)
    figure = candles(shown, LIGHT, view="v")
    graph_objects.Figure(figure)
    json.dumps(figure, allow_nan=False)
    assert figure["layout"]["meta"]["group"] == 5
    signals = written.gold_of(rows)["signal"].to_list()
    words = next(trace for trace in figure["data"] if trace.get("meta") == "prices")["text"]
    assert words[-1] == f"5 bars: {signals[-5:].count('BUY')} BUY, {signals[-5:].count('SELL')} SELL"
    assert next(trace for trace in figure["data"] if trace["name"] == "BUY")["x"] == []


def test_a_new_bar_changes_only_the_last_group(long) -> None:
    lake, snapshot, _ = long
    frames = History(lake).of(snapshot, "IBM", "1d")
    before = Frames(frames.bars.head(-1), frames.predictions.head(-1), frames.signals.head(-1))
    series = [window.series(snapshot, one, "IBM", "1d", 2_500) for one in (before, frames)]
    assert series[0] is not None
    assert series[1] is not None
    old, new = series[0].columns, series[1].columns
    common = len(set(old["at"]) & set(new["at"])) - 1
    assert common > 400
    start = new["at"].index(old["at"][1])
    for name in ("at", "open", "high", "low", "close"):
        assert old[name][1:-1] == new[name][start : start + len(old[name]) - 2], name


def test_a_moved_chart_has_its_bars_and_some_on_either_side(long) -> None:
    rows = long[2]
    times = rows["event_time"]
    shown = _of(long, 120, span=(times[500], times[599]))
    assert (shown.group, shown.older, shown.newer) == (1, True, True)
    assert shown.bars["event_time"].to_list() == times[450:650].to_list()
    assert _of(long, 120, span=(times[0], times[50])).older is False
    assert _of(long, 120, span=(times[2_590], times[2_599] + timedelta(days=50))).newer is False
    far = _of(long, 120, span=(datetime.max.replace(tzinfo=times[0].tzinfo) - timedelta(days=2), datetime.max.replace(
        tzinfo=times[0].tzinfo)))  # fmt: skip
    assert far.bars.height > 0, "where no bar is, the nearest ones are shown"


def test_a_forecast_is_drawn_only_at_the_newest_bar(long) -> None:
    times = long[2]["event_time"]
    for span, drawn in (((times[500], times[599]), False), ((times[2_500], times[2_599]), True)):
        figure = candles(_of(long, 120, span=span), LIGHT)
        forecast = next(trace for trace in figure["data"] if trace["name"] == "Predicted next close")
        assert bool(forecast["x"]) is drawn


def test_indicators_of_a_part_are_those_of_the_whole(long) -> None:
    show = chosen(["SMA 20", "RSI 14", "feature momentum_5"])
    times = long[2]["event_time"]
    part, whole = _of(long, 120, span=(times[1_500], times[1_599]), show=show), _of(long, 1_000, show=show)
    names = [one.column(line) for one in show for line in one.lines]
    both = part.bars.join(whole.bars, on="event_time", suffix="_whole")
    assert both.height > 30
    for name in names:
        assert both[name].to_list() == pytest.approx(both[f"{name}_whole"].to_list(), rel=1e-6)


def test_an_explained_bar_may_be_older_than_what_the_page_keeps(long) -> None:
    lake, snapshot, rows = long
    history, times = History(lake), rows["event_time"]
    around = history.around(snapshot, "IBM", "1d", times[700])
    assert around.bars.group("IBM", "1d")["event_time"].to_list() == times[:701].to_list()
    assert history.around(snapshot, "IBM", "1d", times[-1]) is snapshot
    assert with_series(snapshot, "IBM", "1d", Frames(*(f.clear() for f in (rows, rows, rows)))).symbols() == []


@given(st.sampled_from(["1d", "1m", "1h"]), st.datetimes(datetime(2000, 1, 1), datetime(2035, 1, 1)))
def test_a_text_of_the_chart_is_the_moment_that_it_shows(interval: str, moment: datetime) -> None:
    exact = moment.replace(microsecond=0, tzinfo=UTC)
    text = market.plotted_time(exact, interval)
    assert market.unplotted(text, interval) == exact
    assert market.unplotted(text.replace("T", " ") + ".1234", interval) == exact
    assert market.unplotted("no time", interval) is None
