"""The callback that draws one symbol: its chart, explanation, prediction, record and model.

Input: the address, the stamp of the newest snapshot that the browser knows, and what it already shows. Output: only
what has changed. In a replay everything comes from the snapshot as of that moment.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import polars as pl
from cachetools import LRUCache, cached
from dash import Dash, Input, Output, State, no_update, set_props

from dash_app import address
from dash_app.address import Address
from dash_app.charts import panes, trips
from dash_app.charts.compared import compared
from dash_app.charts.figures import Figure, candles
from dash_app.charts.theme import palette
from dash_app.data import champion, market, portfolio, trades, why, window
from dash_app.data.compared import changes
from dash_app.data.flow import track_record
from dash_app.data.history import History
from dash_app.data.lake_reader import KEPT_BARS, LakeReader, Snapshot
from dash_app.data.replay import Replays, last_start
from dash_app.data.similar import PAST, Similar, similar
from dash_app.in_browser import in_browser
from dash_app.pieces import Digests, Pieces, SentFigures, Written, digest, only_new
from dash_app.preferences import chosen
from dash_app.views import market as view
from dash_app.views import model_card
from dash_app.views import replay as replay_view
from dash_app.views import similar as similar_view
from dash_app.views import why as why_view
from financelake_assets.model.schema import BASELINE_METRICS, MODEL_METRICS, MODELS

Json = dict[str, Any]

_ORDER = ("head", "notice", "figure", "style", "words", "why", "facts", "record", "model", "table", "hidden")


@dataclass(frozen=True, eq=False)
class _Source:
    """Where a page's parts come from."""

    history: History
    dagster_url: str
    alike: Callable[[pl.DataFrame, market.Series, datetime], Similar | None]


