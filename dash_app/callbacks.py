"""Callbacks of the page: thin functions between the browser and the views.

Input: the address, the stamp of the newest snapshot that the browser knows, and what it already shows. Output: only
what has changed.
"""

from __future__ import annotations

from typing import Any

from dash import Dash, Input, Output, State, html, no_update, set_props

from dash_app import address, chart_callbacks, layout, portfolio_callbacks, symbol_callbacks, wording
from dash_app.charts.theme import palette
from dash_app.data import market, portfolio, screener
from dash_app.data import signal_feed as feed
from dash_app.data.history import History
from dash_app.data.lake_reader import LakeReader, Snapshot
from dash_app.data.replay import Replays
from dash_app.in_browser import address_changed, in_browser, searched
from dash_app.pieces import Digests, digest, only_new
from dash_app.symbol_callbacks import series_of
from dash_app.views import lake as lake_view
from dash_app.views import market_frame
from dash_app.views import model as model_view
from dash_app.views import signals as signals_view
from financelake_assets.alerting.language import RuleError
from financelake_assets.config import Settings

Json = dict[str, Any]


def register(app: Dash, reader: LakeReader, settings: Settings) -> None:
    """Register all callbacks of the page with a reader of the lake."""
    _frame(app, reader, settings.dagster_url)
    history = History(settings)
    replays = Replays(history)
    _watch_list(app, reader, replays)
    symbol_callbacks.register(app, reader, history, replays, settings.dagster_url)
    chart_callbacks.register(app, reader, history)
    _screener(app)
    _own_list(app)
    _signals(app, reader)
    portfolio_callbacks.register(app, reader, settings.portfolio)
    _pages(app, reader)


def _frame(app: Dash, reader: LakeReader, dagster_url: str) -> None:
    in_browser(app, "scheme", Output("scheme", "data"), Input("url", "id"))
    in_browser(
        app,
        "prefer",
        Output("numbers-select", "error"),
        Input("zone-select", "value"),
        Input("numbers-select", "value"),
        Input("theme-select", "value"),
        Input("candles-select", "value"),
        prevent_initial_call=True,
    )

    @app.callback(Output("page", "children"), Output("navigation", "children"), Input("url", "pathname"))
    def show(path: str | None) -> tuple[Any, Any]:
        where = address.parse(path, None)
        name = where.view if where else None
        return layout.page(name, dagster_url), layout.navigation(name)

    @app.callback(Output("banner", "children"), Input("stamp", "data"))
    def banner(stamp: str | None) -> list[html.Div]:
        snapshot = reader.at(stamp)
        played = [
            html.Div(
                [html.Strong(name, className="tag"), html.Span(wording.PLAYED_PROVIDERS[name])], className="banner"
            )
            for name in market.played(snapshot)
        ]
        broken = [html.Div(problem, className="banner problem", role="alert") for problem in snapshot.problems]
        halted = [
            html.Div(
                [
                    html.Strong("Halted", className="tag"),
                    html.Span(f"The kill switch holds the paper portfolio's account {name}."),
                ],
                className="banner",
            )
            for name in portfolio.held_accounts(snapshot)
        ]
        return played + halted + broken


def _watch_list(app: Dash, reader: LakeReader, replays: Replays) -> None:
    @app.callback(
        Output("watch", "rowData"),
        Output("screen-words", "children"),
        Output("watch-seen", "data"),
        Input("stamp", "data"),
        Input("url", "search"),
        State("watch-seen", "data"),
        State("shown", "data"),
    )
    def watch(stamp: str | None, search: str | None, seen: str | None, shown: Json | None) -> tuple[Any, Any, Any]:
        # complete rows, not a transaction: the grid finds changes by row id, and a page that was not ready for a
        # transaction would never get its rows
        where = address.parse("/", search) or address.Address()
        snapshot = reader.at(stamp)
        if where.replay is not None:
            name, interval = series_of(snapshot, where)
            snapshot = snapshot if name is None else replays.at(snapshot, where.replay, name, interval)
        listed = market.watch_rows(snapshot, where.asset_class)
        if where.names:
            listed = [row for row in listed if row["symbol"] in where.names]
        rows, words = _screened(snapshot, listed, where.where)
        if address_changed(seen):
            set_props("class-select", {"value": where.asset_class or market_frame.EVERY})
            set_props("screen-text", {"value": where.where or ""})
            set_props("list-select", {"data": snapshot.symbols(), "value": list(where.names)})
        mark = snapshot.once(("watch mark", where.asset_class, where.where, where.names), lambda: digest([rows, words]))
        if shown and rows and seen in (None, digest([[], ""])):
            set_props("watch", {"selectedRows": {"ids": [shown["symbol"]]}})
        return (no_update,) * 3 if mark == seen else (rows, words, mark)

    in_browser(
        app,
        "search",
        Output("watch-search", "error"),
        Input("watch-search", "value"),
        prevent_initial_call=True,
    )
    in_browser(
        app,
        "chooseClass",
        Output("url", "search", allow_duplicate=True),
        Input("class-select", "value"),
        State("url", "search"),
        State("watch-seen", "data"),
        prevent_initial_call=True,
    )
    in_browser(
        app,
        "choose",
        Output("url", "search"),
        Input("watch", "selectedRows"),
        Input("symbol-select", "value"),
        Input("interval-select", "value"),
        Input("bars-select", "value"),
        State("url", "search"),
        State("shown", "data"),
        prevent_initial_call=True,
    )


