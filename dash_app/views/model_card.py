"""A model's card: description, quality beside the naive forecast, and the verdict in words."""

from __future__ import annotations

from dash import html

from dash_app import wording
from dash_app.data import champion
from dash_app.data.lake_reader import Snapshot
from dash_app.views.parts import Children, notice, plain_table
from financelake_assets.model import overfitting
from financelake_assets.model.verdict import QUESTIONS

_VERDICTS = {
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
    "worse": "Beyond chance, on unseen bars: the price went against its predictions, and against large ones most.",
    "not enough data": "There are too few unseen bars for a verdict.",
}


_LEARNERS = {"linear": "Linear model (ridge)", "boosted": "Gradient-boosted trees"}

_EARLIER = "Its verdict is on squared errors of the price. The next training asks three questions instead."


def verdict(word: str | None, *, earlier: bool = False) -> tuple[str, str]:
    """A version's verdict as a CSS class and in words; an earlier release asked another question."""
    if earlier:
        return "same", f"Judged by an earlier release: {word or 'no verdict'}"
    return _VERDICTS.get(word or "", ("same", word or "No verdict"))


def market_in_words(name: str) -> str:
    """A market for people: ``1d bars``, or ``1d bars, 5 ahead`` of a further horizon."""
    interval, _, further = name.partition("+")
    return f"{interval} bars, {further} ahead" if further else f"{interval} bars"


def card(snapshot: Snapshot, market: str, symbol: str = champion.ALL) -> Children:
    """The figures of a market's champion over all symbols or one; a notice if it has no champion.

    Args:
        snapshot: the lake.
        market: its name, which is the interval where its predictions become signals.
        symbol: over which.
    """
    record = champion.champions(snapshot).get(market)
    if record is None:
        return [waiting(snapshot, market)]
    row = champion.metrics(snapshot, record["model_version"], symbol)
    scope = "all symbols" if symbol == champion.ALL else symbol
    if row is None:
        return [notice("No figures yet", f"The model {record['model_version']} was not evaluated on {scope}.")]
    earlier = record["model_version"] in champion.of_earlier_release(snapshot)
    kind, words = verdict(row["verdict"], earlier=earlier)
    meaning = _EARLIER if earlier else _MEANINGS.get(row["verdict"], "")
    trained = (
        f"trained {wording.moment(record['trained_at'], '%Y-%m-%d %H:%M')} {wording.zone()}"
        if record["trained_at"]
        else ""
    )
    halted = snapshot.halted.get(market)
    return [
        *([] if halted is None else [notice("A plug-in halts it", f"It {halted}")]),
        html.P(html.Strong(words, className=f"verdict {kind}")),
        html.P(meaning, className="muted"),
        html.Dl([_figure(one) for one in champion.figures(row)], className="facts figures"),
        *_beside(champion.learner(record), row, champion.beside(snapshot, record["model_version"], symbol)),
        html.P(
            f"{champion.learner(record)} {record['model_version']} of {market_in_words(market)}, {trained} on "
            f"{wording.count(record['silver_rows'])} bars (silver version {record['silver_version']}); evaluated on "
            f"{wording.count(row['rows'])} later bars of {scope} that it had not seen.",
            className="fine",
        ),
        *_overfitting(record),
    ]


def _overfitting(record: champion.Row) -> Children:
    """Whether the best of the strategies that were tried is more than the luckiest; an earlier release did not ask."""
    found = overfitting.parse(record.get("overfitting"))
    return [] if found is None else [html.P(found.sentence, className="fine")]


def _beside(own: str, row: champion.Row, baselines: list[champion.Row]) -> Children:
    """The forest, or the model of a plug-in, beside the other learners."""
    if not baselines:
        return []
    body = [[name, *_answers(one)] for name, one in ((own, row), *map(_named, baselines))]
    return [
        plain_table(
            "Other learners of the same inputs, judged on the same bars; none of them gives signals",
            ["Learner", "Predictable", "Accurate", "Tradable", "Skill", "95 % interval", "Over the forest"],
            body,
            ("Predictable", "Accurate", "Tradable"),
        )
    ]


def _named(one: champion.Row) -> tuple[str, champion.Row]:
    return _LEARNERS.get(one["baseline"], str(one["baseline"])), one


def _answers(row: champion.Row) -> list[str]:
    low, high = (wording.percent(row[name], 1, sign=True) for name in ("skill_low", "skill_high"))
    return [
        *(champion.ANSWERS.get(row[name], row[name] or wording.UNKNOWN) for name in QUESTIONS),
        wording.percent(row["skill"], 2, sign=True),
        f"{low} to {high}",
        wording.percent(row["over_forest"], 2, sign=True) if "over_forest" in row else "",
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


def waiting(snapshot: Snapshot, market: str | None = None) -> html.Div:
    """Why a market has no champion, and how far it is; without a market, why the lake has none at all."""
    if snapshot.bars.state != "ready":
        return notice("No model yet", "The lake trains a model when there are enough bars.")
    if market is not None:
        why = snapshot.halted.get(market) or champion.without_model(snapshot).get(market, "no bars have come")
        return notice(f"No model of {market_in_words(market)}", f"{why[0].upper()}{why[1:]}.")
    rows = wording.count(snapshot.bars.rows)
    if snapshot.models.height:
        return notice("No champion", "There are trained models, but none is in use: no predictions, no signals.")
    return notice(
        "The models are being trained",
        f"{rows} bars have arrived. The lake trains a first random forest for each interval when its history is "
        "loaded, and evaluates it on unseen bars.",
    )
