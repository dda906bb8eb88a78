from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from dash import html

from dash_app import wording
from dash_app.charts.figures import candles
from dash_app.charts.theme import LIGHT
from dash_app.data import market
from dash_app.data.champion import unscored
from dash_app.data.lake_reader import LakeReader, Snapshot
from dash_app.views.market import facts, head, in_words
from dash_app.views.parts import Children
from financelake_assets.bronze.universe import Universe, describe
from financelake_assets.calendars import ALWAYS, trading_calendar
from financelake_assets.config import Settings
from financelake_assets.providers.base import Instrument
from financelake_assets.silver.survey import survey
from financelake_assets_tests.dash_app import written


def _read(lake: Settings) -> Snapshot:
    reader = LakeReader(lake)
    reader.refresh()
    return reader.snapshot


def test_the_watch_list_has_every_symbol_by_class_with_its_own_time(offline_lake: Settings) -> None:
    written.write_lake(offline_lake)
    rows = market.watch_rows(_read(offline_lake))
    assert [row["symbol"] for row in rows] == [*sorted(written.SYMBOLS[:5]), "BTC-USD", *sorted(written.SYMBOLS[6:])]
    by_symbol = {row["symbol"]: row for row in rows}
    last = {symbol: written.bars((symbol,), 10).row(-1, named=True) for symbol in written.SYMBOLS}
    for symbol, row in by_symbol.items():
        assert row["time"] == last[symbol]["event_time"].strftime("%Y-%m-%d UTC")
        assert row["close"] == last[symbol]["close"]
        assert row["provider"] == "replay"
    assert len({row["time"][:4] for row in rows}) > 1


def test_the_watch_list_narrows_to_an_asset_class(offline_lake: Settings) -> None:
    written.write_bars(offline_lake, written.bars(("AAPL", "BTC-USD", "WTI"), count=5))
    snapshot = _read(offline_lake)
    assert [row["symbol"] for row in market.watch_rows(snapshot, "crypto")] == ["BTC-USD"]
    assert len(market.watch_rows(snapshot)) == 3


def test_a_symbol_shows_its_currency_where_a_universe_file_says_it(offline_lake: Settings) -> None:
    written.write_bars(offline_lake, written.bars(("WTI", "AAPL"), count=5))
    Universe(offline_lake, "csv").add([Instrument("WTI", "commodity"), Instrument("AAPL", "stock")])
    describe(offline_lake, pl.DataFrame({"symbol": ["WTI"], "calendar": ["CMES"], "currency": ["GBP"]}))
    snapshot = _read(offline_lake)
    found = {symbol: market.series(snapshot, symbol, "1d", 5) for symbol in ("WTI", "AAPL")}
    assert {symbol: series.currency for symbol, series in found.items() if series} == {"WTI": "GBP", "AAPL": ""}


def test_an_exchanges_pair_shows_the_currency_of_its_account(offline_lake: Settings) -> None:
    written.write_bars(offline_lake, written.bars(("BTC-USD",), count=5))
    Universe(offline_lake, "coinbase").add([Instrument("BTC-USD", "crypto")])
    found = market.series(_read(offline_lake), "BTC-USD", "1d", 5)
    assert found is not None
    assert found.currency == "USD"


def test_what_silver_found_in_the_bars_is_said_beneath_the_chart(offline_lake: Settings) -> None:
    """With Apple's split of February 2005, which the packaged prices are not adjusted for."""
    written.write_bars(offline_lake, written.bars(("AAPL",), skip_last=1_870, count=400))
    written.write_bars(offline_lake, written.bars(("WTI",), count=400))
    Universe(offline_lake, "csv").add([Instrument("AAPL", "stock"), Instrument("WTI", "commodity")])
    survey(offline_lake)
    snapshot = _read(offline_lake)
    apple, oil = (market.series(snapshot, symbol, "1d", 250) for symbol in ("AAPL", "WTI"))
    assert apple is not None
    assert oil is not None
    assert "The price jumped by \N{MINUS SIGN}49.6" in in_words(apple)
    assert "2005-02-28" in in_words(apple)
    assert "By the market's calendar" in in_words(oil)
    few = market.series(snapshot, "AAPL", "1d", 60)
    assert few is not None
    assert "jumped" not in in_words(few), "it is before the bars that are shown"


