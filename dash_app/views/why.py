"""The section that explains one bar's signal: what it was, what it was made of, and where each part came from."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import urlencode

from dash import dcc, html
from dash.development.base_component import Component

from dash_app import wording
from dash_app.data.why import Explanation, Feature
from dash_app.views.parts import Children, fact, plain_table, signal_chip
from financelake_assets.model.markets import Market
from financelake_assets.model.outputs import DISSIMILARITY

_HINT = "Choose a bar in the chart, or a line in Signals, to see what its signal was made of."
_MOST_UNUSUAL = 12
_FOREST = "model/random_forest"
"""The asset whose runs train models, one partition an interval."""


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
    at: datetime = bar["event_time"]
    span = {"start": f"{at:%Y-%m-%dT%H:%M:%SZ}", "end": f"{at + timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"}
    query = urlencode({"symbol": found.symbol, "interval": found.interval, **span})
    first, last = (wording.bar_time(moment, found.interval) for moment in (found.first, bar["event_time"]))
    changed = "none of them changed since" if not found.corrected else f"{found.corrected} of them changed since"
    offset = wording.UNKNOWN if bar["offset"] is None else f"offset {bar['offset']}"
    message: Component = html.Span(offset)
    topic = "the bar does not tell its topic"
    if bar["topic"]:
        message = _abroad(offset, f"{dagster_url}/assets/{bar['topic'].replace('.', '/')}")
        topic = f"{bar['topic']}, partition {bar['partition']}; the link leads to the topic in Dagster"
    parts: list[Component] = [
        fact("Bars it used", f"{found.used}", f"{first} to {last}; {changed}"),
        fact("Kafka message of the bar", message, topic),
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
        market = Market(found.interval).name
        training = f"{dagster_url}/assets/{_FOREST}?{urlencode({'view': 'events', 'partition': market})}"
        note = f"the event with the data version {version} names its run"
        parts.append(fact("Training runs in Dagster", _abroad(f"trainings of {market}", training), note))
    versions = [
        html.Span(
            [
                _abroad(table, f"{dagster_url}/assets/{table}"),
                f" {wording.UNKNOWN if version is None else version}",
            ],
            className="origin-line",
        )
        for table, version in found.versions.items()
    ]
    parts.append(fact("Delta versions read", html.Span(versions), "each link leads to the asset in Dagster"))
    answers = [
        html.Span(_abroad(name, f"/api/v1/{name}?{query}"), className="origin-line")
        for name in ("bars", "predictions", "signals")
    ]
    parts.append(fact("Rows by the API", html.Span(answers), "of this bar, as they are now"))
    return parts


def _abroad(words: str, href: str) -> html.A:
    """A link that leaves the page as it is."""
    return html.A(words, href=href, target="_blank", rel="noopener")


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
