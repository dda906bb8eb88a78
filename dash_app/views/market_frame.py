"""The market view without data: the watch list, and the controls and places of one symbol."""

from __future__ import annotations

from typing import Any

import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import dcc, html

from dash_app import wording
from dash_app.address import BAR_COUNTS, DEFAULT_BARS
from dash_app.data.indicators import MOST, usual
from dash_app.views import contributions, replay
from dash_app.views.parts import GRID, aria
from dash_app.views.tools import beside, drawing, layouts, own_lists

EVERY = "all"
_NONE = "No symbol here. Search, class, filter and own list narrow this list; financelake symbols add makes it longer."
_CLASSES = [{"value": name, "label": label} for name, label in wording.ASSET_CLASSES.items()]

_COLUMNS: list[dict[str, Any]] = [
    {"field": "symbol", "headerName": "Symbol", "cellRenderer": "SymbolCell", "minWidth": 116, "flex": 1.2},
    {
        "field": "close",
        "headerName": "Last",
        "cellRenderer": "PriceCell",
        "type": "rightAligned",
        "minWidth": 100,
        "flex": 1,
    },
    {"field": "signal", "headerName": "Signal", "cellRenderer": "SignalCell", "minWidth": 98, "flex": 0.8},
    {
        "field": "confidence",
        "headerName": "Conf.",
        "headerTooltip": "Confidence: probability of the predicted direction",
        "valueFormatter": {"function": "params.data.confidence_text"},
        "type": "rightAligned",
        "width": 74,
    },
    {
        "field": "spark",
        "headerName": "Trend",
        "cellRenderer": "SparkCell",
        "sortable": False,
        "width": 86,
        "cellDataType": False,
    },
    {
        "field": "arrived",
        "headerName": "Fresh",
        "headerTooltip": "Time since the newest bar arrived; late if the market's calendar says that bars are missing",
        "cellRenderer": "FreshCell",
        "type": "rightAligned",
        "width": 90,
    },
]


def skeleton() -> html.Div:
    """The view without data."""
    stores = [dcc.Store(id=name) for name in ("watch-seen", "symbol-seen", "shown", "chart", "redraw", "span")]
    return html.Div([*stores, _watch_list(), _symbol()], className="market")


def _watch_list() -> html.Section:
    return html.Section(
        [
            html.Div(
                [
                    html.H2("Watch list", id="watch-title"),
                    dmc.TextInput(
                        id="watch-search", placeholder="Search", size="xs", w=150, **aria(label="Search the watch list")
                    ),
                ],
                className="panel-head",
            ),
            html.Div(
                dmc.SegmentedControl(
                    id="class-select",
                    data=[{"value": EVERY, "label": "All"}, *_CLASSES],
                    value=EVERY,
                    size="xs",
                    fullWidth=True,
                    **aria(label="Asset class"),
                ),
                className="panel-row",
            ),
            html.Div(
                dmc.TextInput(
                    id="screen-text",
                    placeholder="Filter, such as: signal is BUY and rsi < 30 %",
                    size="xs",
                    debounce=True,
                    **aria(label="Filter the watch list by values, signals and features"),
                ),
                className="panel-row",
            ),
            html.P(id="screen-words", className="fine panel-row", role="status"),
            own_lists(),
            dag.AgGrid(
                id="watch",
                columnDefs=_COLUMNS,
                rowData=[],
                getRowId="params.data.symbol",
                # a cell shows more than its own value, so it must be drawn again even if that value is the same
                defaultColDef={
                    "sortable": True,
                    "resizable": True,
                    "suppressMovable": True,
                    "equals": {"function": "false"},
                },
                dashGridOptions={
                    **GRID,
                    "rowHeight": 46,
                    "headerHeight": 34,
                    "suppressCellFocus": False,
                    "localeText": dict.fromkeys(("noRowsToShow", "noMatchingRows"), _NONE),
                },
                className="watch-grid",
                style={"height": None, "width": "100%"},
            ),
        ],
        className="panel watch",
        **aria(labelledby="watch-title"),
    )


def _symbol() -> html.Section:
    return html.Section(
        [
            html.Div(id="symbol-head", className="symbol-head"),
            html.Div(
                [
                    dmc.Select(
                        id="symbol-select",
                        data=[],
                        searchable=True,
                        w=150,
                        size="sm",
                        allowDeselect=False,
                        **aria(label="Symbol"),
                    ),
                    dmc.SegmentedControl(
                        id="interval-select", data=["1d"], value="1d", size="sm", **aria(label="Interval")
                    ),
                    dmc.SegmentedControl(
                        id="bars-select",
                        data=[{"value": str(count), "label": _short(count)} for count in BAR_COUNTS],
                        value=str(DEFAULT_BARS),
                        size="sm",
                        **aria(label="Bars shown"),
                    ),
                    html.Span("bars", className="unit"),
                    dmc.TagsInput(
                        id="show-select",
                        data=[{"group": group, "items": texts} for group, texts in usual().items()],
                        value=[],
                        placeholder="Indicator, such as EMA 50",
                        maxTags=MOST,
                        limit=100,
                        maxDropdownHeight=360,
                        size="sm",
                        className="indicators",
                        **aria(label="Indicators"),
                    ),
                    beside(),
                    dmc.Switch(id="as-table", label="Table too", checked=False, size="sm"),
                ],
                className="controls",
            ),
            html.Div([drawing(), replay.bar(), layouts()], className="desk"),
            html.Div(id="symbol-notice"),
            html.Div(
                [
                    html.Figure([_chart(), html.Figcaption(id="candles-words", className="fine")]),
                    html.Div(id="bars-table"),
                    html.H2("Why?", className="section"),
                    html.Div(id="why"),
                    contributions.place(),
                    html.H2("Prediction", className="section"),
                    html.Dl(id="symbol-facts", className="facts"),
                    html.H2("Track record", className="section"),
                    html.Div(id="symbol-record"),
                    html.H2("Model", className="section"),
                    html.Div(id="model-card"),
                ],
                id="symbol-body",
            ),
        ],
        className="panel symbol",
    )


def _short(count: int) -> str:
    """``250``, ``100k``."""
    return str(count) if count < 10_000 else f"{count // 1_000}k"


def _chart() -> dcc.Graph:
    return dcc.Graph(
        id="candles",
        figure={"data": [], "layout": {"xaxis": {"visible": False}, "yaxis": {"visible": False}}},
        config={
            "displaylogo": False,
            "responsive": True,
            "scrollZoom": True,
            "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
        },
        style={"height": "var(--chart)"},  # the component's own height would override a class
    )
