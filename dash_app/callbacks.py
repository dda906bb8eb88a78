"""Callbacks of the page: thin functions between the browser and the views.

Input: the address, the stamp of the newest snapshot that the browser knows, and what it already shows. Output: only
what has changed.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import replace
from datetime import datetime
from typing import Any

from cachetools import LRUCache, cached
from dash import ClientsideFunction, Dash, Input, Output, State, ctx, html, no_update, set_props

from dash_app import address, layout, wording
from dash_app.charts import panes
from dash_app.charts.curves import equity
from dash_app.charts.figures import candles
from dash_app.charts.theme import palette
from dash_app.data import champion, indicators, market, portfolio, screener, why
from dash_app.data import signal_feed as feed
from dash_app.data.flow import track_record
from dash_app.data.lake_reader import LakeReader, Snapshot
from dash_app.pieces import Digests, Pieces, SentFigures, digest, only_new
from dash_app.preferences import chosen
from dash_app.views import lake as lake_view
from dash_app.views import market as view
from dash_app.views import model as model_view
from dash_app.views import model_card
from dash_app.views import portfolio as portfolio_view
from dash_app.views import signals as signals_view
from dash_app.views import why as why_view
from financelake_assets.alerting.language import RuleError
from financelake_assets.config import PortfolioSettings, Settings

Json = dict[str, Any]


def register(app: Dash, reader: LakeReader, settings: Settings) -> None:
    """Register all callbacks of the page with a reader of the lake."""
    _frame(app, reader, settings.dagster_url)
    _watch_list(app, reader)
    _symbol(app, reader, settings.dagster_url)
    _screener(app)
    _indicators(app)
    _why(app, reader)
    _signals(app, reader)
    _portfolio(app, reader, settings.portfolio)
    _pages(app, reader)


def _in_browser(app: Dash, function: str, *dependencies: Any, **options: Any) -> None:
    """Register a function of ``assets/lake.js``."""
    app.clientside_callback(ClientsideFunction("lake", function), *dependencies, **options)  # type: ignore[no-untyped-call]


def _address_changed(seen: Any) -> bool:
    """Whether controls must follow the address. New data must not change them: that would undo the visitor's choice."""
    return seen is None or any(one["prop_id"].startswith("url.") for one in ctx.triggered)


