"""The paper portfolio's trades: round trips from entry to exit, what each symbol earned, and a file of all of them.

Input: rows of gold/trades. Output: ``Trip`` objects, rows by symbol, and CSV. A trade is executed at the open of its
bar. Pure, except for ``csv``, which reads the whole table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from dash_app.data.signal_feed import without_formulas
from financelake_assets.config import Settings
from financelake_assets.gold.paper.accounts import AccountKey
from financelake_assets.gold.paper.schema import TRADES

Row = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """Which trades: of an account, and maybe of one symbol and a period (its bars' starts, both ends included)."""

    account: AccountKey
    symbol: str | None = None
    span: tuple[datetime, datetime] | None = None

    @property
    def condition(self) -> pl.Expr:
        """As a filter of gold/trades."""
        found = self.account.condition
        if self.symbol is not None:
            found &= pl.col("symbol") == self.symbol
        return found if self.span is None else found & pl.col("event_time").is_between(*self.span)


@dataclass(frozen=True)
class Trip:
    """A position from its entry to an exit; ``profit`` is in money and net of costs."""

    symbol: str
    side: int
    entered: datetime
    left: datetime
    value: float
    profit: float

    @property
    def share(self) -> float | None:
        """The profit as a share of the value that was entered."""
        return self.profit / self.value if self.value else None


def trips(rows: pl.DataFrame) -> list[Trip]:
    """The closed positions, oldest first; one that was cut back is one trip, with the profit of all its parts.

    Args:
        rows: of gold/trades of one account, in any order. An exit whose entry is not among them is left out.
    """
    found: list[Trip] = []
    entries: dict[str, Row] = {}
    profits: dict[str, float] = {}
    for row in rows.sort("event_time", "number").to_dicts():
        symbol = row["symbol"]
        if row["leg"] == "open":
            entries[symbol], profits[symbol] = row, 0.0
            continue
        entry = entries.get(symbol)
        if entry is None:
            continue
        profits[symbol] += row["profit"] or 0.0
        if row["leg"] == "close":
            side = 1 if entry["value"] > 0 else -1
            found.append(
                Trip(symbol, side, entry["event_time"], row["event_time"], abs(entry["value"]), profits[symbol])
            )
            del entries[symbol]
    return found


def by_symbol(rows: pl.DataFrame) -> list[Row]:
    """What each symbol brought: executions, closed parts, how many of them won, profit and costs; the best first."""
    closed = pl.col("leg") != "open"
    return (
        rows.group_by("symbol")
        .agg(
            pl.len().alias("trades"),
            closed.sum().alias("closed"),
            (closed & (pl.col("profit") > 0)).sum().alias("won"),
            pl.col("profit").filter(closed).sum().alias("profit"),
            pl.col("cost").sum().alias("cost"),
        )
        .sort("profit", "symbol", descending=[True, False])
        .to_dicts()
    )


def period(equity: pl.DataFrame, span: tuple[datetime, datetime] | None) -> pl.DataFrame:
    """The steps of an account within a period; all without one, or if no step is in it."""
    if span is None:
        return equity
    found = equity.filter(pl.col("event_time").is_between(*span))
    return equity if found.is_empty() else found


def result(equity: pl.DataFrame) -> Row:
    """Return and largest drawdown of the account and of buy-and-hold, from the first to the last of some steps."""
    found: Row = {"steps": equity.height}
    for name in ("equity", "buy_and_hold"):
        values = equity[name].drop_nulls()
        begun = values[0] if len(values) else None
        found[name] = values[-1] / begun - 1 if begun else None
        found[f"{name}_drawdown"] = (1 - values / values.cum_max()).max() if begun else None
    return found


def csv(settings: Settings, wanted: Wanted) -> str:
    """All trades of the lake that are wanted, oldest first, as CSV in which a spreadsheet finds no formula."""
    rows = TRADES.scan(settings).filter(wanted.condition)
    found = rows.select(TRADES.empty.columns).sort("event_time", "number").collect()
    return without_formulas(found).write_csv(datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ")


def prices_at(trip_times: Iterable[datetime], bars: pl.DataFrame) -> dict[datetime, float]:
    """The open at each of some bars, at which a trade was executed; the close where a source gives no open."""
    wanted = bars.filter(pl.col("event_time").is_in(list(trip_times)))
    return {time: opened if opened is not None else close
            for time, opened, close in wanted.select("event_time", "open", "close").rows()}  # fmt: skip
