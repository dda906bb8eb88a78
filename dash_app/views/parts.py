"""Small parts of several views: cards, chips, notices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import html
from dash.development.base_component import Component

from dash_app import wording

Children = list[Component | str]

_GRID_THEME = {
    "function": "themeQuartz.withParams({backgroundColor:'var(--surface)',foregroundColor:'var(--ink)',"
    "borderColor:'var(--line)',headerBackgroundColor:'var(--surface)',headerTextColor:'var(--muted)',"
    "rowHoverColor:'var(--hover)',selectedRowBackgroundColor:'var(--selected)',accentColor:'var(--accent)',"
    "chromeBackgroundColor:'var(--surface)',fontFamily:'inherit',fontSize:13,headerFontWeight:500,"
    "browserColorScheme:'inherit',wrapperBorder:false,wrapperBorderRadius:0,spacing:6,cellHorizontalPadding:10,columnBorder:false})"
}
"""The grids in the page's own colours, which follow the colour scheme."""
GRID = {
    "theme": _GRID_THEME,
    "rowSelection": {"mode": "singleRow", "checkboxes": False, "enableClickSelection": True},
    "animateRows": False,
    # draw all columns at once, because there are few: by default a grid draws only those that it has room for. During
    # layout its header would have too few cells or none, which a screen reader would announce
    "suppressColumnVirtualisation": True,
}
"""The common options of every grid."""


def aria(**attributes: str) -> dict[str, Any]:
    """Accessibility attributes; their names contain a hyphen, which Python names cannot."""
    return {f"aria-{name}": value for name, value in attributes.items()}


def notice(title: str, text: str, *, kind: str = "waiting", role: str = "status", alone: bool = False) -> html.Div:
    """A notice instead of data: what is missing and what it waits for; ``alone`` makes its title that of the page."""
    heading = html.H1(title) if alone else html.H2(title)
    return html.Div(
        [html.Div(className=f"notice-mark {kind}", **aria(hidden="true")), heading, html.P(text)],
        className="notice",
        role=role,
    )


class Element(Component):
    """An HTML element that changes with each bar: a component of the library takes ten times as long to make and send.

    Args:
        kind: such as ``Div``.
        children: text, or other elements and components.
        properties: by the names of ``dash.html``; nothing checks them.
    """

    def __init__(self, kind: str, children: Any, **properties: str) -> None:
        self.children = children
        self._plain = {
            "type": kind,
            "namespace": "dash_html_components",
            "props": {"children": children, **properties},
        }

    def to_plotly_json(self) -> dict[str, Any]:
        """As Dash sends it."""
        return self._plain

    def __repr__(self) -> str:
        return f"{self._plain['type']}({self._plain['props']})"


def signal_chip(signal: str | None) -> Element:
    """BUY, SELL or HOLD as shape, word and colour."""
    if signal not in wording.SIGNAL_SHAPES:
        return Element("Span", "no signal yet", className="chip none")
    shape = Element("Span", f"{wording.SIGNAL_SHAPES[signal]} ", **aria(hidden="true"))
    return Element("Span", [shape, signal], className=f"chip {signal.lower()}")


def fact(label: str, value: str | Component, note: str = "", *, beside: str = "") -> Element:
    """One labelled figure; ``beside`` is what to compare it with, such as its interval."""
    compared = [Element("Dd", beside, className="beside")] if beside else []
    told = [Element("Dt", label), Element("Dd", value, className="value")]
    return Element("Div", [*told, *compared, Element("Dd", note, className="note")], className="fact")


def plain_table(
    caption: str, names: Sequence[str], body: Sequence[Sequence[str | Component]], words: tuple[str, ...] = ()
) -> html.Div:
    """A table for reading; it scrolls by itself if it is wider than the window.

    Args:
        caption: what it shows.
        names: the column headers.
        body: its rows; the first cell is the row's header.
        words: the headers of columns with text instead of numbers.
    """
    kinds = ["words" if name in words else "" for name in names]
    return html.Div(
        html.Table(
            [
                html.Caption(caption),
                html.Thead(
                    html.Tr(
                        [html.Th(name, scope="col", className=kind) for name, kind in zip(names, kinds, strict=True)]
                    )
                ),
                html.Tbody([_line(row, kinds) for row in body]),
            ]
        ),
        className="scroll",
        tabIndex=0,
    )


def _line(row: Sequence[str | Component], kinds: list[str]) -> html.Tr:
    cells = [html.Td(cell, className=kind) for cell, kind in zip(row[1:], kinds[1:], strict=True)]
    return html.Tr([html.Th(row[0], scope="row"), *cells])
