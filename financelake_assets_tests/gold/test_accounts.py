"""No account mixes currencies: how they are split, what leaves one, and how those of an earlier release go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from deltalake import CommitProperties, Transaction, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.bronze.universe import Universe, describe
from financelake_assets.config import Settings
from financelake_assets.gold.paper import performance
from financelake_assets.gold.paper.account import Why
from financelake_assets.gold.paper.accounts import AccountKey, by_account, with_currency
from financelake_assets.gold.paper.book_store import PaperPortfolio
from financelake_assets.gold.paper.engine import Bar, Book, Run, run
from financelake_assets.gold.paper.schema import EQUITY, PORTFOLIO, POSITIONS, TRADES
from financelake_assets.gold.schema import PREDICTIONS, SIGNALS
from financelake_assets.gold.standing import Standing
from financelake_assets.providers.base import Instrument
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.delta import TableSpec
from financelake_assets_tests.gold.frames import day, frame
from financelake_assets_tests.gold.test_book_store import DAYS, SYMBOLS, add, content, fill, market
from financelake_assets_tests.gold.test_portfolio import RULES, markets

DOLLARS, EUROS, UNTOLD = (AccountKey("stock", "1d", currency) for currency in ("USD", "EUR", None))
CURRENCIES = {"AAPL": "USD", "IBM": "EUR"}
"""Nobody told that of MSFT."""


def tell(lake: Settings, told: Mapping[str, str]) -> None:
    """Note the currencies of stocks in the universe, as a universe file does."""
    Universe(lake, "csv").add([Instrument(symbol, "stock") for symbol in SYMBOLS])
    named = {"symbol": list(told), "calendar": [None] * len(told), "currency": list(told.values())}
    describe(lake, pl.DataFrame(named, schema=dict.fromkeys(named, pl.String)))


def of(account: AccountKey, table: TableSpec, lake: Settings) -> pl.DataFrame:
    return content(table, lake).filter(account.condition)


def only(symbols: set[str], lake: Settings, change: Callable[[pl.DataFrame], pl.DataFrame] = lambda rows: rows) -> None:
    for table, rows in zip((BARS, PREDICTIONS, SIGNALS), market(), strict=True):
        own = rows.filter(pl.col("symbol").is_in(symbols))
        add(table, lake, change(own) if table is BARS else own)


@pytest.fixture
def told(tmp_path: Path) -> Settings:
    """A lake with three stocks: in dollars, in euros, and in what nobody told. Traded at once."""
    lake = Settings(data_dir=tmp_path / "told")
    tell(lake, CURRENCIES)
    fill(lake)
    PaperPortfolio(lake).advance()
    return lake


# -- one currency an account -----------------------------------------------------------------------------


def test_each_account_holds_symbols_of_one_currency(told: Settings) -> None:
    symbols = UNIVERSE.scan(told).select("symbol", _told="currency").collect()
    own = [name for name in EQUITY.key if name != "event_time"]
    held = TRADES.scan(told).collect().join(symbols, on="symbol").group_by(own).agg(pl.col("_told").n_unique())
    assert set(held["_told"]) == {1}
    assert {account for account, _ in by_account(content(EQUITY, told))} == {DOLLARS, EUROS, UNTOLD}


def test_split_by_currency_is_each_currency_alone_to_the_last_bit(told: Settings, tmp_path: Path) -> None:
    for account, symbols in ((DOLLARS, {"AAPL"}), (EUROS, {"IBM"}), (UNTOLD, {"MSFT"})):
        alone = Settings(data_dir=tmp_path / (account.currency or "untold"))
        tell(alone, CURRENCIES)
        only(symbols, alone)
        PaperPortfolio(alone).advance()
        for table in (EQUITY, TRADES):
            assert of(account, table, told).equals(content(table, alone))
            assert not content(table, alone).is_empty()


@settings(max_examples=6, deadline=None)
@given(
    st.fixed_dictionaries({symbol: st.sampled_from(["USD", "EUR", "GBP", ""]) for symbol in SYMBOLS}),
    st.sampled_from(SYMBOLS),
    st.lists(st.floats(0.01, 100), min_size=3, max_size=3),
)
def test_no_account_changes_by_a_price_of_another_currency(
    told: dict[str, str], symbol: str, factors: list[float]
) -> None:
    prices = pl.col("open", "high", "low", "close")
    turn = pl.col("event_time").dt.day() % len(factors)
    odd = prices * turn.replace_strict(dict(enumerate(factors)), return_dtype=pl.Float64)
    with TemporaryDirectory() as folder:
        plain, wild = (Settings(data_dir=Path(folder) / name) for name in ("plain", "wild"))
        for lake, changed in ((plain, prices), (wild, odd)):
            tell(lake, {one: currency for one, currency in told.items() if currency})
            only(
                set(SYMBOLS),
                lake,
                lambda rows, changed=changed: rows.with_columns(pl.when(symbol=symbol).then(changed).otherwise(prices)),
            )
            PaperPortfolio(lake).advance()
        accounts = {one: AccountKey("stock", "1d", currency or None) for one, currency in told.items()}
        assert {account for account, _ in by_account(content(EQUITY, plain))} == set(accounts.values())
        for account in set(accounts.values()) - {accounts[symbol]}:
            for table in (EQUITY, TRADES):
                assert of(account, table, wild).equals(of(account, table, plain))


def test_live_makes_the_accounts_of_a_back_fill(told: Settings, offline_lake: Settings) -> None:
    tell(offline_lake, CURRENCIES)
    live = PaperPortfolio(offline_lake)
    for number in range(DAYS):
        fill(offline_lake, number, number + 1)
        live.advance()
        if number % 10 == 0:
            live = PaperPortfolio(offline_lake)
    for table in (EQUITY, TRADES):
        assert content(table, offline_lake).equals(content(table, told))
    assert live.advance() == 0


def test_two_at_once_take_each_step_of_each_account_once(told: Settings, offline_lake: Settings) -> None:
    tell(offline_lake, CURRENCIES)
    fill(offline_lake)
    together = threading.Barrier(2)

    def work() -> None:
        together.wait()
        PaperPortfolio(offline_lake).advance()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for table in (EQUITY, TRADES):
        assert content(table, offline_lake).equals(content(table, told))


def test_statistics_and_positions_are_of_each_account(told: Settings) -> None:
    Standing(told).refresh()
    rows = content(PORTFOLIO, told)
    assert {account for account, _ in by_account(rows)} == {DOLLARS, EUROS, UNTOLD}
    for account in (DOLLARS, EUROS, UNTOLD):
        alone = performance.statistics_of(of(account, EQUITY, told), of(account, TRADES, told), rows["trials"][0])
        assert rows.filter(account.condition).drop("deflated_sharpe").equals(alone.drop("deflated_sharpe"))
        assert rows.filter(account.condition, curve="signals")["trades"][0] == of(account, TRADES, told).height
    books = PaperPortfolio(told).books()
    held = {(key, symbol) for key, book in books.items() for symbol in book.signals.positions}
    assert {(AccountKey.of(row), row["symbol"]) for row in content(POSITIONS, told).to_dicts()} == held


# -- a symbol whose currency changes ---------------------------------------------------------------------


@settings(max_examples=40)
@given(markets(), st.integers(1, 24), st.floats(0.01, 100))
def test_what_leaves_is_closed_at_its_last_price_whatever_comes_later(bars: list[Bar], cut: int, factor: float) -> None:
    def played(later: float) -> tuple[Run, Book]:
        changed = [
            one._replace(close=one.close * later, open=one.open * later, signal="BUY" if later > 1 else one.signal)
            if one.symbol == "A" and one.event_time >= day(cut)
            else one
            for one in bars
        ]
        book = Book.begin(RULES.capital)
        first = run(book, changed, RULES, 252, until=day(cut - 1))
        rest = run(book, changed, RULES, 252, leaving={"A"})
        return Run([*first.equity, *rest.equity], [*first.trades, *rest.trades]), book

    (plain, book), (wild, other) = played(1.0), played(factor)
    assert plain == wild
    assert book.dump() == other.dump()
    if book.time is not None and book.time >= day(cut):
        for account in (book.signals, book.control, book.hold):
            assert "A" not in {*account.positions, *account.orders}
        assert "A" not in {*book.marks, *book.luck.held_since}
    money = RULES.capital + sum(trade["profit"] for trade in plain.trades)
    held = sum(one.value - one.basis - one.cost for one in book.signals.positions.values())
    assert book.signals.equity == pytest.approx(money + held)


@settings(max_examples=40)
@given(markets(), st.integers(1, 24), st.sets(st.integers(0, 24), max_size=4))
def test_many_runs_leave_as_one_run_does(bars: list[Bar], cut: int, cuts: set[int]) -> None:
    def played(ends: list[int]) -> tuple[list[Any], str]:
        book, rows = Book.begin(RULES.capital), list[Any]()
        for end in ends:
            part = run(book, bars, RULES, 252, until=day(end), leaving={"A"} if end >= cut else ())
            book = Book.parse(book.dump())
            rows += [*part.equity, *part.trades]
        return rows, book.dump()

    def in_order(rows: list[Any]) -> list[Any]:
        return sorted(rows, key=lambda row: (row["event_time"], "symbol" in row))

    short, book = played([*sorted(cuts | {cut - 1}), 99])
    whole, other = played([cut - 1, 99])
    assert in_order(short) == in_order(whole)
    assert book == other


def test_a_symbol_whose_currency_changes_is_closed_where_it_is_open(offline_lake: Settings) -> None:
    tell(offline_lake, {"AAPL": "USD", "IBM": "USD", "MSFT": "EUR"})
    fill(offline_lake, 0, 20)
    PaperPortfolio(offline_lake).advance()
    before = of(DOLLARS, TRADES, offline_lake)
    held = PaperPortfolio(offline_lake).books()[DOLLARS].signals.positions["AAPL"].value
    tell(offline_lake, {"AAPL": "EUR"})
    fill(offline_lake, 20, DAYS)
    PaperPortfolio(offline_lake).advance()
    left = of(DOLLARS, TRADES, offline_lake).filter(symbol="AAPL")
    (last,) = left.filter(why=Why.CURRENCY.value).to_dicts()
    assert (last["event_time"], last["leg"], last["value"]) == (day(20), "close", -held)
    assert left.height == before.filter(symbol="AAPL").height + 1
    joined = of(EUROS, TRADES, offline_lake).filter(symbol="AAPL")
    assert joined["event_time"].min() > day(20)
    books = PaperPortfolio(offline_lake).books()
    assert set(books[DOLLARS].marks) == {"IBM"}
    assert set(books[EUROS].marks) == {"AAPL", "MSFT"}
    repeated = content(EQUITY, offline_lake).group_by(EQUITY.key).len().filter(pl.col("len") > 1)
    assert repeated.is_empty()
    assert PaperPortfolio(offline_lake).advance() == 0


def test_an_account_that_all_symbols_leave_ends_with_cash_and_halts_nobody(tmp_path: Path) -> None:
    rules = {"kill_switch_drawdown": 0.001, "kill_switch_bars": 500}
    lake = Settings.model_validate({"data_dir": tmp_path, "portfolio": rules})
    fill(lake, 0, 20)
    PaperPortfolio(lake).advance()
    assert of(UNTOLD, EQUITY, lake)["halted"][-1]
    tell(lake, dict.fromkeys(SYMBOLS, "USD"))
    fill(lake, 20, DAYS)
    PaperPortfolio(lake).advance()
    left = of(UNTOLD, EQUITY, lake)
    assert (left["event_time"].max(), left["positions"][-1], left["exposure"][-1]) == (day(20), 0, 0.0)
    assert not left["halted"][-1]
    assert left["equity"][-1] == left["cash"][-1]
    # the account of dollars begins with its symbols' first signals
    whole = Settings.model_validate({"data_dir": tmp_path / "whole", "portfolio": rules})
    tell(whole, dict.fromkeys(SYMBOLS, "USD"))
    fill(whole)
    PaperPortfolio(whole).advance()
    for table in (EQUITY, TRADES):
        assert of(DOLLARS, table, lake).equals(content(table, whole))
    assert PaperPortfolio(lake).advance() == 0


def test_a_run_that_was_killed_while_a_symbol_left_writes_its_trades_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lakes = [Settings(data_dir=tmp_path / name) for name in ("whole", "killed")]
    for lake in lakes:
        tell(lake, {"AAPL": "USD", "IBM": "USD"})
        fill(lake, 0, 20)
        PaperPortfolio(lake).advance()
        tell(lake, {"AAPL": "EUR"})
        fill(lake, 20, 30)
    with monkeypatch.context() as patch:
        patch.setattr(PaperPortfolio, "_write_trades", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        for _ in range(3):  # once in each account
            with pytest.raises(KeyboardInterrupt):
                PaperPortfolio(lakes[1]).advance()
    for lake in lakes:
        PaperPortfolio(lake).advance()
        fill(lake, 30, DAYS)
        PaperPortfolio(lake).advance()
    for table in (EQUITY, TRADES):
        assert content(table, lakes[1]).equals(content(table, lakes[0]))


# -- a lake of an earlier release ------------------------------------------------------------------------


def without_currency(source: Settings, target: Settings) -> None:
    """The account's tables as a release wrote them that knew no currencies."""
    for table in (EQUITY, TRADES):
        opened = table.open(source)
        assert opened is not None
        rows = table.scan(source).drop("currency").collect()
        schema = pa.schema([table.schema.field(name) for name in rows.columns])
        steps = [Transaction("stock/1d", opened.transaction_version("stock/1d") or 0)] if table is EQUITY else []
        properties = CommitProperties(app_transactions=steps)
        write_deltalake(table.path(target), rows.to_arrow().cast(schema), commit_properties=properties)


