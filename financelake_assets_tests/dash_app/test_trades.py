"""Trades: round trips, what each symbol brought, a period, the file, and lines in the chart. And symbols in percent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plotly import graph_objects

from dash_app.charts import trips
from dash_app.charts.compared import compared
from dash_app.charts.theme import LIGHT
from dash_app.data import market, portfolio, trades
from dash_app.data.compared import changes
from dash_app.data.lake_reader import LakeReader
from dash_app.server import create_app
from dash_app.views import trades as view
from financelake_assets.config import Settings
from financelake_assets.gold.paper.accounts import AccountKey
from financelake_assets.gold.paper.schema import TRADES
from financelake_assets_tests.dash_app import written

START = datetime(2020, 1, 1, tzinfo=UTC)
STOCKS = AccountKey("stock", "1d")


def _rows(*legs: tuple[int, str, str, float, float]) -> pl.DataFrame:
    rows = [
        {"asset_class": "stock", "interval": "1d", "event_time": START + timedelta(days=day), "number": number,
         "symbol": symbol, "leg": leg, "why": "signal", "value": value, "cost": 1.0, "profit": profit}
        for number, (day, symbol, leg, value, profit) in enumerate(legs)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=TRADES.empty.schema)


def test_a_trip_goes_from_its_entry_to_its_last_exit_with_all_its_profit() -> None:
    rows = _rows(
        (0, "A", "close", -10, 3),  # its entry is not known
        (1, "A", "open", 100, 0),
        (2, "B", "open", -50, 0),
        (3, "A", "cut", -40, 4),
        (4, "B", "close", 50, -2),
        (5, "A", "close", -60, -1),
        (6, "A", "open", 70, 0),
    )
    assert [(one.symbol, one.side, one.entered.day, one.left.day, one.profit) for one in trades.trips(rows)] == [
        ("B", -1, 3, 5, -2.0),
        ("A", 1, 2, 6, 3.0),
    ]
    assert trades.trips(rows)[1].share == pytest.approx(0.03)
    assert trades.trips(rows.clear()) == []


@given(st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from(["open", "cut", "close"]), st.integers(-9, 9))))
def test_by_symbol_the_profits_add_up(legs: list[tuple[str, str, int]]) -> None:
    rows = _rows(*((day, symbol, leg, 5.0, float(profit)) for day, (symbol, leg, profit) in enumerate(legs)))
    found = trades.by_symbol(rows)
    closed = [profit for _, leg, profit in legs if leg != "open"]
    assert sum(row["profit"] for row in found) == pytest.approx(sum(closed))
    assert sum(row["won"] for row in found) == sum(profit > 0 for profit in closed)
    assert sum(row["trades"] for row in found) == len(legs)


def test_a_period_has_its_own_return_and_drawdown() -> None:
    times = [START + timedelta(days=day) for day in range(5)]
    steps = pl.DataFrame(
        {"event_time": times, "equity": [100.0, 110, 99, 120, 60], "buy_and_hold": [100.0, 100, 90, 95, 200]}
    )
    within = trades.period(steps, (times[1], times[3]))
    found = trades.result(within)
    assert found["steps"] == 3
    assert found["equity"] == pytest.approx(120 / 110 - 1)
    assert found["equity_drawdown"] == pytest.approx(0.1)
    assert found["buy_and_hold_drawdown"] == pytest.approx(0.1)
    assert trades.period(steps, (START - timedelta(days=9), START - timedelta(days=8))).height == 5


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    lake = Settings(data_dir=tmp_path_factory.mktemp("trades"))
    written.write_lake(lake, ("AAPL", "IBM"))
    written.write_portfolio(lake)
    return lake


def test_trades_are_lines_from_open_to_open_in_the_chart(traded: Settings) -> None:
    reader = LakeReader(traded)
    reader.refresh()
    series = market.series(reader.snapshot, "AAPL", "1d", 500)
    assert series is not None
    found = trades.trips(reader.snapshot.trades.group(*STOCKS).filter(symbol="AAPL"))
    won, lost = trips.traces(series, found, LIGHT)
    graph_objects.Figure({"data": [won, lost]})
    assert len(won["x"]) + len(lost["x"]) == 3 * len(found) > 0
    opened = dict(zip(series.columns["at"], series.columns["open"], strict=True))
    for trace in (won, lost):
        assert all(opened[x] == y for x, y in zip(trace["x"], trace["y"], strict=True) if x is not None)
    assert next(text for text in won["text"] if text).startswith(("long", "short"))
    assert "+" in "".join(won["text"])
    few = market.series(reader.snapshot, "AAPL", "1d", 60)
    assert few is not None
    first = few.columns["at"][0]
    assert all(x is None or x >= first for trace in trips.traces(few, found, LIGHT) for x in trace["x"])


def test_the_file_has_every_trade_that_is_wanted(traded: Settings) -> None:
    reader = LakeReader(traded)
    reader.refresh()
    client = create_app(traded, reader).server.test_client()
    every = pl.read_delta(TRADES.path(traded))
    answer = client.get("/trades.csv?class=stock&interval=1d")
    assert answer.mimetype == "text/csv"
    assert pl.read_csv(answer.data).height == every.height
    one = pl.read_csv(client.get("/trades.csv?symbol=IBM&from=20120801000000&to=20121231000000").data)
    span = (datetime(2012, 8, 1, tzinfo=UTC), datetime(2012, 12, 31, tzinfo=UTC))
    expected = every.filter(pl.col("symbol") == "IBM", pl.col("event_time").is_between(*span))
    assert one.height == expected.height > 0
    assert set(one["symbol"]) == {"IBM"}


def test_the_view_tells_the_period_and_where_nothing_matches(traded: Settings) -> None:
    reader = LakeReader(traded)
    reader.refresh()
    found = portfolio.account(reader.snapshot, "stock", "1d")
    assert found is not None
    rows = reader.snapshot.trades.group(*STOCKS)
    span = (found.equity["event_time"][5], found.equity["event_time"][50])
    words = str(view.section(found, rows, trades.Wanted(STOCKS, None, span)))
    assert "net of costs, with a largest drawdown" in words
    assert "By symbol" in words
    assert "No trades match" in str(view.section(found, rows.clear(), trades.Wanted(STOCKS, "AAPL")))


def _closes(start: int, *values: float | None) -> pl.DataFrame:
    times = [START + timedelta(days=start + day) for day in range(len(values))]
    return pl.DataFrame({"event_time": times, "close": list(values)}, schema_overrides={"close": pl.Float64})


def test_symbols_are_compared_from_the_first_bar_that_all_have() -> None:
    found = changes(
        {"A": _closes(0, 50, 100, 110, 120), "B": _closes(1, 20, None, 30), "C": _closes(40, 1, 2)},
        START,
        START + timedelta(days=9),
    )
    assert found["A"]["change"].to_list() == pytest.approx([0, 0.1, 0.2])
    assert found["B"]["change"].to_list() == pytest.approx([0, 0.5])
    assert set(found) == {"A", "B"}
    assert changes({"A": _closes(0)}, START, START) == {}


def test_the_chart_of_a_comparison_is_valid_plotly(traded: Settings) -> None:
    reader = LakeReader(traded)
    reader.refresh()
    series = market.series(reader.snapshot, "AAPL", "1d", 250)
    other = market.series(reader.snapshot, "IBM", "1d", 250)
    assert series is not None
    assert other is not None
    span = (series.bars["event_time"][0], series.bars["event_time"][-1])
    figure = compared(series, changes({"AAPL": series.bars, "IBM": other.bars}, *span), LIGHT, "v")
    graph_objects.Figure(figure)
    assert [trace["y"][0] for trace in figure["data"]] == [0, 0]
    assert [trace.get("meta") for trace in figure["data"]] == ["prices", None]
