"""The section that explains one bar's signal: what it was, what it was made of, and where each part came from."""

from __future__ import annotations

from urllib.parse import urlencode

from dash import dcc, html
from dash.development.base_component import Component

from dash_app import wording
from dash_app.data.why import Explanation, Feature
from dash_app.views.parts import Children, fact, plain_table, signal_chip
from financelake_assets.model.outputs import DISSIMILARITY

_HINT = "Choose a bar in the chart, or a line in Signals, to see what its signal was made of."
_MOST_UNUSUAL = 12


def section(found: Explanation | None, asked: bool, dagster_url: str) -> Children:
    """The explanation.

    Args:
        found: of the chosen bar.
        asked: whether a bar was chosen.
        dagster_url: where the lake's assets can be seen.
    """
    if found is None:
        gone = "This page does not have that bar: it keeps the newest 1,000 of a series."
        return [html.P(gone if asked else _HINT, className="muted")]
    return [
        _verdict(found),
        html.Dl(_origins(found, dagster_url), className="facts figures"),
        *_inputs(found),
    ]


def _verdict(found: Explanation) -> html.P:
    bar = wording.bar_time(found.bar["event_time"], found.interval)
    signal, made = found.signal, found.prediction
    if signal is None:
        return html.P([signal_chip(None), f" The bar {bar} has no signal."])
    expected = "" if made is None else f" Expected {wording.percent(made['predicted_return'], sign=True)}"
    confidence = f" with confidence {wording.percent(signal['confidence'], 0)}" if expected else ""
    reason = f" Withheld: {wording.hold_reason(signal['reason'])}." if signal["reason"] else ""
    unlike = _unlike(made.get(DISSIMILARITY)) if made else ""
    given = f" Given {wording.moment(signal['as_of'])} {wording.zone()} on the bar {bar}."
    told = f"{expected}{confidence}.{reason}{unlike}{given}" if expected else given
    return html.P([signal_chip(signal["signal"]), told])


def _unlike(dissimilarity: float | None) -> str:
    """How unlike what the model learnt the bar is; nothing of a model that does not tell it."""
    if dissimilarity is None:
        return ""
    return f" Dissimilarity {wording.number(dissimilarity, 2)}, where 1 is the limit of the training data."


def _origins(found: Explanation, dagster_url: str) -> list[Component]:
    bar, model = found.bar, found.model
    query = urlencode({"symbol": found.symbol, "interval": found.interval})
    first, last = (wording.bar_time(moment, found.interval) for moment in (found.first, bar["event_time"]))
    changed = "none of them changed since" if not found.corrected else f"{found.corrected} of them changed since"
    message = wording.UNKNOWN if bar["offset"] is None else f"offset {bar['offset']}"
    parts: list[Component] = [
        fact("Bars it used", f"{found.used}", f"{first} to {last}; {changed}"),
        fact(
            "Kafka message of the bar",
            message,
            f"{bar['topic']}, partition {bar['partition']}" if bar["topic"] else "the bar does not tell its topic",
        ),
        fact("Came", wording.moment(bar["ingested_at"]), f"{wording.zone()}, from {bar['provider']}"),
    ]
    if found.signal is not None:
        version = found.signal["model_version"]
        trained = (
            "not in the registry that this page reads"
            if model is None
            else f"trained {wording.moment(model['trained_at'], '%Y-%m-%d %H:%M')}, silver version "
            f"{model['silver_version']}"
        )
        parts.append(fact("Model", dcc.Link(version, href="/model"), trained))
    versions = [
        html.Span(
            [
                html.A(
                    table, href=f"{dagster_url}/assets/{table}", target="_blank", rel="noopener", className="origin"
                ),
                f" {wording.UNKNOWN if version is None else version}",
            ],
            className="origin-line",
        )
        for table, version in found.versions.items()
    ]
    parts.append(fact("Delta versions read", html.Span(versions), "each link leads to the asset in Dagster"))
    answers = [
        html.A(name, href=f"/api/v1/{name}?{query}", target="_blank", rel="noopener", className="origin-line")
        for name in ("bars", "predictions", "signals")
    ]
    parts.append(fact("Rows by the API", html.Span(answers), "the newest of this series"))
    return parts


def _inputs(found: Explanation) -> Children:
    """The features, the most unusual first."""
    if not found.features:
        return [html.P("The bars before it are too few for its features.", className="muted")]
    ordered = sorted(found.features, key=_unusual, reverse=True)
    body = [
        [one.name.replace("_", " "), wording.number(one.value, 4), wording.percent(one.above, 0)] for one in ordered
    ]
    names = ["Feature", "Value", "Higher than so many of the 250 bars before"]
    return [
        plain_table("What the model saw, the most unusual for this symbol first", names, body[:_MOST_UNUSUAL]),
        html.Details([html.Summary("The other features"), plain_table("", names, body[_MOST_UNUSUAL:])]),
        html.P(
            "Computed by the model's own code from the bars as they are now. An unusual value need not be the reason.",
            className="fine",
        ),
    ]


def _unusual(one: Feature) -> float:
    return -1.0 if one.above is None else abs(one.above - 0.5)
