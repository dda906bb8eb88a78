"""Small parts that several views use: cards, chips, notices."""

from __future__ import annotations

from typing import Any

from dash import html
from dash.development.base_component import Component

from dash_app import wording

Children = list[Component | str]


def aria(**attributes: str) -> dict[str, Any]:
    """Accessibility attributes, which have a hyphen that Python's names cannot have."""
    return {f"aria-{name}": value for name, value in attributes.items()}


def notice(title: str, text: str, *, kind: str = "waiting", role: str = "status") -> html.Div:
    """A designed state instead of data: what is missing and what it waits for."""
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


def fact(label: str, value: str | Component, note: str = "") -> html.Div:
    """One labelled figure."""
    return html.Div(
        [html.Dt(label), html.Dd(value, className="value"), html.Dd(note, className="note")], className="fact"
    )