def register(app: Dash, reader: LakeReader, history: History, replays: Replays, dagster_url: str) -> None:
    """Register the callbacks that draw a symbol."""
    sent = SentFigures(128)
    source = _Source(history, dagster_url, cached(LRUCache(256), key=_alike_key, lock=threading.Lock())(_alike))
    pieces_of = cached(LRUCache(64), key=_pieces_key, lock=threading.Lock())(partial(_symbol_pieces, source))

    @app.callback(
        Output("symbol-head", "children"),
        Output("symbol-notice", "children"),
        Output("chart", "data"),
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
        now = reader.at(stamp)
        where = address.parse(path, search) or Address()
        name, interval = series_of(now, where)
        snapshot = now if where.replay is None or not name else replays.at(now, where.replay, name, interval)
        found = None if name is None else find(snapshot, name, interval, where)
        if found is None:
            unknown = replay_view.missing(name) if where.replay and now.symbols() else view.missing(now, name)
            pieces: Json = {"notice": unknown, "hidden": True}
        else:
            pieces = pieces_of(snapshot, found, where, scheme, bool(as_table))
            figure = pieces["figure"]
        _controls(now, name, interval, where, seen)
        new, digests = only_new(pieces, seen)
        if found is not None:
            new["figure"] = sent.send(figure, digests["figure"], (seen or {}).get("figure"))
        digests["controls"] = _control_mark(now, name, interval, where)
        return (*(new.get(piece, no_update) for piece in _ORDER), digests)

    # the browser adds what only it knows: the visible time, drawings, and the tool in hand
    in_browser(app, "draw", Output("candles", "figure"), Input("chart", "data"), Input("redraw", "data"), space="chart")


def series_of(snapshot: Snapshot, where: Address) -> tuple[str | None, str]:
    """The symbol and the interval that an address means."""
    name = where.symbol or next(iter(row["symbol"] for row in market.watch_rows(snapshot)), None)
    if name is None:
        return None, ""
    known = where.interval in snapshot.intervals(name)
    return name, (where.interval if known else market.main_interval(snapshot, name)) or ""


def find(snapshot: Snapshot, symbol: str, interval: str, where: Address) -> market.Series | None:
    """The newest bars of a series, at most as many as the page keeps."""
    return market.series(snapshot, symbol, interval, min(where.bars, KEPT_BARS), where.show)


def shown(history: History, snapshot: Snapshot, found: market.Series, where: Address) -> market.Series:
    """The bars of the chart: the newest ones, or older ones too where the address asks for more."""
    if where.span is None and where.bars <= KEPT_BARS:
        return found
    frames = history.of(snapshot, found.symbol, found.interval)
    bars = where.bars
    return window.series(snapshot, frames, found.symbol, found.interval, bars, where.span, where.show) or found


def _pieces_key(snapshot: Snapshot, found: market.Series, where: Address, *asked: Hashable) -> Hashable:
    return (snapshot.stamp, chosen(), found.symbol, found.interval, where, *asked)


def _symbol_pieces(
    source: _Source, snapshot: Snapshot, found: market.Series, where: Address, scheme: str | None, as_table: bool
) -> Pieces:
    chart = shown(source.history, snapshot, found, where)
    bar = where.bar
    replayed = snapshot.as_of is not None
    if replayed and bar is not None and bar > last_start(where.replay or bar, found.interval):
        bar = None  # it is later than the replay
    because = None
    if bar is not None:
        around = source.history.around(snapshot, found.symbol, found.interval, bar)
        because = why.explain(around, found.symbol, found.interval, bar)
    used = None if because is None else (because.first, because.bar["event_time"])
    waits_for = _waits_for(snapshot, found)
    alike: list[Any] = []
    if because is not None:
        at = because.bar["event_time"]
        bars = source.history.of(snapshot, found.symbol, found.interval).until(at, PAST + 1).bars
        alike = similar_view.section(source.alike(bars, found, at), found.interval)
    return Pieces(
        head=view.head(found, waits_for),
        notice=None,
        figure=_figure(source.history, snapshot, chart, where, scheme, used),
        style={"height": "var(--chart)" if where.beside else panes.height(found.show)},
        words=_words(chart, where),
        why=[*why_view.section(because, bar is not None, source.dagster_url), *alike],
        facts=view.facts(found, waits_for),
        record=view.record(track_record(snapshot, found.symbol, found.interval)),
        model=replay_view.no_model() if replayed else _card(snapshot, found.interval, found.symbol),
        table=view.table(chart) if as_table else None,
        hidden=False,
    )


def _card_key(snapshot: Snapshot, interval: str, symbol: str) -> Hashable:
    """The same until the registry or a plug-in says something new; how far a first model is, changes always."""
    registry = tuple(snapshot.tables.get(table.full_name) for table in (MODELS, MODEL_METRICS, BASELINE_METRICS))
    waits = None if interval in champion.champions(snapshot) else snapshot.stamp
    return registry, waits, snapshot.halted.get(interval), chosen(), interval, symbol


@cached(LRUCache(1_000), key=_card_key, lock=threading.Lock())
def _card(snapshot: Snapshot, interval: str, symbol: str) -> Written:
    return Written(model_card.card(snapshot, interval, symbol))


def _words(chart: market.Series, where: Address) -> str:
    if not where.beside:
        return view.in_words(chart)
    names = " and ".join((chart.symbol, *where.beside))
    return f"{names} in percent, from the first bar that all of them have. {view.in_words(chart)}"


def _waits_for(snapshot: Snapshot, found: market.Series) -> str:
    if not found.unscored:
        return ""
    return "A replay makes no new signals." if snapshot.as_of else champion.unscored(snapshot, found.interval)


def _figure(
    history: History,
    snapshot: Snapshot,
    chart: market.Series,
    where: Address,
    scheme: str | None,
    used: tuple[datetime, datetime] | None,
) -> Figure:
    # as long as this stays the same, the browser keeps what is visible
    mark = f"{chart.symbol}|{chart.interval}|{where.bars}|{','.join(where.beside)}"
    if where.beside:
        return compared(chart, _changes(history, snapshot, chart, where), palette(scheme), mark, where.span)
    rows = portfolio.trades_of(snapshot, chart.asset_class, chart.interval, chart.symbol)
    mine = trades.trips(rows) if not rows.is_empty() else []
    lines = trips.traces(chart, mine, palette(scheme))
    return candles(chart, palette(scheme), used, view=mark, span=where.span, more=lines)


def _changes(history: History, snapshot: Snapshot, chart: market.Series, where: Address) -> Any:
    whole = {}
    for name in (chart.symbol, *where.beside):
        series = find(snapshot, name, chart.interval, where)
        if series is not None:
            whole[name] = (chart if name == chart.symbol else shown(history, snapshot, series, where)).bars
    first, last = chart.bars["event_time"][0], chart.bars["event_time"][-1]
    return changes(whole, first, last)


def _alike_key(bars: pl.DataFrame, found: market.Series, bar: datetime) -> Hashable:
    return found.symbol, found.interval, bar, bars.height, bars["processed_at"].max(), found.horizon


def _alike(bars: pl.DataFrame, found: market.Series, bar: datetime) -> Similar | None:  # noqa: ARG001  # of the key
    return similar(bars, found.horizon)


def _control_mark(snapshot: Snapshot, name: str | None, interval: str, where: Address) -> str:
    return digest([name, interval, where.search, snapshot.symbols(), snapshot.intervals(name or "")])


def _controls(snapshot: Snapshot, name: str | None, interval: str, where: Address, seen: Digests | None) -> None:
    """Set the controls to the address. They are not declared outputs, because controls also change the address."""
    if name is None or not interval or (seen or {}).get("controls") == _control_mark(snapshot, name, interval, where):
        return
    set_props("shown", {"data": {"symbol": name, "interval": interval, "bars": str(where.bars)}})
    set_props("symbol-select", {"data": snapshot.symbols(), "value": name})
    set_props("interval-select", {"data": snapshot.intervals(name), "value": interval})
    set_props("bars-select", {"value": str(where.bars)})
    set_props("show-select", {"value": [one.label for one in where.show]})
    others = [one for one in snapshot.symbols() if one != name]
    set_props("beside-select", {"data": others, "value": [one for one in where.beside if one in others]})
    for control, properties in replay_view.state(where.replay, interval).items():
        set_props(control, properties)
    set_props("watch", {"selectedRows": {"ids": [name]}})
