"""Callbacks by which a visitor changes the chart: indicators, symbols beside it, the visible time, a bar, a replay.

Each turns what was done into an address; the address draws the page.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from dash import Dash, Input, Output, State, ctx, no_update

from dash_app import address
from dash_app.address import MOST_BESIDE, Address
from dash_app.data import indicators
from dash_app.data.history import Frames, History
from dash_app.data.lake_reader import LakeReader
from dash_app.data.market import unplotted
from dash_app.data.replay import end_of, stepped
from dash_app.in_browser import in_browser, searched
from dash_app.symbol_callbacks import series_of

Json = dict[str, Any]

_STEPS = {"replay-back": -1, "replay-step": 1}


def register(app: Dash, reader: LakeReader, history: History) -> None:
    """Register them."""
    _indicators(app)
    _beside(app)
    _moved(app)
    _chosen_bar(app)
    _replay(app, reader, history)


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
        return searched(search, show=wanted), None


def _beside(app: Dash) -> None:
    @app.callback(
        Output("url", "search", allow_duplicate=True),
        Input("beside-select", "value"),
        State("url", "search"),
        State("shown", "data"),
        prevent_initial_call=True,
    )
    def choose(names: list[str] | None, search: str | None, shown: Json | None) -> Any:
        wanted = tuple(names or ())[:MOST_BESIDE]
        # the page itself sets this control too: that must not undo what the visitor chose meanwhile
        if not shown or wanted == (address.parse("/", search) or Address()).beside:
            return no_update
        return searched(search, symbol=shown["symbol"], beside=wanted)


def _moved(app: Dash) -> None:
    in_browser(
        app,
        "moved",
        Output("redraw", "data"),
        Input("candles", "relayoutData"),
        prevent_initial_call=True,
        space="chart",
    )

    @app.callback(
        Output("url", "search", allow_duplicate=True),
        Input("span", "data"),
        State("url", "search"),
        State("shown", "data"),
        prevent_initial_call=True,
    )
    def follow(span: list[str] | None, search: str | None, shown: Json | None) -> Any:
        """Other bars are needed for what the chart was moved to."""
        if not shown:
            return no_update
        ends = [unplotted(str(text), shown["interval"]) for text in span or ()]
        if not ends:
            return searched(search, span=None)
        if len(ends) != 2 or ends[0] is None or ends[1] is None:
            return no_update
        first, last = (one.replace(microsecond=0) for one in ends if one is not None)
        return searched(search, symbol=shown["symbol"], span=(first, last)) if first < last else no_update


def _chosen_bar(app: Dash) -> None:
    @app.callback(
        Output("url", "search", allow_duplicate=True),
        Input("candles", "clickData"),
        State("url", "search"),
        State("shown", "data"),
        prevent_initial_call=True,
    )
    def choose(clicked: Json | None, search: str | None, shown: Json | None) -> Any:
        """A click explains its bar; in a replay it also goes there."""
        if not clicked or not shown:
            return no_update
        bar = unplotted(str(clicked["points"][0]["x"]), shown["interval"])
        if bar is None:
            return no_update
        where = address.parse("/", search) or Address()
        moment = None if where.replay is None else min(where.replay, end_of(bar, shown["interval"]))
        return searched(search, symbol=shown["symbol"], bar=bar, replay=moment)


def _replay(app: Dash, reader: LakeReader, history: History) -> None:
    @app.callback(
        Output("url", "search", allow_duplicate=True),
        Input("replay-start", "n_clicks"),
        Input("replay-back", "n_clicks"),
        Input("replay-step", "n_clicks"),
        Input("replay-live", "n_clicks"),
        Input("replay-go", "value"),
        State("url", "search"),
        State("shown", "data"),
        prevent_initial_call=True,
    )
    def play(*all_of: Any) -> Any:
        """Begin, step, go to a time, and end a replay."""
        search, shown = all_of[-2:]
        does = ctx.triggered_id
        if not shown or not does or not ctx.triggered[0]["value"]:
            return no_update
        where = address.parse("/", search) or Address()
        snapshot = reader.snapshot
        symbol, interval = series_of(snapshot, replace(where, symbol=shown["symbol"]))
        if does == "replay-live" or symbol is None:
            return searched(search, replay=None)
        frames = history.of(snapshot, symbol, interval)
        if does == "replay-start":
            moment = _begin(frames, where, interval)
        elif does == "replay-go":
            asked = unplotted(str(all_of[4]), interval)
            moment = None if asked is None else stepped(frames, interval, end_of(asked, interval), 0)
        else:
            moment = stepped(frames, interval, where.replay, _STEPS[does])
        return no_update if moment is None else searched(search, symbol=symbol, replay=moment, span=None)


def _begin(frames: Frames, where: Address, interval: str) -> datetime | None:
    """The chosen bar, or the middle of what is shown."""
    if where.bar is not None:
        return stepped(frames, interval, end_of(where.bar, interval), 0)
    if where.span is not None:
        return stepped(frames, interval, where.span[0] + (where.span[1] - where.span[0]) / 2, 0)
    return stepped(frames, interval, None, -(min(where.bars, frames.bars.height) // 2))
