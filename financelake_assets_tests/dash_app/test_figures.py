from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from dash import no_update
from hypothesis import given
from hypothesis import strategies as st
from plotly import graph_objects

from dash_app.charts.curves import reliability
from dash_app.charts.figures import Figure, candles
from dash_app.charts.theme import DARK, LIGHT
from dash_app.data import market
from dash_app.data.indicators import Choice, chosen
from dash_app.data.lake_reader import LakeReader
from dash_app.pieces import SentFigures, digest, figure_patch, only_new, shift
from financelake_assets.config import Settings
from financelake_assets_tests.dash_app import written


def _series(lake: Settings, symbol: str, bars: int = 250, show: tuple[Choice, ...] = ()) -> market.Series:
    reader = LakeReader(lake)
    reader.refresh()
    series = market.series(reader.snapshot, symbol, "1d", bars, show)
    assert series is not None
    return series


def _trace(figure: Figure, name: str) -> dict[str, Any]:
    return next(trace for trace in figure["data"] if trace["name"] == name)


@pytest.mark.parametrize("symbol", ["AAPL", "BTC-USD", "WTI"])
@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_figures_are_valid_plotly(offline_lake: Settings, symbol: str, colours: Any) -> None:
    written.write_lake(offline_lake, (symbol,))
    figure = candles(_series(offline_lake, symbol), colours)
    graph_objects.Figure(figure)  # raises on any property that Plotly does not know
    json.dumps(figure, allow_nan=False)


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_the_reliability_chart_is_valid_plotly(colours: Any) -> None:
    row = {"stated": 0.52, "hit_rate": 0.5, "hit_rate_low": 0.4, "hit_rate_high": 0.6, "predictions": 200}
    figure = reliability([row], colours)
    graph_objects.Figure(figure)
    assert _trace(figure, "Hit rate")["error_y"]["array"] == [pytest.approx(0.1)]
    assert _trace(figure, "Perfect calibration")["x"] == _trace(figure, "Perfect calibration")["y"]


@pytest.mark.parametrize("symbol", ["AAPL", "WTI"])
def test_indicators_are_drawn_when_asked_for_and_prices_keep_their_own_place(
    offline_lake: Settings, symbol: str
) -> None:
    written.write_lake(offline_lake, (symbol,))
    show = chosen(["SMA 20", "Bollinger 20 2", "RSI 14", "RSI 7", "MACD", "ATR", "feature rsi"])
    figure = candles(_series(offline_lake, symbol, show=show), LIGHT)
    graph_objects.Figure(figure)
    json.dumps(figure, allow_nan=False)
    plain, names = candles(_series(offline_lake, symbol), LIGHT), {trace["name"] for trace in figure["data"]}
    assert names - {trace["name"] for trace in plain["data"]} == {
        *("SMA 20", "Bollinger 20 2 upper", "Bollinger 20 2 lower", "RSI 14", "RSI 7", "ATR 14", "feature rsi"),
        *("MACD 12 26 9", "MACD 12 26 9 signal", "MACD 12 26 9 distance"),
    }
    places = [
        axis["domain"] for name, axis in figure["layout"].items() if name.startswith("yaxis") and "domain" in axis
    ]
    assert all(one[1] < other[0] for one, other in pairwise(sorted(places))), "no two overlap"
    assert figure["layout"]["yaxis"]["domain"] == max(places)
    assert {trace["yaxis"] for trace in figure["data"] if trace["name"].startswith("RSI")} == {"y3"}
    assert [one["text"] for one in figure["layout"]["annotations"]] == [
        *("feature rsi", "ATR 14", "MACD 12 26 9", "RSI 14 · RSI 7")
    ]
    assert {axis["showspikes"] for name, axis in figure["layout"].items() if "axis" in name} == {True}
    assert "yaxis3" not in plain["layout"]
    assert plain["layout"]["uirevision"] == figure["layout"]["uirevision"]


