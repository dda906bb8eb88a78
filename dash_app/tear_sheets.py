"""Tear sheets as files: of a paper account, or of its back-test over all history.

Input: an account. Output: an HTML file that needs no network. It is made on request by the code of ``financelake
backtest --report``; one at a time, since a long history takes seconds.
"""

from __future__ import annotations

import threading

from flask import Flask, Response, abort, request

from dash_app.data.portfolio import account_name, newest_backtest
from financelake_assets.config import Settings
from financelake_assets.gold.paper.accounts import AccountKey
from financelake_assets.gold.paper.schema import BACKTEST_EQUITY, BACKTEST_PORTFOLIO, EQUITY, PORTFOLIO

_TABLES = {
    "account": (EQUITY, PORTFOLIO),
    "backtest": (BACKTEST_EQUITY, BACKTEST_PORTFOLIO),
}
_PLAYED = (
    "The account is paper: nothing was bought. Where the lake plays history, the model may have learnt from later bars "
    "of other symbols."
)
_WALKED = (
    "Made of what the walk-forward of the version forecast out of sample. `financelake backtest` says how often its "
    "forests were refitted, and what was left out."
)


def add_tear_sheets(server: Flask, settings: Settings) -> None:
    """Serve them at ``/tear-sheet.html?of=account|backtest&class=…&interval=…&currency=…``."""
    one_at_a_time = threading.Lock()

    @server.get("/tear-sheet.html")
    def tear_sheet() -> Response:
        of, kind, interval, currency = (request.args.get(name, "") for name in ("of", "class", "interval", "currency"))
        if of not in _TABLES:
            abort(404)
        with one_at_a_time:
            page = made(settings, of, AccountKey(kind, interval, currency or None))
        if page is None:
            abort(404)
        headers = {"Content-Disposition": f"attachment; filename=tear-sheet-{of}.html"}
        return Response(page, mimetype="text/html", headers=headers)


def made(settings: Settings, of: str, account: AccountKey) -> str | None:
    """The page of an account; ``None`` where it has no steps.

    Args:
        settings: the lake.
        of: ``account`` or ``backtest``.
        account: whose.
    """
    from financelake_assets.gold.paper.tear_sheet_page import page  # plotly's whole script is in it

    equity, statistics = (table.scan(settings).filter(account.condition).collect() for table in _TABLES[of])
    if equity.is_empty():
        return None
    name = account_name(account)
    if of == "account":
        return page(f"Paper account {name}", [_PLAYED], equity, statistics)
    equity, statistics = newest_backtest(equity), newest_backtest(statistics)
    return page(f"Back-test of {equity['model_version'][0]}, {name}", [_WALKED], equity, statistics)