def test_all_parts_of_a_page_are_of_the_moment_that_it_was_told_of(offline_lake: Settings) -> None:
    rows = written.bars(("AAPL",), count=10)
    written.write_bars(offline_lake, rows.head(9))
    reader = LakeReader(offline_lake)
    reader.refresh()
    told = reader.snapshot.stamp
    written.write_bars(offline_lake, rows.tail(1))
    reader.refresh()
    assert market.watch_rows(reader.at(told))[0]["close"] == rows["close"][-2]
    assert market.watch_rows(reader.at(reader.snapshot.stamp))[0]["close"] == rows["close"][-1]
    assert reader.at("of another server") is reader.snapshot


def test_a_watch_row_without_gold_has_no_signal(offline_lake: Settings) -> None:
    written.write_bars(offline_lake, written.bars(("AAPL",)))
    (row,) = market.watch_rows(_read(offline_lake))
    assert (row["signal"], row["confidence"], row["behind"]) == (None, None, None)


def test_a_bar_that_gold_has_not_reached_says_so(offline_lake: Settings) -> None:
    rows = written.bars(("AAPL",), count=60)
    written.write_bars(offline_lake, rows)
    written.write_gold(offline_lake, rows.head(59))
    snapshot = _read(offline_lake)
    assert market.watch_rows(snapshot)[0]["behind"] is True
    series = market.series(snapshot, "AAPL", "1d", 30)
    assert series is not None
    assert series.last["signal"] is None
    assert series.bars["signal"][-2] is not None


def _said(parts: Children) -> str:
    return json.dumps(html.Div(parts).to_plotly_json(), default=lambda one: one.to_plotly_json())


def test_while_a_signal_is_being_made_the_last_one_is_shown_with_its_bar(offline_lake: Settings) -> None:
    rows = written.bars(("AAPL",), count=60)
    written.write_bars(offline_lake, rows)
    written.write_model(offline_lake)
    written.write_gold(offline_lake, rows.head(59))
    snapshot = _read(offline_lake)
    series = market.series(snapshot, "AAPL", "1d", 30)
    assert series is not None
    assert series.scored is not None
    bar = rows["event_time"][-2].strftime("%Y-%m-%d")
    told, signal = written.gold_of(rows.head(59)).row(-1, named=True), series.scored["signal"]
    for words in (_said(head(series, unscored(snapshot, "1d"))), _said(facts(series, unscored(snapshot, "1d")))):
        assert bar in words
        assert "Its signal is being made." in words
        assert "no signal yet" not in words
    assert signal in _said(head(series, ""))
    assert wording.price(told["predicted_close"]) in _said(facts(series, ""))
    assert series.target_time == rows["event_time"][-1], "its prediction is for the bar that has come meanwhile"
    trace = candles(series, LIGHT)["data"][-1]
    assert trace["y"] == [told["close"], told["predicted_close"]]


def test_a_series_without_a_model_says_why_and_how_far_it_is(offline_lake: Settings) -> None:
    rows = written.bars(("AAPL",), count=100)
    written.write_bars(offline_lake, rows)
    snapshot = _read(offline_lake)
    series = market.series(snapshot, "AAPL", "1d", 30)
    assert series is not None
    assert series.scored is None
    for words in (_said(head(series, unscored(snapshot, "1d"))), _said(facts(series, unscored(snapshot, "1d")))):
        assert "39 of 500 labelled bars" in words
    assert wording.UNKNOWN not in _said(facts(series, "")), "no row of dashes"


def test_history_that_was_loaded_once_is_called_history_not_late(offline_lake: Settings) -> None:
    """The packaged history ends years ago: as a file it is not late, and as a feed that stopped it would be."""
    rows = written.bars(("AAPL", "IBM"), count=5).with_columns(provider=pl.lit("csv"))
    now = datetime.now(UTC)
    came = pl.when(symbol="AAPL").then(pl.lit(now)).otherwise(pl.col("event_time") + timedelta(days=1))
    written.write(offline_lake, written.BARS, rows.with_columns(ingested_at=came, processed_at=pl.lit(now)))
    Universe(offline_lake, "csv").add([Instrument("AAPL", "stock"), Instrument("IBM", "stock")])
    found = {row["symbol"]: row for row in market.watch_rows(_read(offline_lake))}
    assert (found["AAPL"]["overdue"], found["AAPL"]["history"]) == (None, True)
    assert "no bar is late" in found["AAPL"]["fresh"]
    assert found["IBM"]["overdue"] > 1_000
    assert found["IBM"]["history"] is False


