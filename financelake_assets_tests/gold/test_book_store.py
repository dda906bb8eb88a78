"""The paper portfolio on real tables: live and back-test alike, killed, resumed, and run twice at once."""

import math
import threading
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from deltalake import write_deltalake

from financelake_assets.config import Settings
from financelake_assets.gold.paper import performance
from financelake_assets.gold.paper.accounts import AccountKey
from financelake_assets.gold.paper.book_store import PaperPortfolio
from financelake_assets.gold.paper.engine import Bar, Book, bars_a_year, run
from financelake_assets.gold.paper.schema import EQUITY, TRADES
from financelake_assets.gold.schema import PREDICTIONS, SIGNALS
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.delta import TableSpec
from financelake_assets_tests.gold.frames import bar, bars, day, frame, prediction, predictions, signals

DAYS = 40
SYMBOLS = ("AAPL", "IBM", "MSFT")
WHEN = ("computed_at", "book")


def add(table: TableSpec, settings: Settings, rows: pl.DataFrame) -> None:
    write_deltalake(
        table.ensure(settings), rows.select(table.schema.names).to_arrow().cast(table.schema), mode="append"
    )


def market() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Bars, predictions and signals of three stocks; one of them is missing on some days."""
    chance = np.random.default_rng(4)
    priced, made, given = [], [], []
    for symbol in SYMBOLS:
        closes = 100 * np.exp(np.cumsum(chance.normal(0, 0.05, DAYS)))
        for number, close in enumerate(closes):
            if symbol == "IBM" and number % 7 == 3:
                continue
            signal = str(chance.choice(["BUY", "SELL", "HOLD"]))
            priced.append(bar(number, float(close), symbol, open=float(close * math.exp(chance.normal(0, 0.01)))))
            made.append(prediction(number, float(close), 0.01, symbol))
            given.append({**made[-1], "signal": signal})
    return bars(*priced), predictions(*made), signals(*given)


def until(frame: pl.DataFrame, number: int) -> pl.DataFrame:
    return frame.filter(pl.col("event_time") < day(number))


def since(frame: pl.DataFrame, number: int) -> pl.DataFrame:
    return frame.filter(pl.col("event_time") >= day(number))


def fill(settings: Settings, first: int = 0, last: int = DAYS) -> None:
    for table, rows in zip((BARS, PREDICTIONS, SIGNALS), market(), strict=True):
        add(table, settings, until(since(rows, first), last))


def content(table: TableSpec, settings: Settings) -> pl.DataFrame:
    return table.scan(settings).drop(WHEN, strict=False).collect().sort(table.key)


@pytest.fixture
def whole(tmp_path: Path) -> Settings:
    """A back-test: everything at once."""
    settings = Settings(data_dir=tmp_path / "whole")
    fill(settings)
    assert PaperPortfolio(settings).advance() == DAYS
    return settings


def test_live_and_back_test_make_the_same_trades(whole: Settings, offline_lake: Settings):
    live = PaperPortfolio(offline_lake)
    for number in range(DAYS):
        fill(offline_lake, number, number + 1)
        live.advance()
        if number % 10 == 0:
            live = PaperPortfolio(offline_lake)  # a restart
    assert content(TRADES, offline_lake).equals(content(TRADES, whole))
    assert content(EQUITY, offline_lake).equals(content(EQUITY, whole))
    assert content(TRADES, whole).height > 20
    assert live.advance() == 0


def test_the_tables_hold_what_the_pure_functions_say(whole: Settings):
    priced, made, given = market()
    joined = given.join(made.select("symbol", "event_time", "volatility"), on=["symbol", "event_time"]).join(
        priced.select("symbol", "event_time", "open", "adj_close"), on=["symbol", "event_time"]
    )
    rows = [
        Bar(*row) for row in joined.with_columns(split=1.0).select(Bar._fields).sort("event_time", "symbol").iter_rows()
    ]
    done = run(Book.begin(whole.portfolio.capital), rows, whole.portfolio, bars_a_year("stock", "1d"))
    assert content(EQUITY, whole)["equity"].to_list() == [row["equity"] for row in done.equity]
    assert content(TRADES, whole)["value"].to_list() == [trade["value"] for trade in done.trades]


def test_a_run_that_was_killed_before_its_trades_writes_them_later(
    whole: Settings, offline_lake: Settings, monkeypatch: pytest.MonkeyPatch
):
    fill(offline_lake, 0, 20)
    with monkeypatch.context() as patch:
        patch.setattr(PaperPortfolio, "_write_trades", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            PaperPortfolio(offline_lake).advance()
    assert content(TRADES, offline_lake).is_empty()
    assert content(EQUITY, offline_lake).height == 20
    fill(offline_lake, 20, DAYS)
    PaperPortfolio(offline_lake).advance()
    assert content(TRADES, offline_lake).equals(content(TRADES, whole))
    assert content(EQUITY, offline_lake).equals(content(EQUITY, whole))


def test_two_at_once_take_each_step_once(whole: Settings, offline_lake: Settings):
    both = [PaperPortfolio(offline_lake) for _ in range(2)]
    for number in range(0, DAYS, 8):
        fill(offline_lake, number, number + 8)
        together = threading.Barrier(2)

        def work(portfolio: PaperPortfolio, together: threading.Barrier = together) -> None:
            together.wait()
            portfolio.advance()

        workers = [threading.Thread(target=work, args=(one,)) for one in both]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert content(EQUITY, offline_lake).equals(content(EQUITY, whole))
    assert content(TRADES, offline_lake).equals(content(TRADES, whole))


def test_a_bar_counts_with_the_signal_that_was_given_first(whole: Settings, offline_lake: Settings):
    fill(offline_lake)
    second_thoughts = market()[2].with_columns(
        signal=pl.lit("BUY"), model_version=pl.lit("m0"), as_of=pl.col("as_of") + timedelta(days=1)
    )
    add(SIGNALS, offline_lake, second_thoughts)
    PaperPortfolio(offline_lake).advance()
    assert content(TRADES, offline_lake).equals(content(TRADES, whole))


def test_a_step_waits_for_a_symbol_that_is_still_to_come(offline_lake: Settings):
    for table, rows in zip((BARS, PREDICTIONS, SIGNALS), market(), strict=True):
        add(table, offline_lake, until(rows, 10))
        ahead = (pl.col("event_time") == day(10)) & (pl.col("symbol") == "AAPL")
        add(table, offline_lake, rows.filter(ahead))
    assert PaperPortfolio(offline_lake).advance() == 10


def test_a_split_between_two_signals_is_not_lost(offline_lake: Settings):
    """A provider tells of a split on a bar that got no signal, and adjusts nothing."""
    closes = [100.0, 100.0, 50.0, 25.0, 25.0]
    priced = [bar(number, close, open=close, split={2: 2.0, 3: 2.0}.get(number)) for number, close in enumerate(closes)]
    made = [prediction(number, close, 0.01, horizon=9) for number, close in enumerate(closes) if number != 2]
    add(BARS, offline_lake, bars(*priced))
    add(PREDICTIONS, offline_lake, predictions(*made))
    add(SIGNALS, offline_lake, signals(*({**one, "signal": "BUY"} for one in made), cost_bps=0.0))
    free = offline_lake.portfolio.model_copy(update={"slippage_bps": 0.0})
    assert PaperPortfolio(offline_lake.model_copy(update={"portfolio": free})).advance() == 4
    assert content(EQUITY, offline_lake)["equity"].to_list() == pytest.approx([100_000.0] * 4)
    assert content(TRADES, offline_lake).height == 1


def test_before_the_first_signal_there_is_nothing_to_do(offline_lake: Settings):
    assert PaperPortfolio(offline_lake).advance() == 0


# -- statistics ------------------------------------------------------------------------------------------


def test_statistics_agree_with_pandas_and_empyrical(whole: Settings):
    import empyrical
    import pandas as pd

    equity, trades = content(EQUITY, whole), content(TRADES, whole)
    found = {row["curve"]: row for row in performance.statistics_of(equity, trades, 3).iter_rows(named=True)}
    assert set(found) == {"signals", "buy_and_hold", "random"}
    for curve, column in performance.CURVES.items():
        returns = pd.Series(equity[column].to_list()).pct_change().dropna()
        row = found[curve]
        assert row["sharpe"] == pytest.approx(returns.mean() / returns.std() * math.sqrt(252))
        assert row["sharpe"] == pytest.approx(empyrical.sharpe_ratio(returns))
        assert row["sortino"] == pytest.approx(empyrical.sortino_ratio(returns))
        assert row["max_drawdown"] == pytest.approx(empyrical.max_drawdown(returns))
        assert row["calmar"] == pytest.approx(empyrical.calmar_ratio(returns))
        assert row["total_return"] == pytest.approx(equity[column][-1] / equity[column][0] - 1)
        assert 0 <= row["deflated_sharpe"] <= row["probabilistic_sharpe"] <= 1
    legs = trades.to_pandas()
    legs["trip"] = (legs["leg"] == "open").groupby(legs["symbol"]).cumsum()
    trips = legs.groupby(["symbol", "trip"]).agg(profit=("profit", "sum"), last=("leg", "last"))
    won = trips[trips["last"] == "close"]["profit"] > 0
    assert found["signals"]["win_rate"] == pytest.approx(won.mean())
    assert found["signals"]["trades"] == trades.height
    assert found["random"]["win_rate"] is None


def test_a_position_that_is_cut_back_wins_or_loses_once():
    rows = [
        {"symbol": "A", "leg": leg, "profit": profit, "event_time": day(number), "number": 0}
        for number, (leg, profit) in enumerate(
            [("open", 0.0), ("cut", 5.0), ("cut", 5.0), ("close", -20.0), ("open", 0.0), ("close", 3.0), ("open", 0.0)]
        )
    ]
    trades = frame(TRADES, [{**row, "asset_class": "stock", "interval": "1d"} for row in rows])
    assert sorted(performance.round_trips(trades)) == [-10.0, 3.0]


def test_a_year_is_as_long_as_it_took():
    daily = frame(EQUITY, [{"event_time": day(number), "equity": 1.0} for number in range(731)])
    assert performance.steps_a_year(daily, 252.0) == pytest.approx(365.2425)
    # a market that trades on every other day only
    assert performance.steps_a_year(daily.gather_every(2), 252.0) == pytest.approx(365.2425 / 2)
    assert performance.steps_a_year(daily.head(30), 252.0) == 252.0  # too short to tell


def test_positions_are_those_of_the_books(whole: Settings):
    portfolio = PaperPortfolio(whole)
    books = portfolio.books()
    rows = performance.positions_of(books)
    account = books[AccountKey("stock", "1d")].signals
    assert dict(rows.select("symbol", "value").iter_rows()) == {
        symbol: position.value for symbol, position in account.positions.items()
    }
    assert account.positions
    assert account.cash + rows["value"].sum() == pytest.approx(content(EQUITY, whole)["equity"][-1])


def test_a_halted_account_is_told_in_words(tmp_path: Path):
    lake = Settings.model_validate(
        {"data_dir": tmp_path, "portfolio": {"kill_switch_drawdown": 0.01, "kill_switch_bars": 50}}
    )
    fill(lake)
    PaperPortfolio(lake).advance()
    rows = performance.statistics_of(content(EQUITY, lake), content(TRADES, lake), 1)
    text = performance.halted(rows)
    assert text is not None
    assert "stock 1d" in text
    assert performance.halted(rows.with_columns(halted=pl.lit(False))) is None
