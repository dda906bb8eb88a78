"""The model's card: what it is, how good it is beside the naive forecast, and the verdict in words."""

from __future__ import annotations

from dash import html

from dash_app import wording
from dash_app.data import champion
from dash_app.data.lake_reader import Snapshot
from dash_app.views.parts import Children, notice

VERDICTS = {
    "edge": ("better", "It says something of the next return"),
    "no edge": ("same", "It says nothing of the next return"),
    "worse": ("worse", "It says the opposite of the next return"),
    "not enough data": ("same", "Too few bars to tell"),
}
"""What the registry says of a version, as a word for the style and a sentence."""

_MEANINGS = {
    "edge": "Beyond chance, on bars that it had not seen. Whether its errors are smaller and whether a trade earns "
    "anything are questions of their own.",
    "no edge": "Nothing that could not be chance, on bars that it had not seen. Its intervals can still be right.",
    "worse": "Beyond chance, on bars that it had not seen: whoever believed it was wrong more often than a coin.",
    "not enough data": "There are too few bars that it had not seen to say more.",
}


def card(snapshot: Snapshot, symbol: str = champion.ALL) -> Children:
    """The champion's figures over all symbols or one; a notice while there is no champion."""
    record = champion.champion(snapshot)
    if record is None:
        return [_waiting(snapshot)]
    row = champion.metrics(snapshot, record["model_version"], symbol)
    scope = "all symbols" if symbol == champion.ALL else symbol
    if row is None:
        return [notice("No figures yet", f"The model {record['model_version']} was not evaluated on {scope}.")]
    kind, words = VERDICTS.get(row["verdict"], ("same", row["verdict"] or "Not judged"))
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
            f"(silver version {record['silver_version']}); judged on {wording.count(row['rows'])} later bars of "
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
        return notice("No model yet", "It will be trained when there are bars to learn from.")
    rows = wording.count(snapshot.bars.rows)
    if snapshot.models.height:
        return notice("No champion", "Models were trained, but none is in use. Predictions and signals are withheld.")
    return notice(
        "The model is being trained",
        f"{rows} bars have arrived. A first random forest is trained as soon as the history is loaded, then "
        "evaluated on bars that it has not seen.",
    )