def _frame(app: Dash, reader: LakeReader, dagster_url: str) -> None:
    _in_browser(app, "scheme", Output("scheme", "data"), Input("url", "id"))
    _in_browser(
        app,
        "prefer",
        Output("numbers-select", "error"),
        Input("zone-select", "value"),
        Input("numbers-select", "value"),
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


def _watch_list(app: Dash, reader: LakeReader) -> None:
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
        rows, words = _screened(snapshot, market.watch_rows(snapshot, where.asset_class), where.where)
        if _address_changed(seen):
            set_props("class-select", {"value": where.asset_class or view.EVERY})
            set_props("screen-text", {"value": where.where or ""})
        mark = snapshot.once(("watch mark", where.asset_class, where.where), lambda: digest([rows, words]))
        if shown and rows and seen in (None, digest([[], ""])):
            set_props("watch", {"selectedRows": {"ids": [shown["symbol"]]}})
        return (no_update,) * 3 if mark == seen else (rows, words, mark)

    _in_browser(
        app,
        "search",
        Output("watch-search", "error"),
        Input("watch-search", "value"),
        prevent_initial_call=True,
    )
    _in_browser(
        app,
        "chooseClass",
        Output("url", "search", allow_duplicate=True),
        Input("class-select", "value"),
        State("url", "search"),
        State("watch-seen", "data"),
        prevent_initial_call=True,
    )
    _in_browser(
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


def _search(search: str | None, **wanted: Any) -> Any:
    """The address with something else wanted; nothing to do where it is wanted already."""
    where = address.parse("/", search) or address.Address()
    other = replace(where, **wanted)
    return no_update if other == where else other.search or "?"


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
        return _search(search, where=wanted), None


def _symbol(app: Dash, reader: LakeReader, dagster_url: str) -> None:
    sent = SentFigures(128)
    pieces_of = cached(LRUCache(64), key=_pieces_key, lock=threading.Lock())(_symbol_pieces)

    @app.callback(
        Output("symbol-head", "children"),
        Output("symbol-notice", "children"),
        Output("candles", "figure"),
        Output("candles", "style"),
        Output("candles-words", "children"),
        Output("why", "children"),
        Output("symbol-facts", "children"),
        Output("symbol-record", "children"),
        Output("model-card", "children"),
        Output("bars-table", "children"),
        Output("symbol-body", "hidden"),
        Output("symbol-seen", "data"),
        Input("stamp", "data"),
        Input("url", "search"),
        Input("scheme", "data"),
        Input("as-table", "checked"),
        State("url", "pathname"),
        State("symbol-seen", "data"),
    )
    def symbol(
        stamp: str | None,
        search: str | None,
        scheme: str | None,
        as_table: bool,
        path: str | None,
        seen: Digests | None,
    ) -> tuple[Any, ...]:
        snapshot = reader.at(stamp)
        where = address.parse(path, search) or address.Address()
        name = where.symbol or next(iter(row["symbol"] for row in market.watch_rows(snapshot)), None)
        found = _find(snapshot, name, where)
        if found is None:
            pieces: Json = {"notice": view.missing(snapshot, name), "hidden": True}
        else:
            pieces = pieces_of(snapshot, found, where.bar, scheme, bool(as_table), dagster_url)
            figure = pieces["figure"]
            _controls(snapshot, found, where, seen)
        new, digests = only_new(pieces, seen)
        if found is not None:
            new["figure"] = sent.send(figure, digests["figure"], (seen or {}).get("figure"))
            digests["controls"] = _control_mark(snapshot, found, where)
        order = ("head", "notice", "figure", "style", "words", "why", "facts", "record", "model", "table", "hidden")
        return (*(new.get(piece, no_update) for piece in order), digests)


def _pieces_key(snapshot: Snapshot, found: market.Series, *asked: Hashable) -> Hashable:
    return (snapshot.stamp, chosen(), found.symbol, found.interval, found.bars.height, found.show, *asked)


def _symbol_pieces(
    snapshot: Snapshot,
    found: market.Series,
    bar: datetime | None,
    scheme: str | None,
    as_table: bool,
    dagster_url: str,
) -> Pieces:
    because = None if bar is None else why.explain(snapshot, found.symbol, found.interval, bar)
    used = None if because is None else (because.first, because.bar["event_time"])
    waits_for = champion.unscored(snapshot, found.interval) if found.unscored else ""
    return Pieces(
        head=view.head(found, waits_for),
        notice=None,
        figure=candles(found, palette(scheme), used),
        style={"height": panes.height(found.show)},
        words=view.in_words(found),
        why=why_view.section(because, bar is not None, dagster_url),
        facts=view.facts(found, waits_for),
        record=view.record(track_record(snapshot, found.symbol, found.interval)),
        model=model_card.card(snapshot, found.interval, found.symbol),
        table=view.table(found) if as_table else None,
        hidden=False,
    )


def _indicators(app: Dash) -> None:
    @app.callback(
        Output("url", "search", allow_duplicate=True),
        Output("show-select", "error"),
        Input("show-select", "value"),
        State("url", "search"),
        State("shown", "data"),
        prevent_initial_call=True,
    )
    def choose(texts: list[str] | None, search: str | None, shown: Json | None) -> tuple[Any, Any]:
        if not shown:  # the controls do not show the address yet
            return no_update, no_update
        try:
            wanted = indicators.chosen(texts or ())
        except indicators.IndicatorError as error:
            return no_update, str(error)
        return _search(search, show=wanted), None


def _why(app: Dash, reader: LakeReader) -> None:
    @app.callback(
        Output("url", "search", allow_duplicate=True),
        Input("candles", "clickData"),
        State("url", "search"),
        State("shown", "data"),
        prevent_initial_call=True,
    )
    def choose(clicked: Json | None, search: str | None, shown: Json | None) -> Any:
        if not clicked or not shown:
            return no_update
        where = address.parse("/", search) or address.Address()
        found = _find(reader.snapshot, shown["symbol"], where)
        bar = None if found is None else found.at(str(clicked["points"][0]["x"]))
        return no_update if bar in (None, where.bar) else replace(where, symbol=shown["symbol"], bar=bar).search


def _find(snapshot: Snapshot, symbol: str | None, where: address.Address) -> market.Series | None:
    if symbol is None:
        return None
    interval = (
        where.interval if where.interval in snapshot.intervals(symbol) else market.main_interval(snapshot, symbol)
    )
    return market.series(snapshot, symbol, interval or "", where.bars, where.show)


def _control_mark(snapshot: Snapshot, found: market.Series, where: address.Address) -> str:
    return digest(
        [found.symbol, found.interval, where.bars, where.search, snapshot.symbols(), snapshot.intervals(found.symbol)]
    )


def _controls(snapshot: Snapshot, found: market.Series, where: address.Address, seen: Digests | None) -> None:
    """Set the controls to the address. They are not declared outputs, because controls also change the address."""
    if (seen or {}).get("controls") == _control_mark(snapshot, found, where):
        return
    set_props("shown", {"data": {"symbol": found.symbol, "interval": found.interval, "bars": str(where.bars)}})
    set_props("symbol-select", {"data": snapshot.symbols(), "value": found.symbol})
    set_props("interval-select", {"data": snapshot.intervals(found.symbol), "value": found.interval})
    set_props("bars-select", {"value": str(where.bars)})
    set_props("show-select", {"value": [one.label for one in where.show]})
    set_props("watch", {"selectedRows": {"ids": [found.symbol]}})


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
        pieces = {
            "rows": feed.rows(snapshot, where.signal),
            "notice": signals_view.missing(snapshot),
            "csv": f"/signals.csv{address.Address(signal=where.signal).search}",
        }
        if _address_changed(seen):
            set_props("signal-select", {"value": where.signal or signals_view.EVERY})
        new, digests = only_new(pieces, seen)
        return new["rows"], new["notice"], new["csv"], digests

    _in_browser(
        app,
        "searchSignals",
        Output("signals-search", "error"),
        Input("signals-search", "value"),
        prevent_initial_call=True,
    )
    _in_browser(
        app,
        "chooseSignal",
        Output("url", "href"),
        Input("signal-select", "value"),
        Input("signals", "selectedRows"),
        State("url", "search"),
        State("signals-seen", "data"),
        prevent_initial_call=True,
    )


def _portfolio(app: Dash, reader: LakeReader, rules: PortfolioSettings) -> None:
    sent = SentFigures(16)

    @app.callback(
        Output("portfolio-notice", "children"),
        Output("kill-switch", "children"),
        Output("portfolio-words", "children"),
        Output("equity", "figure"),
        Output("equity-words", "children"),
        Output("portfolio-page", "children"),
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
        where = address.parse("/portfolio", search) or address.Address()
        found = portfolio.account(snapshot, where.asset_class, where.interval)
        if found is None:
            pieces: Json = {"notice": portfolio_view.missing(snapshot), "hidden": True}
        else:
            figure = equity(found, palette(scheme))
            pieces = {
                "notice": None,
                "switch": portfolio_view.kill_switch(found, rules),
                "words": portfolio_view.in_words(found),
                "figure": figure,
                "chart": portfolio_view.chart_words(found),
                "page": portfolio_view.page(found),
                "hidden": False,
            }
        new, digests = only_new(pieces, seen)
        if found is not None:
            new["figure"] = sent.send(figure, digests["figure"], (seen or {}).get("figure"))
            digests["controls"] = digest([portfolio.accounts(snapshot), found.name])
            if digests["controls"] != (seen or {}).get("controls"):
                _accounts(snapshot, found)
        order = ("notice", "switch", "words", "figure", "chart", "page", "hidden", "hidden")
        return (*(new.get(piece, no_update) for piece in order), digests)

    _in_browser(
        app,
        "chooseAccount",
        Output("url", "search", allow_duplicate=True),
        Input("account-select", "value"),
        State("url", "search"),
        State("account-select", "data"),
        prevent_initial_call=True,
    )


def _accounts(snapshot: Snapshot, found: portfolio.AccountView) -> None:
    """Set the choice of accounts to the shown account."""
    known = [
        {"value": f"{asset_class}/{interval}", "label": portfolio.account_name(asset_class, interval)}
        for asset_class, interval in portfolio.accounts(snapshot)
    ]
    set_props("account-select", {"data": known, "value": f"{found.asset_class}/{found.interval}"})


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
