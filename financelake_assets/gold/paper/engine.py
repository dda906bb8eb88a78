"""The paper portfolio: executes signals bar by bar, with the same code for a back-test and for live signals.

Input: bars with their signals, and the book. Output: the book, one row of equity for each step, and the trades. Each
account's clock is the bars' own time, because replayed markets are years apart, and stocks and crypto do not share a
calendar. Several short runs give the same result as one long run.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import polars as pl

from financelake_assets.config import PortfolioSettings
from financelake_assets.gold.paper.account import Account, Move, Order, Position, Trade, buy_and_hold, release, step
from financelake_assets.gold.paper.luck import Luck, follow, held
from financelake_assets.gold.verdicts import Signal

_SIDES = {Signal.BUY.value: 1, Signal.SELL.value: -1, Signal.HOLD.value: 0}
_HOURS_A_YEAR = {"stock": 252 * 6.5, "commodity": 252 * 23.0, "crypto": 365 * 24.0}
_DAYS_A_YEAR = {"stock": 252.0, "commodity": 252.0, "crypto": 365.0}

LATEST = datetime(9999, 1, 1, tzinfo=UTC)


class Bar(NamedTuple):
    """A bar with its signal.

    ``volatility`` is that of the return over the horizon; ``split`` the new shares for an old one since the symbol was
    last priced that its closes are not adjusted for.
    """

    symbol: str
    event_time: datetime
    open: float
    close: float
    adj_close: float | None
    signal: str
    volatility: float | None
    horizon: int
    cost_bps: float
    split: float = 1.0


@dataclass
class Book:
    """The state of one account and of its two comparisons, which trade the same bars.

    ``control`` trades when the signals do, in random directions; ``hold`` buys every symbol once; ``luck`` is a
    thousand paths that hold the signals' positions in random directions. ``marks`` are the times of the bars at which
    the symbols were last priced.
    """

    signals: Account
    control: Account
    hold: Account
    luck: Luck
    time: datetime | None = None
    marks: dict[str, datetime] = field(default_factory=dict)

    @classmethod
    def begin(cls, capital: float) -> Book:
        """A new account with only cash."""
        signals, control, hold = (Account(capital, capital) for _ in range(3))
        return cls(signals, control, hold, Luck.begin(capital))

    def dump(self) -> str:
        """The book as JSON."""
        whole = {**asdict(self), "luck": self.luck.dump()}
        return json.dumps(whole, default=lambda moment: moment.isoformat())

    @classmethod
    def parse(cls, text: str) -> Book:
        """The inverse of ``dump``."""
        stored = json.loads(text)
        accounts = [_account(stored[name]) for name in ("signals", "control", "hold")]
        marks = {symbol: datetime.fromisoformat(mark) for symbol, mark in stored["marks"].items()}
        time = None if stored["time"] is None else datetime.fromisoformat(stored["time"])
        # a book of an earlier release has no paths: they begin where it stands, with what it holds
        luck = Luck.parse(stored["luck"]) if "luck" in stored else Luck.begin(max(0.0, accounts[0].equity))
        return cls(accounts[0], accounts[1], accounts[2], luck, time, marks)


class Run(NamedTuple):
    """The rows that a run adds to equity and trades, without the account's name."""

    equity: list[dict[str, Any]]
    trades: list[dict[str, Any]]


def run(
    book: Book,
    bars: list[Bar],
    rules: PortfolioSettings,
    bars_a_year: float,
    until: datetime = LATEST,
    seed: int | None = None,
    leaving: Collection[str] = (),
) -> Run:
    """Take all steps after the book's last one.

    Args:
        book: changed in place.
        bars: of one account, sorted by event_time and symbol; they must include the bars at the book's marks.
        rules: sizes, limits and costs.
        bars_a_year: to convert to yearly volatility.
        until: the last step to take.
        seed: of the random control; replaces the seed of the rules.
        leaving: symbols that belong to another account now: the first step closes what the book holds of them, at their
            last price. A bar of one makes a step, and nothing of it counts but its costs.
    """
    prices = {(bar.symbol, bar.event_time): bar for bar in bars}
    done = Run([], [])
    for time, at_once in _steps(bars, book.time, until):
        own = [bar for bar in at_once if bar.symbol not in leaving]
        moves = {
            bar.symbol: _move(prices.get((bar.symbol, book.marks.get(bar.symbol, bar.event_time)), bar), bar)
            for bar in own
        }
        orders = {bar.symbol: _order(bar, bars_a_year) for bar in own}
        coin = rules.seed if seed is None else seed
        by_lot = {
            bar.symbol: orders[bar.symbol]._replace(side=abs(orders[bar.symbol].side) * _lot(coin, bar)) for bar in own
        }
        before, holding = book.signals.equity, held(book.signals)
        trades = step(book.signals, moves, orders, rules, leaving)
        follow(book.luck, book.signals, holding, moves, trades, time, coin)
        step(book.control, moves, by_lot, rules, leaving)
        joining = [symbol for symbol, move in moves.items() if symbol in book.marks and move.tradable]
        rate = (sum(bar.cost_bps for bar in at_once) / len(at_once) + rules.slippage_bps) / 10_000
        buy_and_hold(book.hold, moves, joining, rate, leaving)
        for symbol in leaving:
            book.marks.pop(symbol, None)
        book.marks.update({bar.symbol: time for bar in own})
        if not book.marks:
            release(book.signals)
            release(book.control)
        book.time = time
        done.equity.append(_equity_row(book, trades, before))
        done.trades.extend({"event_time": time, **trade._asdict()} for trade in trades)
    return done