def test_a_lake_without_the_column_reads_as_before_and_goes_on(tmp_path: Path) -> None:
    before, lake, whole = (Settings(data_dir=tmp_path / name) for name in ("before", "lake", "whole"))
    fill(before, 0, 20)
    PaperPortfolio(before).advance()
    without_currency(before, lake)
    for table in (EQUITY, TRADES):
        rows = content(table, before)
        assert content(table, lake).select(rows.columns).equals(rows)
    fill(lake)
    assert PaperPortfolio(lake).advance() == DAYS - 20
    fill(whole)
    PaperPortfolio(whole).advance()
    for table in (EQUITY, TRADES):
        rows = content(table, whole)
        assert of(UNTOLD, table, lake).select(rows.columns).equals(rows)
        assert content(table, lake).height == rows.height


def test_trades_of_an_untold_currency_are_written_once(offline_lake: Settings) -> None:
    fill(offline_lake)
    PaperPortfolio(offline_lake).advance()
    once = content(TRADES, offline_lake)
    PaperPortfolio(offline_lake).books()  # reads the last commit's trades again, as after a kill
    assert content(TRADES, offline_lake).equals(once)


# -- keys ------------------------------------------------------------------------------------------------


def test_a_key_names_its_rows_and_rows_name_their_key() -> None:
    rows = frame(EQUITY, [{**key._asdict(), "event_time": day(0)} for key in (UNTOLD, EUROS, DOLLARS)])
    assert [key for key, _ in by_account(rows)] == [EUROS, DOLLARS, UNTOLD]
    for key, own in by_account(rows):
        assert [AccountKey.of(row) for row in own.to_dicts()] == [key]
    assert [key.name for key in (EUROS, UNTOLD)] == ["stock 1d EUR", "stock 1d"]
    assert by_account(EQUITY.empty) == []


def test_symbols_of_which_nothing_is_told_have_no_currency() -> None:
    rows = pl.DataFrame({"symbol": ["IBM", "MSFT"]})
    assert with_currency(rows, CURRENCIES)["currency"].to_list() == ["EUR", None]
    assert with_currency(rows, {})["currency"].to_list() == [None, None]