def test_the_chart_has_no_room_for_a_closed_market_and_shows_what_is_missing(offline_lake: Settings) -> None:
    """Over Thanksgiving and Christmas of 2012, with a session that did not come."""
    rows = written.bars(("AAPL",), count=400).filter(pl.col("event_time").dt.date() != date(2012, 12, 12))
    written.write_bars(offline_lake, rows)
    series = _series(offline_lake, "AAPL")
    found = candles(series, LIGHT)["layout"]["xaxis"]["rangebreaks"]
    assert found[0] == {"bounds": ["sat", "mon"]}
    assert ["2012-11-22T00:00:00", "2012-11-23T00:00:00"] in [one["bounds"] for one in found]
    assert ["2012-12-25T00:00:00", "2012-12-26T00:00:00"] in [one["bounds"] for one in found]
    days = [pl.Series([one["bounds"][0]]).str.to_datetime()[0].date() for one in found[1:]]
    assert date(2012, 12, 12) not in days, "a session without a bar is a gap"
    shut = [(begin, end) for begin, end in series.closures]
    assert not any(begin <= moment < end for moment in series.bars["event_time"] for begin, end in shut)


def test_between_sessions_of_short_bars_there_is_no_room(offline_lake: Settings) -> None:
    sessions = [datetime(2025, 6, day, 14, minute, tzinfo=UTC) for day in (5, 6, 9) for minute in (0, 15, 30, 45)]
    last = [datetime(2025, 6, day, 19, 45, tzinfo=UTC) for day in (5, 6)]
    rows = written.bars(("AAPL",), count=14).with_columns(
        interval=pl.lit("15m"), event_time=pl.Series(sorted([*sessions, *last])).cast(pl.Datetime("us", "UTC"))
    )
    written.write_bars(offline_lake, rows)
    reader = LakeReader(offline_lake)
    reader.refresh()
    series = market.series(reader.snapshot, "AAPL", "15m", 250)
    assert series is not None
    opens = datetime(2025, 6, 6, 13, 30, tzinfo=UTC), datetime(2025, 6, 9, 13, 30, tzinfo=UTC)
    ends = (one + timedelta(minutes=15) for one in last)
    assert series.closures == list(zip(ends, opens, strict=True))


def test_markers_stand_on_the_signalled_bars(offline_lake: Settings) -> None:
    written.write_lake(offline_lake, ("AAPL",))
    series = _series(offline_lake, "AAPL")
    figure = candles(series, LIGHT)
    for side, sign in (("BUY", -1), ("SELL", 1)):
        expected = series.bars.filter(pl.col("signal") == side)
        trace = _trace(figure, side)
        assert expected.height > 0
        assert [time[:10] for time in trace["x"]] == expected["event_time"].dt.strftime("%Y-%m-%d").to_list()
        edge = expected["low" if side == "BUY" else "high"].to_list()
        assert all((place - bar) * sign > 0 for place, bar in zip(trace["y"], edge, strict=True))
        assert trace["marker"]["symbol"] == ("triangle-up" if side == "BUY" else "triangle-down")
        assert side in trace["text"]


def test_prices_without_volume_fill_the_chart_uncovered(offline_lake: Settings) -> None:
    written.write_lake(offline_lake, ("AAPL", "WTI"))
    places = {symbol: candles(_series(offline_lake, symbol), LIGHT)["layout"] for symbol in ("AAPL", "WTI")}
    assert places["AAPL"]["yaxis"]["domain"][0] > places["AAPL"]["yaxis2"]["domain"][1]
    assert places["WTI"]["yaxis"]["domain"] == [0, 1]
    assert places["WTI"]["yaxis2"]["overlaying"] == "y"


def test_the_forecast_is_drawn_at_the_next_bar_with_its_interval(offline_lake: Settings) -> None:
    written.write_lake(offline_lake, ("AAPL",))
    series = _series(offline_lake, "AAPL")
    trace = _trace(candles(series, LIGHT), "Predicted next close")
    last = series.last
    assert trace["y"] == [last["close"], last["predicted_close"]]
    assert trace["x"][1] == series.target_time.strftime("%Y-%m-%dT%H:%M:%S")
    assert trace["y"][1] + trace["error_y"]["array"][1] == pytest.approx(last["upper"])
    assert trace["y"][1] - trace["error_y"]["arrayminus"][1] == pytest.approx(last["lower"])


def test_without_gold_there_are_candles_and_no_promises(offline_lake: Settings) -> None:
    written.write_bars(offline_lake, written.bars(("AAPL",)))
    figure = candles(_series(offline_lake, "AAPL"), LIGHT)
    assert len(_trace(figure, "AAPL")["x"]) == 250
    assert _trace(figure, "BUY")["x"] == []
    assert _trace(figure, "Predicted next close")["x"] == []
    assert _trace(figure, "Predicted interval")["showlegend"] is False


