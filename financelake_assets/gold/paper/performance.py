"""Results of the paper portfolio: statistics of each account's curves, and its positions, as pure functions of frames.

Input: rows of gold.equity and gold.trades, and books. Output: rows of gold.portfolio and gold.positions. Each statistic
of the signals is beside that of buy-and-hold and that of the control in random directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl

from financelake_assets.gold.paper import statistics
from financelake_assets.gold.paper.accounts import ACCOUNT, AccountKey, by_account
from financelake_assets.gold.paper.engine import Book, bars_a_year
from financelake_assets.gold.paper.schema import PORTFOLIO, POSITIONS
from financelake_assets.storage.delta import TableSpec

_YEAR = timedelta(days=365.2425)
_LEAST_ELAPSED = timedelta(days=90)

CURVES = {"signals": "equity", "buy_and_hold": "buy_and_hold", "random": "random"}
"""Each curve's column in gold.equity."""


def statistics_of(equity: pl.DataFrame, trades: pl.DataFrame, trials: int, daily_variance: float = 0.0) -> pl.DataFrame:
    """Rows of gold.portfolio: every curve of every account.

    Args:
        equity: rows of gold.equity.
        trades: rows of gold.trades.
        trials: how many strategies were tried to find this one, for the deflated Sharpe ratio.
        daily_variance: the variance of their Sharpe ratios per day. If it is smaller than the variance of an estimate
            from the same number of returns, which worthless strategies have, the latter is used.
    """
    rows = []
    for key, curve_rows in by_account(equity.sort("event_time")):
        of_the_class = bars_a_year(key.asset_class, key.interval)
        variance = daily_variance * bars_a_year(key.asset_class, "1d") / of_the_class
        a_year = steps_a_year(curve_rows, of_the_class)
        account = {**key._asdict(), "trials": trials}
        dealt = _dealings(curve_rows, trades.filter(key.condition))
        rows += [
            {
                **account,
                **_curve(curve_rows, name, column, a_year, trials, variance),
                **(dealt if name == "signals" else {}),
            }
            for name, column in CURVES.items()
        ]
    return _frame(PORTFOLIO, rows)


def steps_a_year(rows: pl.DataFrame, of_the_class: float) -> float:
    """How many steps an account takes in a year, by the time that its steps took.

    Args:
        rows: of gold.equity of one account, in order.
        of_the_class: what a year of the market has, for accounts that are younger than ``_LEAST_ELAPSED``.
    """
    elapsed: timedelta = rows["event_time"][-1] - rows["event_time"][0]
    return (rows.height - 1) / (elapsed / _YEAR) if elapsed >= _LEAST_ELAPSED else of_the_class


def round_trips(trades: pl.DataFrame) -> pl.Series:
    """The profit of each position that was closed, with the parts that were cut off before.

    Args:
        trades: rows of gold.trades of one account.
    """
    ordered = trades.sort("event_time", "number")
    opened = (pl.col("leg") == "open").cast(pl.Int64).cum_sum().over("symbol")
    trips = ordered.with_columns(_trip=opened).group_by("symbol", "_trip", maintain_order=True)
    told = trips.agg(pl.col("profit").sum(), closed=(pl.col("leg") == "close").any())
    return told.filter("closed")["profit"]


def positions_of(books: Mapping[AccountKey, Book]) -> pl.DataFrame:
    """Rows of gold.positions: the positions of the signals' accounts."""
    rows = [
        {
            **key._asdict(),
            "symbol": symbol,
            "event_time": book.marks.get(symbol),
            "side": "long" if held.basis > 0 else "short",
            "value": held.value,
            "basis": held.basis,
            "profit": held.value - held.basis - held.cost,
            "share": held.value / book.signals.equity if book.signals.equity > 0 else None,
            "bars_held": held.held,
            "bars_left": held.left,
        }
        for key, book in books.items()
        for symbol, held in book.signals.positions.items()
    ]
    return _frame(POSITIONS, rows)


def halted(portfolio: pl.DataFrame) -> str | None:
    """The accounts that the kill switch holds, in words; ``None`` when it holds none.

    Args:
        portfolio: rows of gold.portfolio.
    """
    held = portfolio.filter(pl.col("halted").fill_null(False)).sort(ACCOUNT)
    found = [
        f"{AccountKey.of(row).name}, largest drawdown {row['max_drawdown']:.0%}, since before "
        f"{row['event_time']:%Y-%m-%d %H:%M}"
        for row in held.iter_rows(named=True)
    ]
    return f"The kill switch closed all positions of: {'; '.join(found)}." if found else None


def _curve(rows: pl.DataFrame, name: str, column: str, a_year: float, trials: int, variance: float) -> dict[str, Any]:
    values = rows[column].to_numpy()
    found = statistics.returns(np.asarray(values, dtype=np.float64))
    spread = max(variance, 1 / (len(found) - 1)) if len(found) > 1 else 0.0
    return {
        "curve": name,
        "start": rows["event_time"][0],
        "event_time": rows["event_time"][-1],
        "steps": rows.height,
        "equity": float(values[-1]),
        "total_return": float(values[-1] / values[0] - 1),
        "yearly_return": statistics.yearly_return(found, a_year),
        "yearly_volatility": statistics.yearly_volatility(found, a_year),
        "sharpe": statistics.sharpe(found, a_year),
        "sortino": statistics.sortino(found, a_year),
        "calmar": statistics.calmar(found, a_year),
        "max_drawdown": statistics.max_drawdown(found),
        "probabilistic_sharpe": statistics.probabilistic_sharpe(found),
        "deflated_sharpe": statistics.deflated_sharpe(found, spread, trials),
    }


def _dealings(rows: pl.DataFrame, trades: pl.DataFrame) -> dict[str, Any]:
    """What only the signals' own curve has: trades, exposure and the kill switch."""
    profits = round_trips(trades).to_numpy()
    return {
        "trades": trades.height,
        "win_rate": statistics.win_rate(profits),
        "profit_factor": statistics.profit_factor(profits),
        "turnover": float(rows["turnover"].sum()),
        "costs": float(rows["costs"].sum()),
        "exposure": float(rows["exposure"].mean()),  # type: ignore[arg-type]
        "luck_p": rows["luck_p"][-1],
        "drawdown": rows["drawdown"][-1],
        "halted": rows["halted"][-1],
    }


def _frame(table: TableSpec, rows: list[dict[str, Any]]) -> pl.DataFrame:
    empty = table.empty
    complete = [{name: row.get(name) for name in empty.columns} for row in rows]
    # NaN (no meaning) is null in a table
    return pl.DataFrame(complete, schema=empty.schema).with_columns(pl.col(pl.Float64).fill_nan(None)).sort(table.key)
