"""How much each input contributed to the prediction of a chosen bar, on request: it takes about a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dash import html

from dash_app import wording
from dash_app.views.parts import Children, aria, plain_table
from financelake_assets.errors import FinanceLakeError

if TYPE_CHECKING:
    from financelake_assets.gold.explain import Explained

QUESTION = "How much did each input count?"
"""The text of the button."""

_MOST = 12


def place() -> html.Div:
    """The button, and the room for the answer."""
    return html.Div(
        [
            html.Button(QUESTION, id="parts-ask", className="button", hidden=True),
            html.Div(id="parts", **aria(live="polite")),
        ]
    )


def section(found: Explained) -> Children:
    """The parts of a prediction, the largest first, and their sum."""
    shown, others = found.parts[:_MOST], found.parts[_MOST:]
    body = [["nothing known", "", _share(found.base)]]
    body += [[one.name.replace("_", " "), wording.number(one.value, 4), _share(one.contribution)] for one in shown]
    if others:
        body.append([f"{len(others)} others", "", _share(sum(one.contribution for one in others))])
    body.append(["predicted return", "", _share(found.predicted_return)])
    then = f" Bars were corrected since: the prediction that was made then is {_share(found.stored_return)}."
    return [
        plain_table(f"What each input added to the prediction of {found.model_version}", _NAMES, body),
        html.P(
            "Shapley values of the forest: they add up to its prediction, and explain the model and not the market."
            + ("" if found.made_of_these_bars else then),
            className="fine",
        ),
    ]


def failed(error: FinanceLakeError) -> Children:
    """Why there is no answer."""
    return [html.P(f"{error} {error.remedy}".strip(), className="muted")]


_NAMES = ("Input", "Value", "Adds")


def _share(log_return: float) -> str:
    return wording.percent(log_return, 4, sign=True)
