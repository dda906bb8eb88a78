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


def notice(title: str, text: str, *, kind: str = "waiting", role: str = "status") -> html.Div:
    """A notice instead of data: what is missing and what it waits for."""
    return html.Div(
        [html.Div(className=f"notice-mark {kind}", **aria(hidden="true")), html.H3(title), html.P(text)],
        className="notice",
        role=role,
    )


def signal_chip(signal: str | None) -> html.Span:
    """BUY, SELL or HOLD as shape, word and colour."""
    if signal not in wording.SIGNAL_SHAPES:
        return html.Span("no signal yet", className="chip none")
    shape = html.Span(f"{wording.SIGNAL_SHAPES[signal]} ", **aria(hidden="true"))
    return html.Span([shape, signal], className=f"chip {signal.lower()}")


def fact(label: str, value: str | Component, note: str = "", *, beside: str = "") -> html.Div:
    """One labelled figure; ``beside`` is what to compare it with, such as its interval."""
    compared = [html.Dd(beside, className="beside")] if beside else []
    return html.Div(
        [html.Dt(label), html.Dd(value, className="value"), *compared, html.Dd(note, className="note")],
        className="fact",
    )


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
