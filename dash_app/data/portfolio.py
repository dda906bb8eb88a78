"""The paper portfolio's accounts from a snapshot: curves, statistics, positions and trades of one of them.

Input: a ``Snapshot`` and the account that a visitor chose. Output: an ``AccountView`` of plain frames and rows, without
Dash. It computes nothing again: it shows what gold has written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import polars as pl

from dash_app import wording
from dash_app.data.lake_reader import Snapshot
from financelake_assets.bronze.universe import currencies
from financelake_assets.gold.paper.accounts import AccountKey

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class AccountView:
    """One account: its equity step by step, its statistics by curve, its positions, and its trades, newest first.

    ``backtest`` has the statistics of the newest back-test of such an account, by curve; none where there was none.
    """

    key: AccountKey
    equity: pl.DataFrame
    statistics: dict[str, Row]
    positions: list[Row]
    trades: list[Row]
    backtest: dict[str, Row] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The account in words."""
        return account_name(self.key)

    @property
    def interval(self) -> str:
        """Of its bars."""
        return self.key.interval

    @property
    def halted(self) -> bool:
        """Whether the kill switch holds the account."""
        return bool(self.equity["halted"][-1])


def accounts(snapshot: Snapshot) -> list[AccountKey]:
    """Every account that has taken a step, in the order of the watch list; those of no told currency come later."""
    order = list(wording.ASSET_CLASSES)

    def place(one: AccountKey) -> tuple[int, str, str, bool, str]:
        number = order.index(one.asset_class) if one.asset_class in order else len(order)
        return number, one.asset_class, one.interval, one.currency is None, one.currency or ""

    found = [AccountKey(kind, interval, currency or None) for kind, interval, currency in snapshot.equity.groups]
    return sorted(found, key=place)


def account_name(key: AccountKey) -> str:
    """A name such as ``Stock 1d EUR``."""
    return key._replace(asset_class=wording.ASSET_CLASSES.get(key.asset_class, key.asset_class)).name


def account(
    snapshot: Snapshot, asset_class: str | None, interval: str | None, currency: str | None = None
) -> AccountView | None:
    """The chosen account, or else the first that fits best; ``None`` if there are no accounts.

    Args:
        snapshot: the lake.
        asset_class: wanted.
        interval: wanted.
        currency: wanted with the interval; none is the account of no told currency.
    """
    known = accounts(snapshot)
    if not known:
        return None

    def fit(one: AccountKey) -> tuple[bool, bool, bool, int]:
        other = interval is not None and one.currency != currency
        return one.asset_class != asset_class, one.interval != interval, other, known.index(one)

    chosen = min(known, key=fit)
    return snapshot.once(("account", chosen), lambda: _account(snapshot, chosen))


def _account(snapshot: Snapshot, key: AccountKey) -> AccountView:
    statistics = snapshot.portfolio.filter(key.condition).to_dicts()
    return AccountView(
        key,
        snapshot.equity.group(*key),
        {row["curve"]: row for row in statistics},
        snapshot.positions.filter(key.condition).sort("symbol").to_dicts(),
        snapshot.trades.group(*key).sort("event_time", "number", descending=True).to_dicts(),
        {row["curve"]: row for row in newest_backtest(snapshot.backtest.filter(key.condition)).to_dicts()},
    )


def trades_of(snapshot: Snapshot, asset_class: str, interval: str, symbol: str) -> pl.DataFrame:
    """The trades of a symbol in its account, in any order."""
    told = snapshot.once("currencies", lambda: currencies(snapshot.universe))
    rows = snapshot.trades.group(asset_class, interval, told.get(symbol))
    return rows if rows.is_empty() else rows.filter(symbol=symbol)


def newest_backtest(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of a back-test table that belong to the version which was back-tested last."""
    last = rows.sort("computed_at").tail(1)["model_version"].to_list()
    return rows.filter(pl.col("model_version").is_in(last))


def held_accounts(snapshot: Snapshot) -> list[str]:
    """The accounts that the kill switch holds, in words."""
    return [account_name(key) for key in accounts(snapshot) if snapshot.equity.group(*key)["halted"][-1]]
