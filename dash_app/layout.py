"""The frame of every view: name, navigation, status, and the stores for callbacks."""

from __future__ import annotations

from collections.abc import Callable

import dash_mantine_components as dmc
from dash import dcc, html
from dash.development.base_component import Component

from dash_app import wording
from dash_app.preferences import CANDLES, NUMBERS, THEMES, chosen, zones
from dash_app.views import alerts, lake, market_frame, model, portfolio, signals, tour
from dash_app.views.parts import aria

LINKS = (
    ("market", "Market", "/"),
    ("signals", "Signals", "/signals"),
    ("portfolio", "Portfolio", "/portfolio"),
    ("model", "Model", "/model"),
    ("lake", "Lake", "/lake"),
    ("alerts", "Alerts", "/alerts"),
)


_PAUSE = "Keep what the page shows; new data wait (key p)"

BROWSER = "browser"
"""Means the time zone of the browser's machine."""

_DARK_SHADES = [
    *("#e8ebf0", "#c3cad5", "#9aa5b4", "#8792a3", "#3b4453"),
    *("#2a313d", "#1b212b", "#151a22", "#10141b", "#0d1117"),
]
"""The components' dark greys, from the text to the page colour of ``assets/style.css``."""


def frame() -> Component:
    """The page that is sent once; the views are loaded into it."""
    page: Component = dmc.MantineProvider(
        html.Div(
            [
                dcc.Location(id="url", refresh="callback-nav"),
                dcc.Store(id="stamp"),
                dcc.Store(id="scheme"),
                html.A("Skip to the content", href="#page", className="skip"),
                html.Header(
                    [
                        html.Div(
                            [html.Span("FinanceLake", className="brand"), html.Span("Pro", className="brand-tag")],
                            className="brand-box",
                        ),
                        html.Nav(id="navigation", **aria(label="Views")),
                        html.Div("Connecting …", id="status", className="status waiting"),
                        # the line above changes each second: a screen reader hears only what ``assets/lake.js`` says
                        html.Div(id="said", className="unseen", role="status"),
                        html.Button(
                            "Pause",
                            id="pause",
                            type="button",
                            className="button",
                            title=_PAUSE,
                            **aria(pressed="false"),
                        ),
                    ],
                    className="top",
                ),
                tour.invitation(),
                html.Main(
                    [
                        html.Div(id="banner", className="banners"),
                        html.Div(id="failure", className="failure", role="alert"),
                        html.Div(id="page", tabIndex=-1),
                    ]
                ),
                html.Footer([html.P(wording.DISCLAIMER), _help_button(), _choices()], className="fine"),
                _help(),
                tour.tour(),
            ],
            className="frame",
        ),
        defaultColorScheme="auto",
        forceColorScheme=None if chosen().theme == "system" else chosen().theme,
        theme={
            "fontFamily": "inherit",
            "primaryColor": "indigo",
            "defaultRadius": "md",
            "colors": {"dark": _DARK_SHADES},
        },
    )
    return page


SHORTCUTS = (
    ("1 to 6", "Market, Signals, Portfolio, Model, Lake, Alerts"),
    ("j, k", "next and previous symbol of the watch list"),
    ("/", "search"),
    ("f", "filter the watch list"),
    ("i", "add an indicator"),
    ("r", "begin or leave a replay"),
    (", and .", "one bar back and one on, in a replay"),
    ("p", "pause what the page shows, or go on"),
    ("?", "this sheet; Escape closes it"),
)
"""Keys and what they do; ``assets/lake.js`` acts on them."""


def _help_button() -> Component:
    return html.Button("Keyboard shortcuts", id="help-button", type="button", className="button")


def _help() -> Component:
    """The sheet of the keyboard shortcuts, closed."""
    keys = [part for key, meaning in SHORTCUTS for part in (html.Dt(html.Kbd(key)), html.Dd(meaning))]
    title = html.H2("Keyboard shortcuts", id="help-title")
    close = html.Button("Close", id="help-close", type="button", className="button")
    return html.Dialog([title, html.Dl(keys, className="keys"), close], id="help", **aria(labelledby="help-title"))


def _choices() -> Component:
    """The choice of time zone, number format and colours; the browser stores it."""
    mine = chosen()
    places = [{"value": BROWSER, "label": "This browser's time zone"}, *sorted(zones())]
    numbers = [{"value": name, "label": example} for name, example in NUMBERS.items()]
    return html.Div(
        [
            dmc.Select(
                id="zone-select",
                label="Times in",
                data=places,
                value=mine.zone,
                searchable=True,
                allowDeselect=False,
                limit=50,
                size="xs",
            ),
            dmc.Select(
                id="numbers-select",
                label="Numbers as",
                data=numbers,
                value=mine.numbers,
                allowDeselect=False,
                size="xs",
            ),
            *(
                dmc.Select(
                    id=f"{name}-select",
                    label=label,
                    data=[{"value": one, "label": words} for one, words in known.items()],
                    value=value,
                    allowDeselect=False,
                    size="xs",
                )
                for name, label, known, value in (
                    ("theme", "Colours", THEMES, mine.theme),
                    ("candles", "Candles", CANDLES, mine.candles),
                )
            ),
        ],
        className="choices",
    )


def navigation(view: str | None) -> list[Component]:
    """Links to the views; the current one is marked."""
    return [
        dcc.Link(label, href=href, className="current" if name == view else "", id=f"to-{name}")
        for name, label, href in LINKS
    ]


def page(view: str | None, dagster_url: str) -> Component:
    """The skeleton of a view."""
    skeletons: dict[str | None, Callable[[], Component]] = {
        "market": market_frame.skeleton,
        "signals": signals.skeleton,
        "portfolio": portfolio.skeleton,
        "model": model.skeleton,
        "lake": lambda: lake.skeleton(dagster_url),
        "alerts": alerts.skeleton,
    }
    return skeletons.get(view, _nowhere)()


def _nowhere() -> Component:
    return html.Div(
        [html.H1("There is no such page"), html.P(dcc.Link("Back to the market", href="/"))], className="panel notice"
    )
