"""The web application: Dash on Flask with security headers, health, and a pulse that open pages poll.

Input: settings. Output: an application for any WSGI server. Its Content-Security-Policy allows no inline scripts except
Dash's own (by hash), and no answer contains a stack trace.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from dash import Dash, set_props
from flask import Flask, Response, jsonify, request
from plotly.io import json as plotly_json
from werkzeug.exceptions import HTTPException

from dash_app import address, alert_callbacks, contribution_callbacks
from dash_app import page_metrics as metrics
from dash_app.api import problems
from dash_app.api.routes import add_api
from dash_app.callbacks import register
from dash_app.data import market, portfolio, trades
from dash_app.data import signal_feed as feed
from dash_app.data.lake_reader import LakeReader
from dash_app.foreign_pages import refuse_foreign_pages
from dash_app.layout import frame
from dash_app.login import require_login
from dash_app.preferences import follow_visitors
from dash_app.refused import add_refused_messages
from dash_app.scripts import send_few_bytes
from dash_app.tear_sheets import add_tear_sheets
from financelake_assets.config import Settings
from financelake_assets.gold.paper.accounts import AccountKey

_log = logging.getLogger(__name__)

MOST_WAITING = 16
"""Pages that the pulse keeps waiting at once; others ask twice a second."""

_HOLD_SECONDS = 1.0
"""Short, because a browser has six connections to a server, and each of its windows keeps one waiting."""

_INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
{%metas%}
<title>{%title%}</title>
{%favicon%}
{%css%}
</head>
<body>
<noscript>FinanceLake Pro needs JavaScript.</noscript>
{%app_entry%}
<div>{%config%}{%scripts%}{%renderer%}</div>
</body>
</html>"""


def create_app(settings: Settings, reader: LakeReader) -> Dash:
    """The page for a reader that the caller keeps up to date.

    Raises:
        OpenHostError: other machines can reach the settings' host, and there is no login.
    """
    server = Flask("dash_app")
    server.config["MAX_CONTENT_LENGTH"] = 1 << 20  # callbacks send only addresses and digests
    metrics.measure(server, reader)
    require_login(server, settings)
    refuse_foreign_pages(server)
    follow_visitors(server)
    app = Dash(
        "dash_app",
        server=server,  # type: ignore[arg-type]  # the annotation says less than the documentation
        title="FinanceLake Pro",
        update_title="",
        index_string=_INDEX,
        suppress_callback_exceptions=True,
        meta_tags=[
            {"name": "viewport", "content": "width=device-width, initial-scale=1"},
            {"name": "color-scheme", "content": "light dark"},
            {"name": "description", "content": "Market feeds to signals: the live page of a lake."},
        ],
        on_error=_say_that_it_failed,
    )
    # several times as fast if an answer has only plain values (``pieces.py``), slower if it has components
    plotly_json.config.default_engine = "orjson"
    app.layout = frame
    reader.prepare(market.watch_rows)
    register(app, reader, settings)
    alert_callbacks.register(app, reader, settings)
    contribution_callbacks.register(app, reader, settings)
    send_few_bytes(server)
    add_api(server, settings, reader)
    add_tear_sheets(server, settings)
    add_refused_messages(server, settings)
    _routes(server, settings, reader)
    _headers(server, _policy(app))
    return app


def _say_that_it_failed(error: Exception) -> None:
    _log.error("a callback failed", exc_info=error)
    set_props("failure", {"children": "A part of this page could not be drawn. See the dashboard's log."})


def _routes(server: Flask, settings: Settings, reader: LakeReader) -> None:
    @server.get("/health")
    def health() -> Response:
        snapshot = reader.snapshot
        tables = {name: {"state": view.state, "version": view.version} for name, view in snapshot.tables.items()}
        return jsonify({"status": "ok", "loaded": snapshot.loaded, "tables": tables, "problems": snapshot.problems})

    free = threading.BoundedSemaphore(MOST_WAITING)

    @server.get("/pulse")
    def pulse() -> Response:
        held = _hold(reader, request.args.get("seen"), free)
        snapshot = reader.snapshot
        newest = snapshot.newest
        return jsonify(
            {
                "stamp": snapshot.stamp,
                "now": int(time.time() * 1000),
                "newest": None if newest is None else int(newest.timestamp() * 1000),
                "feed": snapshot.feed.phase,
                "progress": snapshot.feed.progress,
                "loaded": snapshot.loaded,
                "every": settings.dashboard.refresh_seconds,
                "held": held,
                "stale": settings.dashboard.stale_seconds,
                "signals": feed.told(snapshot.signals),
            }
        )

    @server.get("/signals.csv")
    def signals_csv() -> Response:
        where = address.parse("/signals", request.query_string.decode("ascii", "replace")) or address.Address()
        headers = {"Content-Disposition": "attachment; filename=signals.csv"}
        return Response(feed.csv(reader.snapshot, where.signal), mimetype="text/csv", headers=headers)

    @server.get("/trades.csv")
    def trades_csv() -> Response:
        where = address.parse("/portfolio", request.query_string.decode("ascii", "replace")) or address.Address()
        found = portfolio.account(reader.snapshot, where.asset_class, where.interval, where.currency)
        account = AccountKey("", "") if found is None else found.key
        text = trades.csv(settings, trades.Wanted(account, where.symbol, where.span))
        return Response(text, mimetype="text/csv", headers={"Content-Disposition": "attachment; filename=trades.csv"})

    @server.errorhandler(Exception)
    def failed(error: Exception) -> tuple[str, int] | HTTPException | Response:
        of_api = request.path.startswith(problems.PREFIX)
        if isinstance(error, HTTPException):
            return problems.of_exception(error) if of_api else error
        _log.error("a request failed", exc_info=error)
        if of_api:
            return problems.problem(500, "The request could not be answered.", "See the dashboard's log.")
        return "The dashboard could not answer this request. See its log.", 500


def _policy(app: Dash) -> str:
    scripts = " ".join(["'self'", *(f"'{one}'" if not one.startswith("'") else one for one in app.csp_hashes())])
    rules: dict[str, Any] = {
        "default-src": "'self'",
        "script-src": scripts,
        "style-src": "'self' 'unsafe-inline'",  # the components style themselves inline
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _hold(reader: LakeReader, seen: str | None, free: threading.BoundedSemaphore) -> bool:
    """Wait until there is something else than a page has seen; false if it must ask again, as too many wait already."""
    snapshot = reader.snapshot
    if seen is None or not free.acquire(blocking=False):
        return False
    try:
        if snapshot.stamp == seen:
            reader.wait(snapshot, _HOLD_SECONDS)
    finally:
        free.release()
    return True


def _headers(server: Flask, policy: str) -> None:
    fixed = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    }

    @server.after_request
    def harden(response: Response) -> Response:
        response.headers.update(fixed)
        if response.mimetype in ("text/html", "application/json"):
            response.headers["Cache-Control"] = "no-store"
        return response
