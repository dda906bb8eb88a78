"""The replay's controls, and what a replay does not show."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dash_app import wording
from dash_app.data.replay import last_start
from dash_app.views.parts import Children, aria, notice

SPEEDS = (1, 2, 5, 10)
"""Bars a second."""


def bar() -> html.Div:
    """The button that begins a replay, and what moves one; ``state`` tells which of them shows."""
    begin = _button("replay-start", "Replay", "Show the lake as of a past bar, and play on from there (key r)")
    speeds = html.Select([html.Option(str(one), value=str(one)) for one in SPEEDS], id="replay-speed")
    go = dcc.Input(id="replay-go", type="text", debounce=True, value="", placeholder="2013-01-28", className="search")
    playing = html.Div(
        [
            html.Strong("Replay", className="tag"),
            html.Span(id="replay-words", role="status"),
            _button("replay-back", "◂ Back", "One bar back (key ,)"),
            html.Button("▶ Play", id="replay-play", type="button", className="button", **aria(pressed="false")),
            _button("replay-step", "Step ▸", "One bar on (key .)"),
            html.Label(["Bars a second ", speeds], className="inline"),
            html.Label(["Go to ", go], className="inline"),
            _button("replay-live", "Leave", "Back to the newest bar (key r)"),
            html.P(
                "No later bar, signal or outcome is shown. A click on a bar goes there. Corrections that came later "
                "are in the bars.",
                className="fine",
            ),
        ],
        id="replay-on",
        className="replay",
        hidden=True,
    )
    return html.Div([begin, playing], id="replay-bar")


def state(moment: datetime | None, interval: str) -> dict[str, dict[str, Any]]:
    """The properties of the controls, by their id, at a moment or without a replay."""
    words = ""
    if moment is not None:
        words = f"as of the bar {wording.bar_time(last_start(moment, interval), interval)} {wording.zone(interval)}"
    return {
        "replay-start": {"hidden": moment is not None},
        "replay-on": {"hidden": moment is None},
        "replay-words": {"children": words},
    }


def _button(name: str, words: str, title: str) -> Component:
    return html.Button(words, id=name, type="button", className="button", title=title)


def missing(symbol: str | None) -> html.Div:
    """Why a replay has no chart."""
    return notice(
        "Nothing is known yet",
        f"No bar of {symbol} had ended by the time of the replay. Step on, or leave the replay.",
        alone=True,
    )


def no_model() -> Children:
    """Instead of the champion, which has learnt from later bars."""
    text = "A replay does not show it: the model of today has learnt from later bars, and was judged on them."
    return [html.P(text, className="muted")]
