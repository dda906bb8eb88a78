"""The paper portfolio's storage: gold.signals and silver.bars → gold.equity and gold.trades, resumable at any point.

Input: live signals, in the order of their bars. Output: a row of equity for each step, and the trades. The commit of
gold.equity is the only source of truth: its last row holds the book and the trades of the run. The next run continues
from it, and writes the trades again if the last run was killed between its two commits. Two runs at once conflict on
that commit, and the second one retries. Paper trading and back-test call this same function, often or once. The
universe's currencies say which account a symbol belongs to; one that belongs to another account now leaves with the
next step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.bronze.universe import currencies
from financelake_assets.config import Settings
from financelake_assets.gold.paper.accounts import ACCOUNT, AccountKey, by_account, with_currency
from financelake_assets.gold.paper.engine import Bar, Book, Run, bars_a_year, complete_until, run
from financelake_assets.gold.paper.orders import BAR_COLUMNS, bars_with_orders
from financelake_assets.gold.paper.schema import EQUITY, TRADES
from financelake_assets.gold.schema import PREDICTIONS, SIGNALS
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.delta import retried
from financelake_assets.storage.open_tables import OpenTables

_MOST_STEPS = 2_000
_REMEMBERED_STEPS = 10


@dataclass
class _Ledger:
    """An account as of its last commit: steps taken, the book, the times of the last steps."""

    steps: int
    book: Book
    times: list[datetime]


class PaperPortfolio:
    """Moves the accounts forward to the newest signals. Its caches only save reads; they never change a result."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tables = OpenTables(settings)
        self._known: dict[AccountKey, _Ledger] = {}

    def advance(self) -> int:
        """Move every account forward by all complete steps; return how many.

        Raises:
            CommitFailedError: other writers committed to the same account at each retry.
        """
        if SIGNALS.open(self._settings) is None or BARS.open(self._settings) is None:
            return 0
        told = currencies(UNIVERSE.scan(self._settings).collect())
        series = self._tables.scan(SIGNALS).select("asset_class", "interval", "symbol").unique().collect()
        found = {account: rows["symbol"].to_list() for account, rows in by_account(with_currency(series, told))}
        # an account that all symbols have left has to close what it still holds of them
        known = dict.fromkeys([*found, *self._accounts(self._tables.newest(EQUITY))])
        return sum(self._advance(account, found.get(account, []), told) for account in known)

    def books(self) -> dict[AccountKey, Book]:
        """The book of every account that has taken a step."""
        equity = self._tables.newest(EQUITY)
        return {account: self._ledger(equity, account).book for account in self._accounts(equity)}

    @staticmethod
    def _accounts(equity: DeltaTable) -> list[AccountKey]:
        """Those that have taken a step."""
        return [account for account, _ in by_account(pl.scan_delta(equity).select(ACCOUNT).unique().collect())]

    def _advance(self, account: AccountKey, symbols: list[str], told: Mapping[str, str]) -> int:
        """Take an account's steps, ``_MOST_STEPS`` at a time.

        Args:
            account: its key.
            symbols: that have signals and belong to it.
            told: the currency of each symbol.
        """
        taken = 0
        while True:
            done = self._try(account, symbols, told)
            taken += done
            if done < _MOST_STEPS:
                return taken

    def _try(self, account: AccountKey, symbols: list[str], told: Mapping[str, str]) -> int:
        made = retried(lambda: self._taken(account, symbols, told))
        if made.equity:
            self._write_trades(account, made.trades)
        return len(made.equity)

    def _taken(self, account: AccountKey, symbols: list[str], told: Mapping[str, str]) -> Run:
        equity = self._tables.newest(EQUITY)
        ledger = self._ledger(equity, account)
        leaving = [symbol for symbol in ledger.book.marks if told.get(symbol) != account.currency]
        made = self._run(account, ledger, symbols, leaving)
        if made.equity:
            self._commit(equity, account, ledger, made)
        else:
            self._known[account] = ledger
        return made

    # -- one account -----------------------------------------------------------------------------------------

    def _ledger(self, equity: DeltaTable, account: AccountKey) -> _Ledger:
        """The state of an account in a version of gold.equity. Taken out of the cache, because a run changes it."""
        steps = equity.transaction_version(_mark(account)) or 0
        known = self._known.pop(account, None)
        if known is not None and known.steps == steps:
            return known
        if steps == 0:
            return _Ledger(0, Book.begin(self._settings.portfolio.capital), [])
        rows = pl.scan_delta(equity).filter(account.condition).select("event_time", "book").sort("event_time").collect()
        stored = json.loads(rows["book"][-1])
        # a run that was killed between its two commits left unwritten trades
        self._write_trades(account, [_parsed(trade) for trade in stored["trades"]])
        return _Ledger(steps, Book.parse(stored["book"]), rows["event_time"].tail(_REMEMBERED_STEPS).to_list())

    def _run(self, account: AccountKey, ledger: _Ledger, symbols: list[str], leaving: list[str]) -> Run:
        """Take the next steps. This changes the ledger's book in place; it is discarded if the commit fails."""
        if not (symbols or leaving):
            return Run([], [])
        signals = self._signals(account, [*symbols, *leaving], ledger.book.time)
        if signals.is_empty():
            return Run([], [])
        newest = {
            **ledger.book.marks,
            **dict(signals.group_by("symbol").agg(pl.col("event_time").max()).iter_rows()),
        }
        times = signals["event_time"].unique().sort()
        until = complete_until(newest, sorted({*ledger.times, *times}))
        # what leaves is gone after the first step, and makes that step where no other symbol does
        signals = signals.filter(~pl.col("symbol").is_in(leaving) | (pl.col("event_time") == times[0]))
        new_times = signals["event_time"].unique().sort().to_list()
        ready = [time for time in new_times if until is not None and time <= until][:_MOST_STEPS]
        if not ready:
            return Run([], [])
        taken = signals.filter(pl.col("event_time") <= ready[-1])
        bars = self._bars(taken, ledger.book.marks)
        a_year = bars_a_year(account.asset_class, account.interval)
        return run(ledger.book, bars, self._settings.portfolio, a_year, until=ready[-1], leaving=leaving)

    def _signals(self, account: AccountKey, symbols: list[str], after: datetime | None) -> pl.DataFrame:
        """The signals of some symbols after a step, the first one for each bar, with the expected volatility."""
        behind = (pl.col("asset_class") == account.asset_class) & (pl.col("interval") == account.interval)
        behind &= pl.col("symbol").is_in(symbols)
        if after is not None:
            behind &= pl.col("event_time") > pl.lit(after)
        key = list(SIGNALS.key)
        given = self._tables.scan(SIGNALS).filter(behind).select(*key, "signal", "cost_bps", "as_of").collect()
        first = given.sort("as_of", "model_version").unique(BARS.key, keep="first", maintain_order=True)
        expected = self._tables.scan(PREDICTIONS).filter(behind).select(*key, "volatility").collect()
        return first.join(expected, on=key, how="left")

    def _bars(self, signals: pl.DataFrame, marks: dict[str, datetime]) -> list[Bar]:
        """The bars of the signals, and the bars at which the book was last priced, which bring no order."""
        first = min([signals["event_time"].min(), *marks.values()])  # type: ignore[type-var]
        interval, symbols = signals["interval"][0], [*signals["symbol"].unique().to_list(), *marks]
        near = (pl.col("interval") == interval) & pl.col("symbol").is_in(symbols)
        times = pl.col("event_time").is_between(pl.lit(first), pl.lit(signals["event_time"].max()))
        bars = self._tables.scan(BARS).filter(near & times).select(BAR_COLUMNS).collect()
        return bars_with_orders(signals, bars, marks)

    def _commit(self, equity: DeltaTable, account: AccountKey, ledger: _Ledger, made: Run) -> None:
        steps = ledger.steps + len(made.equity)
        now = datetime.now(UTC)
        named = [{**row, **account._asdict(), "computed_at": now} for row in made.equity]
        named[-1]["book"] = json.dumps({"book": ledger.book.dump(), "trades": [_plain(one) for one in made.trades]})
        properties = CommitProperties(app_transactions=[Transaction(_mark(account), steps)])
        rows = pa.Table.from_pylist(named, schema=EQUITY.schema)
        write_deltalake(equity, rows, mode="append", commit_properties=properties)
        times = [*ledger.times, *(row["event_time"] for row in made.equity)][-_REMEMBERED_STEPS:]
        self._known[account] = _Ledger(steps, ledger.book, times)

    def _write_trades(self, account: AccountKey, trades: list[dict[str, Any]]) -> None:
        if not trades:
            return
        named = [{**trade, **account._asdict()} for trade in trades]
        rows = pl.DataFrame(pl.from_arrow(pa.Table.from_pylist(named, schema=TRADES.schema)))
        number = pl.int_range(pl.len(), dtype=pl.Int32).over("event_time")
        self._tables.insert(TRADES, rows.with_columns(number=number))


def _mark(account: AccountKey) -> str:
    """What Delta's log counts the account's steps under; without a currency, the mark of earlier releases."""
    return "/".join(part for part in account if part)


def _plain(trade: dict[str, Any]) -> dict[str, Any]:
    return {**trade, "event_time": trade["event_time"].isoformat()}


def _parsed(trade: dict[str, Any]) -> dict[str, Any]:
    return {**trade, "event_time": datetime.fromisoformat(trade["event_time"])}
