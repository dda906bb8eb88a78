"""The tour for a first visit: an invitation that blocks nothing, and five steps in a dialog."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from dash_app.views.parts import aria

STEPS = (
    ("The watch list", "It has every symbol of this lake with its newest price, signal and confidence. Choose one, or "
     "go through them with j and k. Its filter understands: signal is BUY and rsi < 30 %"),
    ("The chart", "Drag it to see older bars, and turn the wheel to zoom. Press i to add an indicator, such as EMA 50. "
     "Lines and measures that you draw stay in this browser."),
    ("Why a signal", "Click a bar, or a line in Signals. Below the chart you see what the signal was made of, and how "
     "similar bars went."),
    ("The past, as it was", "Press r to replay: the page shows the lake as of a past bar, and nothing later."),
    ("Honest numbers", "Every figure of the model stands beside the naive forecast with its interval. A forecast that "
     "is no better says so."),
)  # fmt: skip
"""Titles and texts, in order."""


def invitation() -> html.Aside:
    """A line that shows until the tour was taken or declined; ``assets/desk.js`` knows."""
    return html.Aside(
        [
            html.Span("New here? A tour has five short steps."),
            html.Button("Take the tour", id="tour-begin", type="button", className="button"),
            html.Button("Not now", id="tour-decline", type="button", className="button"),
        ],
        id="tour-offer",
        className="offer",
        hidden=True,
        **aria(label="Tour for a first visit"),
    )


def tour() -> Component:
    """The steps, of which one shows."""
    steps = [
        html.Section(
            [html.H2(f"{number} of {len(STEPS)}: {title}"), html.P(text)],
            className="tour-step",
            hidden=number > 1,
        )
        for number, (title, text) in enumerate(STEPS, 1)
    ]
    buttons = [
        html.Button(words, id=f"tour-{name}", type="button", className="button")
        for name, words in (("back", "Back"), ("next", "Next"), ("close", "Close"))
    ]
    return html.Dialog([*steps, html.Div(buttons, className="choices")], id="tour", **aria(label="Tour"))
