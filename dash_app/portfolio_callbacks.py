"""Callbacks of the portfolio: an account, a period, a symbol's trades.

Input: the address. Output: only what has changed.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from dash import Dash, Input, Output, State, no_update, set_props

from dash_app import address
from dash_app.address import Address
from dash_app.charts.curves import equity
from dash_app.charts.theme import palette
from dash_app.data import portfolio, trades
from dash_app.data.lake_reader import LakeReader, Snapshot
from dash_app.in_browser import in_browser, searched
from dash_app.pieces import Digests, SentFigures, digest, only_new
from dash_app.views import portfolio as view
from dash_app.views import trades as trades_view
from financelake_assets.config import ASSET_CLASSES, PortfolioSettings
from financelake_assets.gold.paper.accounts import AccountKey

Json = dict[str, Any]

_ALL = "all"
_ORDER = ("notice", "switch", "words", "figure", "chart", "page", "trades", "csv", "hidden", "hidden")


def register(app: Dash, reader: LakeReader, rules: PortfolioSettings) -> None:
    """Register them."""
    sent = SentFigures(16)

    @app.callback(
        Output("portfolio-notice", "children"),
        Output("kill-switch", "children"),
        Output("portfolio-words", "children"),
        Output("equity", "figure"),
        Output("equity-words", "children"),
        Output("portfolio-page", "children"),
        Output("trades", "children"),
        Output("trades-csv", "href"),
        Output("portfolio-body", "hidden"),
        Output("account-box", "hidden"),
        Output("portfolio-seen", "data"),
        Input("stamp", "data"),
        Input("url", "search"),
        Input("scheme", "data"),
        State("portfolio-seen", "data"),
    )
    def show(stamp: str | None, search: str | None, scheme: str | None, seen: Digests | None) -> tuple[Any, ...]:
        snapshot = reader.at(stamp)
        where = address.parse("/portfolio", search) or Address()
        found = portfolio.account(snapshot, where.asset_class, where.interval, where.currency)
        if found is None:
            pieces: Json = {"notice": view.missing(snapshot), "hidden": True}
        else:
            wanted = trades.Wanted(found.key, where.symbol, where.span)
            within = replace(found, equity=trades.period(found.equity, where.span))
            rows = snapshot.trades.group(*found.key)
            figure = equity(within, palette(scheme))
            pieces = {
                "notice": None,
                "switch": view.kill_switch(found, rules),
                "words": view.in_words(found),
                "figure": figure,
                "chart": view.chart_words(within),
                "page": view.page(found),
                "trades": trades_view.section(within, rows.filter(wanted.condition), wanted),
                "csv": f"/trades.csv{_account_address(wanted).search}",
                "hidden": False,
            }
        new, digests = only_new(pieces, seen)
        if found is not None:
            new["figure"] = sent.send(figure, digests["figure"], (seen or {}).get("figure"))
            known, had = [_value(one) for one in portfolio.accounts(snapshot)], seen or {}
            digests["choice"] = digest([found.name, where.search])
            digests["controls"] = digest([known, digests["choice"]])
            if digests["controls"] != had.get("controls"):
                _controls(snapshot, found, where, moved=digests["choice"] != had.get("choice"))
        return (*(new.get(piece, no_update) for piece in _ORDER), digests)

    in_browser(
        app,
        "chooseAccount",
        Output("url", "search", allow_duplicate=True),
        Input("account-select", "value"),
        State("url", "search"),
        State("account-select", "data"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output("url", "search", allow_duplicate=True),
        Input("period-from", "value"),
        Input("period-to", "value"),
        Input("trades-symbol", "value"),
        State("url", "search"),
        State("portfolio-seen", "data"),
        prevent_initial_call=True,
    )
    def choose(
        first: str | None, last: str | None, symbol: str | None, search: str | None, seen: Digests | None
    ) -> Any:
        """A period needs both days, and ends with its last one."""
        if not seen or "controls" not in seen:
            return no_update
        wanted = None if symbol in (None, _ALL) else symbol
        return searched(search, symbol=wanted, span=_period(first, last))


def _period(first: str | None, last: str | None) -> tuple[datetime, datetime] | None:
    try:
        begin, end = (datetime.fromisoformat(str(day)).replace(tzinfo=UTC) for day in (first, last))
    except ValueError:
        return None
    return (begin, end + timedelta(days=1, seconds=-1)) if begin <= end else None


def _account_address(wanted: trades.Wanted) -> Address:
    account = wanted.account
    known = address.parse("/portfolio", Address(interval=account.interval, currency=account.currency).search)
    kind = next((one for one in ASSET_CLASSES if one == account.asset_class), None)
    return replace(known or Address(), view="portfolio", asset_class=kind, symbol=wanted.symbol, span=wanted.span)


def _value(account: AccountKey) -> str:
    """What ``chooseAccount`` in the browser takes apart again."""
    return "/".join(part for part in account if part)


def _controls(snapshot: Snapshot, found: portfolio.AccountView, where: Address, *, moved: bool) -> None:
    """Set the controls to what is shown; where only accounts came, without the choice: a click may be on its way."""
    known = [{"value": _value(one), "label": portfolio.account_name(one)} for one in portfolio.accounts(snapshot)]
    set_props("account-select", {"data": known, **({"value": _value(found.key)} if moved else {})})
    if not moved:
        return
    symbols = snapshot.trades.group(*found.key)["symbol"].unique().sort().to_list()
    names = [{"value": _ALL, "label": "All symbols"}, *({"value": one, "label": one} for one in symbols)]
    set_props("trades-symbol", {"data": names, "value": where.symbol if where.symbol in symbols else _ALL})
    first, last = (None, None) if where.span is None else where.span
    set_props("period-from", {"value": None if first is None else f"{first:%Y-%m-%d}"})
    set_props("period-to", {"value": None if last is None else f"{last:%Y-%m-%d}"})
