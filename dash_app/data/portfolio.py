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
from financelake_assets.gold.paper.currencies import mixed

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class AccountView:
    """One account: its equity step by step, its statistics by curve, its positions, and its trades, newest first.

    ``backtest`` has the statistics of the newest back-test of such an account, by curve; none where there was none.
    ``currencies`` says that its symbols are quoted in different ones; no text where they are not.
    """

    asset_class: str
    interval: str
    equity: pl.DataFrame
    statistics: dict[str, Row]
    positions: list[Row]
    trades: list[Row]
    backtest: dict[str, Row] = field(default_factory=dict)
    currencies: str = ""

    @property
    def name(self) -> str:
        """Asset class and interval in words."""
        return account_name(self.asset_class, self.interval)

    @property
    def halted(self) -> bool:
        """Whether the kill switch holds the account."""
        return bool(self.equity["halted"][-1])


def accounts(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Asset class and interval of every account that has taken a step, in the order of the watch list."""
    order = list(wording.ASSET_CLASSES)
    found = [(key[0], key[1]) for key in snapshot.equity.groups]
    return sorted(found, key=lambda one: (order.index(one[0]) if one[0] in order else len(order), one))


def account_name(asset_class: str, interval: str) -> str:
    """A name such as ``Stock 1d``."""
    return f"{wording.ASSET_CLASSES.get(asset_class, asset_class)} {interval}"


def account(snapshot: Snapshot, asset_class: str | None, interval: str | None) -> AccountView | None:
    """The chosen account, or else the first that fits best; ``None`` if there are no accounts."""
    known = accounts(snapshot)
    if not known:
        return None
    chosen = min(known, key=lambda one: (one[0] != asset_class, one[1] != interval, known.index(one)))
    return snapshot.once(("account", chosen), lambda: _account(snapshot, *chosen))


def _account(snapshot: Snapshot, asset_class: str, interval: str) -> AccountView:
    own = (pl.col("asset_class") == asset_class) & (pl.col("interval") == interval)
    statistics = snapshot.portfolio.filter(own).to_dicts()
    return AccountView(
        asset_class,
        interval,
        snapshot.equity.group(asset_class, interval),
        {row["curve"]: row for row in statistics},
        snapshot.positions.filter(own).sort("symbol").to_dicts(),
        snapshot.trades.group(asset_class, interval).sort("event_time", "number", descending=True).to_dicts(),
        {row["curve"]: row for row in newest_backtest(snapshot.backtest.filter(own)).to_dicts()},
        _currencies(snapshot, asset_class, interval),
    )


def _currencies(snapshot: Snapshot, asset_class: str, interval: str) -> str:
    of_class = snapshot.universe.filter(pl.col("asset_class") == asset_class)
    traded = {symbol for symbol, of_interval in snapshot.signals.groups if of_interval == interval}
    return mixed(of_class, traded.intersection(of_class["symbol"])) or ""


def newest_backtest(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of a back-test table that belong to the version which was back-tested last."""
    last = rows.sort("computed_at").tail(1)["model_version"].to_list()
    return rows.filter(pl.col("model_version").is_in(last))


def held_accounts(snapshot: Snapshot) -> list[str]:
    """The accounts that the kill switch holds, in words."""
    return [account_name(*key) for key in accounts(snapshot) if snapshot.equity.group(*key)["halted"][-1]]