def bars_of(joined: pl.DataFrame) -> list[Bar]:
    """Bars from a frame with the columns of ``Bar``, in the order that ``run`` needs."""
    return [Bar(*row) for row in joined.select(Bar._fields).sort("event_time", "symbol").iter_rows()]


def bars_a_year(asset_class: str, interval: str) -> float:
    """The number of bars of an interval in a year of this market; sessions have 6.5 h, 23 h and 24 h.

    Args:
        asset_class: stock, commodity or crypto.
        interval: such as ``1d``; validated by silver.
    """
    count, unit = int(interval[:-1]), interval[-1]
    per_year = {
        "m": _HOURS_A_YEAR[asset_class] * 60,
        "h": _HOURS_A_YEAR[asset_class],
        "d": _DAYS_A_YEAR[asset_class],
        "w": 52.0,
    }
    return per_year[unit] / count


def complete_until(newest: Mapping[str, datetime], times: list[datetime], patience: int = 5) -> datetime | None:
    """The last step for which the bars of all symbols have arrived.

    Symbols arrive over different partitions, so one may be ahead of another. This does not wait for a symbol that is
    more than ``patience`` steps behind the newest: it is no longer traded, or its provider is down.

    Args:
        newest: time of each symbol's newest bar with a signal.
        times: the distinct times of the account's bars, sorted; at least the newest few.
        patience: in steps.
    """
    if not newest or not times:
        return None
    awaited_from = times[max(0, len(times) - 1 - patience)]
    return min(time for time in newest.values() if time >= awaited_from)


# -- one step --------------------------------------------------------------------------------------------


def _steps(bars: list[Bar], after: datetime | None, until: datetime) -> Iterator[tuple[datetime, list[Bar]]]:
    at_once: list[Bar] = []
    for bar in bars:
        if (after is not None and bar.event_time <= after) or bar.event_time > until:
            continue
        if at_once and at_once[0].event_time != bar.event_time:
            yield at_once[0].event_time, at_once
            at_once = []
        at_once.append(bar)
    if at_once:
        yield at_once[0].event_time, at_once


def _move(before: Bar, now: Bar) -> Move:
    """The price move since the previous bar; no move if there is no previous bar."""
    if before.adj_close and now.adj_close and before.adj_close > 0 and now.adj_close > 0:
        growth = now.adj_close / before.adj_close
    else:
        # a price of 0 gives no growth rate
        growth = now.close * now.split / before.close if before.close != 0 else 1.0
    tradable = now.open > 0 and now.close > 0
    after = now.close / now.open if tradable else 1.0
    return Move(growth / after, after, tradable)


def _order(bar: Bar, bars_a_year: float) -> Order:
    volatility = math.nan if bar.volatility is None else bar.volatility * math.sqrt(bars_a_year / bar.horizon)
    return Order(_SIDES[bar.signal], volatility, bar.horizon, bar.cost_bps)


def _lot(seed: int, bar: Bar) -> int:
    """1 or -1 at random; the same seed and bar always give the same side."""
    digest = hashlib.sha256(f"{seed}/{bar.symbol}/{bar.event_time.timestamp()}".encode()).digest()
    return 1 if digest[0] & 1 else -1


def _equity_row(book: Book, trades: list[Trade], before: float) -> dict[str, Any]:
    account = book.signals
    equity = account.equity
    low, high = book.luck.band
    return {
        "event_time": book.time,
        "equity": equity,
        "cash": account.cash,
        "exposure": account.gross / equity if equity > 0 else 0.0,
        "net_exposure": account.net / equity if equity > 0 else 0.0,
        "turnover": sum(abs(trade.value) for trade in trades) / before if before > 0 else 0.0,
        "costs": sum(trade.cost for trade in trades),
        "positions": len(account.positions),
        "drawdown": max(0.0, 1 - equity / account.peak),
        "halted": account.halted > 0,
        "buy_and_hold": book.hold.equity,
        "random": book.control.equity,
        "luck_low": low,
        "luck_high": high,
        "luck_p": book.luck.p(equity),
    }


def _account(stored: dict[str, Any]) -> Account:
    return Account(
        stored["cash"],
        stored["peak"],
        {symbol: Position(**values) for symbol, values in stored["positions"].items()},
        {symbol: Order(*values) for symbol, values in stored["orders"].items()},
        stored["halted"],
        # an earlier release began a new peak when it armed the switch
        stored.get("armed", stored["peak"]),
        stored.get("trips", 0),
    )
