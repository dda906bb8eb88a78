"""The signals view: all signals with their reasons, newest first, also as a file."""

from __future__ import annotations

from typing import Any

import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import dcc, html

from dash_app import wording
from dash_app.data.lake_reader import Snapshot
from dash_app.views.parts import GRID, aria, notice
from financelake_assets.gold.verdicts import Signal

EVERY = "all"


def _columns() -> list[dict[str, Any]]:
    return [
        {
            "field": "symbol",
            "headerName": "Symbol",
            "cellRenderer": "TwoCell",
            "cellRendererParams": {"small": "interval"},
            "width": 118,
            "pinned": "left",
        },
        {"field": "signal", "headerName": "Signal", "cellRenderer": "SignalCell", "width": 100},
        {
            "field": "given",
            "headerName": f"Given ({wording.zone()}), bar",
            "headerTooltip": "When it was given, and the start of its bar; a daily bar belongs to a day in UTC",
            "cellRenderer": "TwoCell",
            "cellRendererParams": {"small": "bar"},
            "width": 164,
        },
        {
            "field": "why",
            "headerName": "Why",
            "flex": 1,
            "minWidth": 190,
            "tooltipField": "why",
            "wrapText": True,
            "cellClass": "words",
        },
        *[
            {
                "field": name,
                "headerName": title,
                "headerTooltip": tip,
                "valueFormatter": {"function": f"params.data.{name}_text"},
                "type": "rightAligned",
                "width": width,
            }
            for name, title, tip, width in (
                ("close", "Close", "The bar's last price", 108),
                ("expected", "Expected", "Predicted return of the next bar", 106),
                ("confidence", "Confidence", "Probability of the predicted direction", 118),
                ("strength", "Strength", "Expected move in standard deviations", 102),
            )
        ],
        {
            "field": "model",
            "headerName": "Model",
            "tooltipField": "model",
            "width": 170,
            "wrapText": True,
            "cellClass": "words",
        },
    ]


def skeleton() -> html.Div:
    """The view without data."""
    return html.Div(
        [
            dcc.Store(id="signals-seen"),
            html.Section(
                [
                    html.Div(
                        [
                            html.H1("Signals"),
                            dmc.SegmentedControl(
                                id="signal-select",
                                data=[{"value": EVERY, "label": "All"}, *[str(one.value) for one in Signal]],
                                value=EVERY,
                                size="sm",
                                **aria(label="Which signals"),
                            ),
                            dmc.TextInput(
                                id="signals-search",
                                placeholder="Search",
                                size="sm",
                                w=170,
                                **aria(label="Search the signals"),
                            ),
                            html.A("Download CSV", id="signals-csv", href="/signals.csv", className="button"),
                        ],
                        className="view-head",
                    ),
                    html.P(
                        "One line for each bar and symbol, decided when the bar arrived. HOLD means that no trade was "
                        "worth it, and gives the reason. Choose a line to see its chart.",
                        className="muted",
                    ),
                    html.Div(id="signals-notice"),
                    dag.AgGrid(
                        id="signals",
                        columnDefs=_columns(),
                        rowData=[],
                        getRowId="params.data.id",
                        defaultColDef={
                            "sortable": True,
                            "resizable": True,
                            "suppressMovable": True,
                            "cellDataType": False,
                            "wrapHeaderText": True,
                        },
                        dashGridOptions={
                            **GRID,
                            "rowHeight": 46,
                            "headerHeight": 46,
                            "localeText": dict.fromkeys(("noRowsToShow", "noMatchingRows"), "No signals here"),
                        },
                        className="feed-grid",
                        style={"height": None, "width": "100%"},
                    ),
                ],
                className="panel pad",
            ),
        ],
        className="single",
    )


def missing(snapshot: Snapshot, shown: int, signal: Signal | None) -> html.Div | None:
    """Why no signals are shown; ``None`` if some are.

    Args:
        snapshot: the lake.
        shown: how many are.
        signal: the kind that was chosen; ``None`` means all.
    """
    if snapshot.signals.state == "ready":
        return None if shown or signal is None else _none_of(signal)
    if not snapshot.loaded:
        return notice("Reading the lake", "One moment.")
    if snapshot.signals.state == "broken":
        return notice("The signals cannot be read", snapshot.signals.problem or "", kind="problem", role="alert")
    if snapshot.models.is_empty():
        return notice("No signals yet", "Signals begin with the first bar after the first training.")
    return notice("No signals yet", "There is a model. The first bar after its training data gets the first signal.")


def _none_of(signal: Signal) -> html.Div:
    others = "Choose All to see the others." if signal == Signal.HOLD else "Choose HOLD: each line gives its reason."
    return notice(f"No {signal} among the newest signals", others)
