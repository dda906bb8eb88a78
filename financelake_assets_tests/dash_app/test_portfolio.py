"""The portfolio view over tables that gold's own code wrote from the tests' signals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import polars as pl
import pytest
from plotly import graph_objects

from dash_app.charts import curves
from dash_app.charts.theme import DARK, LIGHT
from dash_app.data import portfolio
from dash_app.data.lake_reader import LakeReader, Snapshot
from dash_app.data.trades import Wanted
from dash_app.pieces import figure_patch
from dash_app.server import create_app
from dash_app.views import lake as lake_view
from dash_app.views import portfolio as view
from dash_app.views import trades as trades_view
from financelake_assets.bronze.universe import Universe, describe
from financelake_assets.config import PortfolioSettings, Settings
from financelake_assets.gold.paper.accounts import AccountKey
from financelake_assets.gold.paper.schema import EQUITY
from financelake_assets.gold.schema import CALIBRATION
from financelake_assets.providers.base import Instrument
from financelake_assets_tests.dash_app import written

STOCKS = AccountKey("stock", "1d")


def _read(lake: Settings) -> Snapshot:
    reader = LakeReader(lake)
    reader.refresh()
    return reader.snapshot


def _account(snapshot: Snapshot, asset_class: str | None = None) -> portfolio.AccountView:
    found = portfolio.account(snapshot, asset_class, None)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    lake = Settings(data_dir=tmp_path_factory.mktemp("traded"))
    written.write_lake(lake, ("AAPL", "IBM", "BTC-USD"))
    written.write_portfolio(lake)
    return lake


def test_each_class_and_interval_is_an_account_and_the_first_is_shown_unless_asked(traded: Settings) -> None:
    snapshot = _read(traded)
    assert portfolio.accounts(snapshot) == [STOCKS, AccountKey("crypto", "1d")]
    assert _account(snapshot).name == "Stock 1d"
    assert _account(snapshot, "crypto").name == "Crypto 1d"
    assert _account(snapshot, "commodity").name == "Stock 1d"


def test_what_is_shown_is_what_gold_wrote(traded: Settings) -> None:
    account = _account(_read(traded))
    assert set(account.statistics) == {"signals", "buy_and_hold", "random"}
    assert account.equity["equity"][-1] == pytest.approx(account.statistics["signals"]["equity"])
    times = [row["event_time"] for row in account.trades]
    assert times == sorted(times, reverse=True)
    assert {row["symbol"] for row in account.trades} == {"AAPL", "IBM"}
    assert "book" not in account.equity.columns


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_the_chart_has_both_curves_the_band_of_luck_and_the_drawdown_below_zero(traded: Settings, colours: Any) -> None:
    account = _account(_read(traded))
    figure = curves.equity(account, colours)
    graph_objects.Figure(figure)
    json.dumps(figure, allow_nan=False)
    by_name = {trace["name"]: trace for trace in figure["data"]}
    low, high = "Directions by lot, 5 %", "Directions by lot, 95 %"
    assert set(by_name) == {"Signals", "Buy and hold", low, high, "Drawdown"}
    assert all(one <= other for one, other in zip(by_name[low]["y"], by_name[high]["y"], strict=True))
    assert by_name["Buy and hold"]["y"] == account.equity["buy_and_hold"].to_list()
    assert len({trace["line"].get("dash") for name, trace in by_name.items() if name != "Drawdown"}) == 3
    assert max(by_name["Drawdown"]["y"]) <= 0


def test_a_step_is_a_patch(traded: Settings) -> None:
    account = _account(_read(traded))
    shorter = portfolio.AccountView(STOCKS, account.equity.head(-1), account.statistics, [], [])
    patch = figure_patch(curves.equity(shorter, LIGHT), curves.equity(account, LIGHT))
    assert {change["location"][0] for change in patch["operations"]} == {"data"}


def test_the_verdict_is_said_beside_doing_nothing_and_luck(traded: Settings) -> None:
    account = _account(_read(traded))
    told = {
        curve: {**account.statistics[curve], "total_return": value}
        for curve, value in {"signals": -0.1, "buy_and_hold": 0.2}.items()
    }
    worse = portfolio.AccountView(STOCKS, account.equity, told, [], [])
    assert 0 < told["signals"]["luck_p"] <= 1
    told["signals"]["luck_p"] = 0.4
    assert "did not do better" in view.in_words(worse)
    assert "can be luck" in view.in_words(worse)
    assert "\N{MINUS SIGN}10.0" in view.in_words(worse)
    told["signals"] |= {"total_return": 0.3, "luck_p": 0.002}
    assert "It did better than that" in view.in_words(worse)
    assert "hardly luck" in view.in_words(worse)


def test_accounts_of_several_currencies_are_chosen_by_name(tmp_path: Path) -> None:
    lake = Settings(data_dir=tmp_path)
    written.write_lake(lake, ("AAPL", "IBM", "BTC-USD"))
    Universe(lake, "csv").add([Instrument("AAPL", "stock")])
    describe(lake, pl.DataFrame({"symbol": ["AAPL"], "calendar": ["XETR"], "currency": ["EUR"]}))
    written.write_portfolio(lake)
    written.write_backtests(lake, "20200101-first")
    snapshot = _read(lake)
    euros = AccountKey("stock", "1d", "EUR")
    assert portfolio.accounts(snapshot) == [euros, STOCKS, AccountKey("crypto", "1d")]
    assert _account(snapshot).name == "Stock 1d EUR"
    for wanted, symbol, query in (
        (euros, "AAPL", "class=stock&interval=1d&currency=EUR"),
        (STOCKS, "IBM", "class=stock&interval=1d"),
    ):
        account = portfolio.account(snapshot, *wanted)
        assert account is not None
        assert account.key == wanted
        assert {row["symbol"] for row in (*account.trades, *account.positions)} == {symbol}
        assert account.statistics["signals"]["equity"] == account.equity["equity"][-1]
        assert set(portfolio.trades_of(snapshot, "stock", "1d", symbol)["symbol"]) == {symbol}
        assert urlencode({"of": "account", **dict(parse_qsl(query))}) in str(view.page(account))
        client = create_app(lake, LakeReader(lake)).server.test_client()
        for of in ("account", "backtest"):
            assert f", {account.name}</h1>" in client.get(f"/tear-sheet.html?of={of}&{query}").text.replace(
                "Paper account ", ", "
            )
    other = portfolio.account(snapshot, "stock", "1d", "USD")
    assert other is not None
    assert other.key == euros, "the first of the class"


def test_the_kill_switch_is_said_in_words(traded: Settings) -> None:
    account = _account(_read(traded))
    rules = PortfolioSettings()
    assert "The kill switch is not active" in str(view.kill_switch(account, rules))
    halted = account.equity.with_columns(halted=pl.lit(True))
    said = str(view.kill_switch(portfolio.AccountView(STOCKS, halted, {}, [], []), rules))
    assert "The kill switch is active" in said
    assert "20 steps" in said


def test_the_page_stands_with_what_there_is(traded: Settings) -> None:
    account = _account(_read(traded))
    whole = str(view.page(account))
    assert "Sharpe ratio" in whole
    rows = _read(traded).trades.group(*STOCKS)
    assert "bought" in str(trades_view.section(account, rows, Wanted(STOCKS)))
    bare = portfolio.AccountView(STOCKS, account.equity.head(1), {}, [], [])
    assert "has only cash" in str(view.page(bare))
    assert "has not traded" in str(trades_view.section(bare, rows.clear(), Wanted(STOCKS)))
    assert "1 steps" in view.chart_words(bare)
    graph_objects.Figure(curves.equity(bare, LIGHT))


def test_the_newest_backtest_stands_beside_the_account_and_both_have_a_tear_sheet(tmp_path: Path) -> None:
    lake = Settings(data_dir=tmp_path)
    written.write_lake(lake, ("AAPL", "BTC-USD"))
    written.write_portfolio(lake)
    assert "None yet: each training makes one" in str(view.page(_account(_read(lake))))
    written.write_backtests(lake, "20200101-first", "20200202-second")
    snapshot = _read(lake)
    said = str(view.page(_account(snapshot)))
    assert "What the walk-forward of 20200202-second forecast out of sample" in said
    assert "20200101-first" not in said
    client = create_app(lake, LakeReader(lake)).server.test_client()
    for of, title in (("account", "Paper account Stock 1d"), ("backtest", "Back-test of 20200202-second, Stock 1d")):
        answer = client.get(f"/tear-sheet.html?of={of}&class=stock&interval=1d")
        assert answer.headers["Content-Disposition"] == f"attachment; filename=tear-sheet-{of}.html"
        assert title in answer.text
        assert "worst drawdown" in answer.text
        assert "20200101-first" not in answer.text
    for wrong in ("of=other&class=stock&interval=1d", "of=account&class=bond&interval=1d", ""):
        assert client.get(f"/tear-sheet.html?{wrong}").status_code == 404


def test_without_an_account_the_page_says_what_it_waits_for(offline_lake: Settings) -> None:
    assert "Reading" in str(view.missing(Snapshot()))
    assert "no signals yet" in str(view.missing(_read(offline_lake)))
    written.write_lake(offline_lake, ("AAPL",))
    assert "first step" in str(view.missing(_read(offline_lake)))
    EQUITY.ensure(offline_lake)
    snapshot = _read(offline_lake)
    assert portfolio.accounts(snapshot) == []
    assert portfolio.account(snapshot, "stock", "1d") is None
    assert portfolio.held_accounts(snapshot) == []


def test_the_lake_view_stands_with_a_table_that_is_sorted_by_a_number(offline_lake: Settings) -> None:
    row = {"measure": "confidence", "asset_class": "ALL", "low": 0.5}
    written.write(offline_lake, CALIBRATION, pl.DataFrame([row]))
    assert "gold/calibration" in str(lake_view.page(_read(offline_lake)))
