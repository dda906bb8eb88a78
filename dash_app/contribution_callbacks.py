"""The callback that explains a chosen bar's prediction by its inputs, when a visitor asks for it.

The first answer loads what reads forests, and each takes about a second of processor time. So one is computed at a
time, and the newest are kept.
"""

from __future__ import annotations

import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache, cached
from dash import Dash, Input, Output, State, ctx

from dash_app import address
from dash_app.address import Address
from dash_app.data.lake_reader import LakeReader
from dash_app.views import contributions as view
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError

if TYPE_CHECKING:
    from financelake_assets.gold.explain import Explained

Json = dict[str, Any]


def register(app: Dash, reader: LakeReader, settings: Settings) -> None:
    """Register it."""
    one_at_a_time = threading.Lock()

    # a bar that is corrected, and a bar that is scored again, is in another snapshot
    @cached(LRUCache(64), key=lambda stamp, *series: (stamp, *series), lock=threading.Lock())
    def explained(stamp: str, symbol: str, interval: str, bar: datetime) -> Explained:
        from financelake_assets.gold.explain import explain

        del stamp
        with one_at_a_time:
            return explain(settings, symbol, interval, bar)

    @app.callback(
        Output("parts", "children"),
        Output("parts-ask", "hidden"),
        Input("parts-ask", "n_clicks"),
        Input("url", "search"),
        State("url", "pathname"),
        State("shown", "data"),
        State("stamp", "data"),
        running=[
            (Output("parts-ask", "disabled"), True, False),
            (Output("parts-ask", "children"), "Computing …", view.QUESTION),
        ],
    )
    def answer(_: int | None, search: str | None, path: str | None, shown: Json | None, stamp: str | None) -> Any:
        where = address.parse(path, search) or Address()
        # in a replay the model may have learnt from later bars
        if where.bar is None or where.replay is not None:
            return None, True
        if ctx.triggered_id != "parts-ask" or not shown:
            return None, False
        try:
            found = explained(reader.at(stamp).stamp, shown["symbol"], shown["interval"], where.bar)
        except FinanceLakeError as error:
            return view.failed(error), False
        return view.section(found), True
