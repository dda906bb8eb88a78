"""What a visitor draws with, measures with and keeps: the tools of the chart, named layouts, own watch lists.

``assets/chart.js`` and ``assets/desk.js`` act on them and keep everything in the browser's storage.
"""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import html

from dash_app.address import MOST_BESIDE, MOST_NAMES
from dash_app.views.parts import aria

TOOLS = (
    ("line", "Line", "Draw a line"),
    ("level", "Level", "Draw a horizontal line at a price"),
    ("box", "Box", "Draw a box"),
    ("measure", "Measure", "Drag: the change in price and percent, the bars and the time"),
)


def drawing() -> html.Div:
    """The tools; one that is pressed is in hand until something is drawn."""
    buttons = [
        html.Button(words, type="button", title=title, className="button tool", **aria(pressed="false"),
                    **_tool(name))
        for name, words, title in TOOLS
    ]  # fmt: skip
    last = html.Button("Undo", id="tool-undo", type="button", title="Remove the newest drawing", className="button")
    clear = html.Button("Clear", id="tool-clear", type="button", title="Remove all drawings here", className="button")
    words = html.Span(id="tool-words", className="fine", role="status")
    return html.Div([*buttons, last, clear, words], className="tools", role="toolbar", **aria(label="Drawing tools"))


def _tool(name: str) -> dict[str, Any]:
    return {"data-tool": name}


def beside() -> dmc.MultiSelect:
    """The symbols to compare with, in percent."""
    return dmc.MultiSelect(
        id="beside-select",
        data=[],
        value=[],
        placeholder="Compare with",
        searchable=True,
        clearable=True,
        maxValues=MOST_BESIDE,
        size="sm",
        className="beside-select",
        **aria(label="Symbols to compare with, in percent"),
    )


def layouts() -> html.Details:
    """Named layouts: the address without its symbol, and the drawings."""
    return html.Details(
        [
            html.Summary("Layouts"),
            _named("layout", "Save this layout"),
            html.P(
                "A layout keeps bars, indicators, symbols beside, filter and drawings in this browser. The address "
                "of the page has everything but the drawings.",
                className="fine",
            ),
        ],
        className="kept",
    )


def own_lists() -> html.Details:
    """Watch lists by name."""
    return html.Details(
        [
            html.Summary("Own lists"),
            dmc.MultiSelect(
                id="list-select",
                data=[],
                value=[],
                placeholder="Symbols of the list; empty means all",
                searchable=True,
                clearable=True,
                maxValues=MOST_NAMES,
                size="xs",
                **aria(label="Symbols of your own watch list"),
            ),
            _named("list", "Save this list"),
            html.P("Kept in this browser by name. The address has the symbols: copy it to share a list.",
                   className="fine"),
        ],
        className="kept panel-row",
    )  # fmt: skip


def _named(kind: str, save: str) -> html.Div:
    """A field for a name, a button, and the names that are kept, which the browser fills in."""
    field = dmc.TextInput(id=f"{kind}-name", placeholder="Name", size="xs",
                          **aria(label=f"Name of the {kind}"))  # fmt: skip
    button = html.Button(save, id=f"{kind}-save", type="button", className="button")
    return html.Div([html.Div([field, button], className="choices"), html.Ul(id=f"{kind}-kept", className="names")])