def _own_list(app: Dash) -> None:
    @app.callback(
        Output("url", "search", allow_duplicate=True),
        Input("list-select", "value"),
        State("url", "search"),
        State("watch-seen", "data"),
        prevent_initial_call=True,
    )
    def choose(names: list[str] | None, search: str | None, seen: str | None) -> Any:
        return no_update if seen is None else searched(search, names=tuple(names or ())[: address.MOST_NAMES])


def _screened(snapshot: Snapshot, rows: list[Json], text: str | None) -> tuple[list[Json], str]:
    """The rows of the watch list that a filter keeps, and how many those are, or what is wrong with the filter."""
    if text is None:
        return rows, ""
    try:
        kept = screener.kept(snapshot, text, [(row["symbol"], row["interval"]) for row in rows])
    except RuleError as error:
        return rows, f"The filter is not used: column {error.column}: {error.why}"
    found = [row for row in rows if (row["symbol"], row["interval"]) in kept]
    return found, f"{len(found)} of {len(rows)} match."


def _screener(app: Dash) -> None:
    @app.callback(
        Output("url", "search", allow_duplicate=True),
        Output("screen-text", "error"),
        Input("screen-text", "value"),
        State("url", "search"),
        State("watch-seen", "data"),
        prevent_initial_call=True,
    )
    def choose(text: str | None, search: str | None, seen: str | None) -> tuple[Any, Any]:
        if seen is None:  # the field does not show the address yet
            return no_update, no_update
        wanted = (text or "").strip() or None
        if wanted is not None:
            try:
                screener.read(wanted)
            except RuleError as error:
                return no_update, str(error)
        return searched(search, where=wanted), None


def _signals(app: Dash, reader: LakeReader) -> None:
    @app.callback(
        Output("signals", "rowData"),
        Output("signals-notice", "children"),
        Output("signals-csv", "href"),
        Output("signals-seen", "data"),
        Input("stamp", "data"),
        Input("url", "search"),
        State("signals-seen", "data"),
    )
    def signals(stamp: str | None, search: str | None, seen: Digests | None) -> tuple[Any, ...]:
        snapshot = reader.at(stamp)
        where = address.parse("/signals", search) or address.Address()
        rows = feed.rows(snapshot, where.signal)
        pieces = {
            "rows": rows,
            "notice": signals_view.missing(snapshot, len(rows), where.signal),
            "csv": f"/signals.csv{address.Address(signal=where.signal).search}",
        }
        if address_changed(seen):
            set_props("signal-select", {"value": where.signal or signals_view.EVERY})
        new, digests = only_new(pieces, seen)
        return new["rows"], new["notice"], new["csv"], digests

    in_browser(
        app,
        "searchSignals",
        Output("signals-search", "error"),
        Input("signals-search", "value"),
        prevent_initial_call=True,
    )
    in_browser(
        app,
        "chooseSignal",
        Output("url", "href"),
        Input("signal-select", "value"),
        Input("signals", "selectedRows"),
        State("url", "search"),
        State("signals-seen", "data"),
        prevent_initial_call=True,
    )


def _pages(app: Dash, reader: LakeReader) -> None:
    """The views that consist of text and are replaced as a whole, but only if they changed."""

    @app.callback(
        Output("model-page", "children"),
        Output("model-seen", "data"),
        Input("stamp", "data"),
        Input("scheme", "data"),
        State("model-seen", "data"),
    )
    def model(stamp: str | None, scheme: str | None, seen: Digests | None) -> tuple[Any, Digests]:
        snapshot = reader.at(stamp)
        new, digests = only_new({"page": model_view.page(snapshot, palette(scheme))}, seen)
        return new["page"], digests

    @app.callback(
        Output("lake-page", "children"), Output("lake-seen", "data"), Input("stamp", "data"), State("lake-seen", "data")
    )
    def lake(stamp: str | None, seen: Digests | None) -> tuple[Any, Digests]:
        new, digests = only_new({"page": lake_view.page(reader.at(stamp))}, seen)
        return new["page"], digests
