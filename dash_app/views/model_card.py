"""The model's card: description, quality beside the naive forecast, and the verdict in words."""

from __future__ import annotations

from dash import html

from dash_app import wording
from dash_app.data import champion
from dash_app.data.lake_reader import Snapshot
from dash_app.views.parts import Children, notice

VERDICTS = {
    "edge": ("better", "It predicts a part of the next return"),
    "no edge": ("same", "It predicts nothing of the next return"),
    "worse": ("worse", "It predicts the opposite of the next return"),
    "not enough data": ("same", "Too few bars for a verdict"),
}
"""The registry's verdict on a version, as a CSS class and a sentence."""

_MEANINGS = {
    "edge": "Beyond chance, on unseen bars. Whether its errors are small and whether a trade earns anything are "
    "separate questions.",
    "no edge": "On unseen bars, it shows nothing beyond chance. Its intervals can still be right.",
    "worse": "Beyond chance, on unseen bars: its directions were wrong more often than those of a coin.",
    "not enough data": "There are too few unseen bars for a verdict.",
}


def card(snapshot: Snapshot, symbol: str = champion.ALL) -> Children:
    """The champion's figures over all symbols or one; a notice if there is no champion."""
    record = champion.champion(snapshot)
    if record is None:
        return [_waiting(snapshot)]
    row = champion.metrics(snapshot, record["model_version"], symbol)
    scope = "all symbols" if symbol == champion.ALL else symbol
    if row is None:
        return [notice("No figures yet", f"The model {record['model_version']} was not evaluated on {scope}.")]
    kind, words = VERDICTS.get(row["verdict"], ("same", row["verdict"] or "No verdict"))
    trained = (
        f"trained {wording.moment(record['trained_at'], '%Y-%m-%d %H:%M')} {wording.zone()}"
        if record["trained_at"]
        else ""
    )
    return [
        html.P(html.Strong(words, className=f"verdict {kind}")),
        html.P(_MEANINGS.get(row["verdict"], ""), className="muted"),
        html.Dl([_figure(one) for one in champion.figures(row)], className="facts figures"),
        html.P(
            f"Random forest {record['model_version']}, {trained} on {wording.count(record['silver_rows'])} bars "
            f"(silver version {record['silver_version']}); evaluated on {wording.count(row['rows'])} later bars of "
            f"{scope} that it had not seen.",
            className="fine",
        ),
    ]


def _figure(one: champion.Figure) -> html.Div:
    return html.Div(
        [
            html.Dt(one.name),
            html.Dd(one.value, className="value"),
            html.Dd(one.beside, className="beside"),
            html.Dd(one.meaning, className="note"),
        ],
        className="fact",
    )


def _waiting(snapshot: Snapshot) -> html.Div:
    if snapshot.bars.state != "ready":
        return notice("No model yet", "The lake trains a model when there are enough bars.")
    rows = wording.count(snapshot.bars.rows)
    if snapshot.models.height:
        return notice("No champion", "There are trained models, but none is in use: no predictions, no signals.")
    return notice(
        "The model is being trained",
        f"{rows} bars have arrived. The lake trains a first random forest when the history is loaded, and evaluates "
        "it on unseen bars.",
    )