def test_close_only_prices_are_a_line_not_invented_candles(offline_lake: Settings) -> None:
    written.write_lake(offline_lake, ("WTI",))
    kinds = [trace["type"] for trace in candles(_series(offline_lake, "WTI"), LIGHT)["data"]]
    assert "candlestick" not in kinds


def test_one_bar_is_a_figure(offline_lake: Settings) -> None:
    written.write_bars(offline_lake, written.bars(("AAPL",), count=1))
    graph_objects.Figure(candles(_series(offline_lake, "AAPL"), LIGHT))


def test_a_new_bar_is_a_patch_of_data_and_leaves_the_layout_alone(offline_lake: Settings) -> None:
    rows = written.bars(("AAPL",), count=100)
    written.write_bars(offline_lake, rows.head(99))
    before = candles(_series(offline_lake, "AAPL"), LIGHT)
    written.write_bars(offline_lake, rows.tail(1))
    after = candles(_series(offline_lake, "AAPL"), LIGHT)
    patch = figure_patch(before, after)
    places = [tuple(change["location"]) for change in patch["operations"]]
    assert places
    assert all(place[0] == "data" for place in places)
    assert patched(before, patch) == after
    assert len(json.dumps(patch, default=str)) < len(json.dumps(after)) / 3


def patched(value: Any, patch: dict[str, Any]) -> Any:
    """What the browser makes of a patch: the operations of Dash's renderer, one after the other."""
    value = json.loads(json.dumps(value))
    for change in patch["operations"]:
        *path, last = change["location"]
        place = value
        for step in path:
            place = place[step]
        match change["operation"]:
            case "Assign":
                place[last] = change["params"]["value"]
            case "Delete":
                del place[last]
            case "Extend":
                place[last] = place[last] + change["params"]["value"]
    return value


@given(
    old=st.lists(st.integers(0, 3), max_size=30),
    dropped=st.integers(0, 8),
    cut=st.integers(0, 8),
    more=st.lists(st.integers(0, 3), max_size=8),
)
def test_however_a_list_moved_on_the_patch_makes_it_of_the_old_one(
    old: list[int], dropped: int, cut: int, more: list[int]
) -> None:
    new = old[dropped : max(dropped, len(old) - cut)] + more
    before, after = ({"data": [{"type": "bar", "y": y}], "layout": {}} for y in (old, new))
    assert patched(before, figure_patch(before, after)) == after


def test_of_a_window_that_moves_only_the_new_bar_is_sent() -> None:
    before, after = ({"data": [{"type": "bar", "y": list(range(at, at + 250))}], "layout": {}} for at in (0, 1))
    operations = figure_patch(before, after)["operations"]
    assert [one["operation"] for one in operations] == ["Delete", "Extend"]
    assert operations[1]["params"]["value"] == [250]
    assert shift(list(range(250)), list(range(100, 350))) is None, "too much is new"


def test_another_symbol_or_scheme_is_a_whole_figure(offline_lake: Settings) -> None:
    written.write_lake(offline_lake, ("AAPL", "BTC-USD"))
    one, other = (candles(_series(offline_lake, symbol), LIGHT) for symbol in ("AAPL", "BTC-USD"))
    assert figure_patch(one, other) is other
    assert figure_patch(None, one) is one
    dark = candles(_series(offline_lake, "AAPL"), DARK)
    assert figure_patch(one, dark) is dark


def test_only_what_the_browser_lacks_is_sent() -> None:
    first, seen = only_new({"head": "a", "facts": [1]}, None)
    assert first == {"head": "a", "facts": [1]}
    second, _ = only_new({"head": "a", "facts": [2]}, seen)
    assert second["facts"] == [2]
    assert second["head"] is not first["head"]


def test_figures_that_were_sent_are_remembered_up_to_a_bound() -> None:
    sent = SentFigures(size=2)
    figures = [{"data": [{"type": "bar", "y": [number]}], "layout": {}} for number in range(4)]
    for figure in figures:
        assert sent.send(figure, digest(figure), None) == figure
    assert sent.send(figures[3], digest(figures[3]), digest(figures[3])) is no_update
    patched = sent.send(figures[3], digest(figures[3]), digest(figures[2]))
    assert patched["operations"]
    assert sent.send(figures[3], digest(figures[3]), digest(figures[0])) == figures[3]  # forgotten: sent whole
