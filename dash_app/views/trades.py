"""The trades of an account: a period's result, what each symbol brought, and each execution."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
import polars as pl
from dash import html

from dash_app import wording
from dash_app.data.portfolio import AccountView, Row
from dash_app.data.trades import Wanted, by_symbol, result
from dash_app.views.parts import Children, aria, plain_table

SHOWN = 50
_LEGS = {"open": "opened", "close": "closed", "cut": "cut back"}
_WHYS = {
    "signal": "a signal",
    "expired": "its signal expired",
    "limit": "it exceeded its limit",
    "absent": "it brought no more bars",
    "kill_switch": "the kill switch",
    "currency": "it is in another currency now",
}


def controls() -> html.Div:
    """The period, the symbol, and the file."""
    days = [
        dmc.DateInput(id=name, placeholder=words, size="sm", w=140, clearable=True, valueFormat="YYYY-MM-DD",
                      **aria(label=label))
        for name, words, label in (
            ("period-from", "From", "First day of the period"),
            ("period-to", "To", "Last day of the period"),
        )
    ]  # fmt: skip
    symbol = dmc.Select(
        id="trades-symbol", data=["all"], value="all", size="sm", w=150, allowDeselect=False,
        **aria(label="Symbol of the trades"),
    )  # fmt: skip
    file = html.A("Download CSV", id="trades-csv", href="/trades.csv", className="button")
    return html.Div([*days, symbol, file], className="view-head")


def section(account: AccountView, rows: pl.DataFrame, wanted: Wanted) -> Children:
    """Everything about the wanted trades.

    Args:
        account: with the equity of the period.
        rows: the wanted trades that the page keeps, in any order.
        wanted: which those are.
    """
    period = [] if wanted.span is None else [html.P(_period_words(account))]
    title = html.H2("Trades", className="section")
    if rows.is_empty():
        nothing = "The account has not traded." if wanted.symbol is None and wanted.span is None else "No trades match."
        return [*period, title, html.P(nothing, className="muted")]
    newest = rows.sort("event_time", "number", descending=True).head(SHOWN).to_dicts()
    names = ["Symbol", f"Bar ({wording.zone(account.interval)})", "Side", "Why", "Value", "Cost", "Profit"]
    caption = f"The newest {len(newest)} of {wording.count(rows.height)} trades, newest first; the file has all"
    return [
        *period,
        *_by_symbol(rows),
        title,
        plain_table(caption, names, [_line(row, account.interval) for row in newest], ("Side", "Why")),
    ]


def _period_words(account: AccountView) -> str:
    found, rows = result(account.equity), account.equity
    first, last = (wording.bar_time(rows["event_time"][at], account.interval) for at in (0, -1))
    earned, held, fall, fall_held = (
        wording.percent(found[name], 1, sign=not name.endswith("drawdown"))
        for name in ("equity", "buy_and_hold", "equity_drawdown", "buy_and_hold_drawdown")
    )
    return (
        f"From {first} to {last} ({wording.count(found['steps'])} steps) the account earned {earned} net of costs, "
        f"with a largest drawdown of {fall}; buying and holding {held}, with {fall_held}."
    )


def _by_symbol(rows: pl.DataFrame) -> Children:
    body = [
        [
            row["symbol"],
            wording.count(row["trades"]),
            wording.count(row["closed"]),
            wording.percent(row["won"] / row["closed"] if row["closed"] else None, 0),
            wording.number(row["profit"], 0, sign=True),
            wording.number(row["cost"], 2),
        ]
        for row in by_symbol(rows)
    ]
    names = ["Symbol", "Executions", "Closed parts", "Won", "Profit", "Costs"]
    return [
        html.H2("By symbol", className="section"),
        plain_table("What each symbol brought, profit net of costs", names, body),
    ]


def _line(row: Row, interval: str) -> list[Any]:
    return [
        row["symbol"],
        wording.bar_time(row["event_time"], interval),
        "▲ bought" if row["value"] > 0 else "▼ sold",
        f"{_LEGS.get(row['leg'], row['leg'])}: {_WHYS.get(row['why'], row['why'])}",
        wording.number(abs(row["value"]), 0),
        wording.number(row["cost"], 2),
        wording.UNKNOWN if row["leg"] == "open" else wording.number(row["profit"], 0, sign=True),
    ]