def test_what_the_bar_before_predicted_lies_beside_what_happened(offline_lake: Settings) -> None:
    rows = written.bars(("AAPL",), count=60)
    written.write_bars(offline_lake, rows)
    written.write_gold(offline_lake, rows)
    series = market.series(_read(offline_lake), "AAPL", "1d", 30)
    assert series is not None
    scored = written.gold_of(rows)
    assert series.bars["expected_close"].to_list() == scored["predicted_close"].tail(31).head(30).to_list()
    assert series.last["predicted_close"] == scored["predicted_close"][-1]


def test_no_such_symbol_or_interval_is_none(offline_lake: Settings) -> None:
    written.write_lake(offline_lake, ("AAPL",))
    snapshot = _read(offline_lake)
    assert market.series(snapshot, "NOPE", "1d", 30) is None
    assert market.series(snapshot, "AAPL", "1m", 30) is None
    assert market.series(Snapshot(), "AAPL", "1d", 30) is None


def test_the_interval_with_signals_is_opened_first(offline_lake: Settings) -> None:
    daily = written.bars(("BTC-USD",), count=60)
    minutes = daily.with_columns(pl.lit("1m").alias("interval"))
    written.write_bars(offline_lake, pl.concat([daily, minutes]))
    snapshot = _read(offline_lake)
    assert snapshot.intervals("BTC-USD") == ["1m", "1d"]
    assert market.main_interval(snapshot, "BTC-USD") == "1d"
    written.write_gold(offline_lake, minutes)
    assert market.main_interval(_read(offline_lake), "BTC-USD") == "1m"


def test_close_only_sources_are_recognised(offline_lake: Settings) -> None:
    written.write_lake(offline_lake, ("AAPL", "WTI"))
    snapshot = _read(offline_lake)
    found = {name: market.series(snapshot, name, "1d", 100) for name in ("AAPL", "WTI")}
    assert [one.close_only for one in found.values() if one] == [False, True]


@pytest.mark.parametrize(
    ("closes", "expected"),
    [
        ([100.0, 101.0], 0.01),
        ([-36.98, 8.91], (8.91 + 36.98) / 36.98),
        ([10.0, -5.0], -1.5),
        ([0.0, 5.0], None),
        ([5.0], None),
        ([], None),
        ([None, 5.0], None),
    ],
)
def test_change(closes: list[float | None], expected: float | None) -> None:
    assert market.change(closes) == (None if expected is None else pytest.approx(expected))


def test_a_sparkline_keeps_the_shape_and_what_is_unknown() -> None:
    assert market.sparkline([1.0, None, 3.0, 2.0]) == [0, None, 99, 50]
    assert market.sparkline([5.0, 5.0]) == [0, 0]
    assert market.sparkline([]) == []


def test_weekends_are_left_out_of_a_chart_only_where_the_series_has_none() -> None:
    days = pl.datetime_range(datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 2, 15, tzinfo=UTC), "1d", eager=True)
    weekdays = days.filter(days.dt.weekday() < 6)
    assert market.skips_weekends(weekdays, "1d")
    assert not market.skips_weekends(days, "1d")
    assert not market.skips_weekends(weekdays, "15m"), "of shorter bars nobody knows"


def test_the_next_bar_follows_the_calendar_of_the_market() -> None:
    friday = datetime(2013, 2, 15, tzinfo=UTC)
    stocks, always = trading_calendar("XNYS"), trading_calendar(ALWAYS)
    # the Monday behind it was Washington's Birthday
    assert market.next_bar_time(friday, "1d", 1, stocks) == datetime(2013, 2, 19, tzinfo=UTC)
    assert market.next_bar_time(friday, "1d", 3, stocks) == datetime(2013, 2, 21, tzinfo=UTC)
    assert market.next_bar_time(friday, "1d", 1, always) == datetime(2013, 2, 16, tzinfo=UTC)
    assert market.next_bar_time(friday, "15m", 2, always) == datetime(2013, 2, 15, 0, 30, tzinfo=UTC)
