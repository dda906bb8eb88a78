"""The model view: each market's champion with its figures, by symbol and by fold, and earlier versions."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
from dash import dcc, html

from dash_app import wording
from dash_app.charts.curves import reliability
from dash_app.charts.figures import importance, skill
from dash_app.charts.theme import Palette
from dash_app.data import champion
from dash_app.data.lake_reader import Snapshot
from dash_app.views import runs
from dash_app.views.model_card import card, market_in_words, verdict, waiting
from dash_app.views.parts import Children, plain_table
from financelake_assets.model.markets import NAME, Market
from financelake_assets.model.verdict import QUESTIONS

_MINUTES = "%Y-%m-%d %H:%M"

_ANSWERED = ("Predictable", "Accurate", "Tradable")

_STILL: Any = {"displayModeBar": False, "responsive": True}


def skeleton() -> html.Div:
    """The view without data."""
    return html.Div(
        [
            dcc.Store(id="model-seen"),
            html.Section([html.H1("Model"), html.Div(id="model-page")], className="panel pad"),
        ],
        className="single",
    )


def page(snapshot: Snapshot, colours: Palette) -> Children:
    """Everything about the champions: all markets beside each other, then each market by itself."""
    known = champion.champions(snapshot)
    if not known:
        return [html.Div([waiting(snapshot)], className="stack"), *_markets(snapshot)]
    return [
        *_markets(snapshot),
        *(part for name, record in known.items() for part in _market(snapshot, name, record, colours)),
        *_calibration(snapshot, colours),
        *_champions(snapshot),
        *runs.compared(snapshot),
        *_versions(snapshot),
    ]


def _markets(snapshot: Snapshot) -> Children:
    """What each market's model is worth; of a market without one, why and how far it is."""
    known, lacking = champion.champions(snapshot), champion.without_model(snapshot)
    if not known and not lacking:
        return []
    why = {**lacking, **snapshot.halted}
    body = [
        [
            market.interval,
            wording.count(_ahead(snapshot, market, known.get(market.name))),
            *_worth(snapshot, known.get(market.name), why.get(market.name, "")),
        ]
        for market in champion.markets(snapshot)
    ]
    names = ["Interval", "Bars ahead", "Model", "Verdict", "Skill", "95 % interval", "Bars judged"]
    caption = "The champion of each interval and horizon, judged on bars that it had not seen"
    return [
        html.H2("Markets", className="section"),
        plain_table(caption, names, body, ("Verdict",)),
        *(
            html.P(f"Search of settings for {market} bars: {how_far}.", className="fine")
            for market, how_far in snapshot.searches.items()
        ),
    ]


def _ahead(snapshot: Snapshot, market: Market, record: dict[str, Any] | None) -> int:
    """How many bars ahead a market's champion looks; without one, how many the first will look."""
    return (market.further or snapshot.settings.horizon) if record is None else int(record["horizon"])


def _worth(snapshot: Snapshot, record: dict[str, Any] | None, why: str) -> list[Any]:
    unknown = [wording.UNKNOWN] * 3
    if record is None:
        return [html.Span(why, className="long"), wording.UNKNOWN, *unknown]
    row = champion.metrics(snapshot, record["model_version"])
    earlier = record["model_version"] in champion.of_earlier_release(snapshot)
    version = html.Span(f"{record['model_version']} {why}", className="long") if why else record["model_version"]
    words = verdict(record["verdict"], earlier=earlier)[1]
    if row is None:
        return [version, words, *unknown]
    low, high = (wording.percent(row[name], 1, sign=True) for name in ("skill_low", "skill_high"))
    return [
        version,
        words,
        wording.percent(row["skill"], 2, sign=True),
        f"{low} to {high}",
        wording.count(row["rows"]),
    ]


def _market(snapshot: Snapshot, name: str, record: dict[str, Any], colours: Palette) -> Children:
    rows = snapshot.metrics.filter(pl.col("model_version") == record["model_version"])
    return [
        html.H2(f"The model of {market_in_words(name)}", className="section"),
        html.Div(card(snapshot, name), className="stack"),
        *_by_symbol(rows),
        *_by_fold(rows, colours),
        *_importance(record, colours),
    ]


def _by_symbol(rows: pl.DataFrame) -> Children:
    single = ~pl.col("symbol").str.starts_with(wording.POOLED)
    # first all together, then the classes, then each symbol
    holdout = rows.filter(pl.col("fold") == champion.HOLDOUT).sort(pl.col("symbol") != champion.ALL, single, "symbol")
    if holdout.is_empty():
        return []
    names = [
        "Symbol",
        "Bars",
        "R² price",
        "naive",
        "Predictable",
        "Accurate",
        "Tradable",
        "Skill",
        "95 % interval",
        "Direction",
        "commoner",
        "Brier",
        "coin",
        "Coverage",
        "QLIKE",
        "realised",
        "Gain of QLIKE",
    ]
    body = [
        [
            wording.scope(row["symbol"]),
            wording.count(row["rows"]),
            wording.number(row["r2_price"], 4),
            wording.number(row["r2_price_naive"], 4),
            *(champion.ANSWERS.get(row[name], row[name] or wording.UNKNOWN) for name in QUESTIONS),
            wording.percent(row["skill"], 2, sign=True),
            f"{wording.percent(row['skill_low'], 1, sign=True)} to {wording.percent(row['skill_high'], 1, sign=True)}",
            wording.percent(row["hit_rate"], 1),
            wording.percent(row["majority_rate"], 1),
            wording.number(row["brier"], 4),
            wording.number(row["brier_naive"], 4),
            wording.percent(row["coverage"], 1),
            wording.number(row["qlike"], 3),
            wording.number(row["qlike_naive"], 3),
            _gain(row),
        ]
        for row in holdout.to_dicts()
    ]
    caption = "The holdout: bars from each symbol's cut-off on, which no choice used. Skill is in expected moves."
    return [html.H2("By symbol", className="section"), plain_table(caption, names, body, _ANSWERED)]


def _gain(row: dict[str, Any]) -> str:
    """How much less the loss of the predicted volatility is, with its 95 % interval; an earlier release has none."""
    gain, low, high = (row.get(f"qlike_gain{end}") for end in ("", "_low", "_high"))
    if not wording.known(gain):
        return wording.UNKNOWN
    return f"{wording.number(gain, 3, sign=True)}: {wording.number(low, 3, sign=True)} to " + wording.number(
        high, 3, sign=True
    )


def _by_fold(rows: pl.DataFrame, colours: Palette) -> Children:
    folds = rows.filter(pl.col("symbol") == champion.ALL).sort("fold").to_dicts()
    if not folds:
        return []
    words = "; ".join(
        f"{champion.fold_name(row['fold'])} {wording.percent(row['skill'], 2, sign=True)}" for row in folds
    )
    return [
        html.H2("Skill over the naive forecast, fold by fold", className="section"),
        html.Figure(
            [
                dcc.Graph(figure=skill(folds, colours), config=_STILL, style={"height": "250px"}),
                html.Figcaption(
                    f"Walk-forward: a forest that was trained only on earlier bars predicts each fold. {words}.",
                    className="fine",
                ),
            ]
        ),
    ]


def _calibration(snapshot: Snapshot, colours: Palette) -> Children:
    """Calibration of the live confidence, of all versions together."""
    title = html.H2("Calibration: is the stated confidence right?", className="section")
    known = snapshot.calibration
    wanted = (pl.col("measure") == "confidence") & (pl.col("asset_class") == champion.ALL)
    rows = known.filter(wanted & pl.col("hit_rate").is_not_null()).sort("low").to_dicts() if len(known) else []
    if not rows:
        return [title, html.P("No live prediction has an outcome yet.", className="muted")]
    words = "; ".join(
        f"stated {wording.percent(row['stated'], 0)}, right {wording.percent(row['hit_rate'], 0)} of "
        f"{wording.count(row['predictions'])}"
        for row in rows
    )
    return [
        title,
        html.Figure(
            [
                dcc.Graph(figure=reliability(rows, colours), config=_STILL, style={"height": "300px"}),
                html.Figcaption(
                    f"Live predictions with a known outcome, with 95 % intervals: {words}. On the dashed line the "
                    "confidence equals the hit rate; a level line at 50 % means that the confidence says nothing.",
                    className="fine",
                ),
            ]
        ),
    ]


def _importance(record: dict[str, Any], colours: Palette) -> Children:
    weights = parse_weights(record["importance"])
    if not weights:
        return []
    words = ", ".join(f"{name} {wording.percent(weight, 0)}" for name, weight in weights[:5])
    return [
        html.H2("Most important features", className="section"),
        html.Figure(
            [
                dcc.Graph(
                    figure=importance(weights, colours),
                    config=_STILL,
                    style={"height": f"{60 + 24 * len(weights)}px"},
                ),
                html.Figcaption(
                    f"Share of the splits' gain, the largest first: {words}. It shows what the trees split on, not "
                    "what moves prices.",
                    className="fine",
                ),
            ]
        ),
    ]


def parse_weights(text: str | None, most: int = 12) -> list[tuple[str, float]]:
    """The most important features from the registry's JSON, the largest first; empty if the JSON is invalid."""
    try:
        stored = json.loads(text or "{}")
        weights = [(str(name), float(weight)) for name, weight in stored.items()]
    except (ValueError, AttributeError, TypeError):
        return []
    return sorted(weights, key=lambda item: -item[1])[:most]


def _champions(snapshot: Snapshot) -> Children:
    """Which version was the champion of its market at which time."""
    rows = snapshot.models.filter(pl.col("promoted_at").is_not_null()).sort("promoted_at", descending=True)
    ends = rows.with_columns(market=NAME).with_columns(until=pl.col("promoted_at").shift(1).over("market"))
    earlier = champion.of_earlier_release(snapshot)
    body: list[list[Any]] = [
        [
            row["model_version"],
            row["market"],
            wording.moment(row["promoted_at"], _MINUTES),
            "in use" if row["until"] is None else wording.moment(row["until"], _MINUTES),
            verdict(row["verdict"], earlier=row["model_version"] in earlier)[1],
        ]
        for row in ends.to_dicts()
    ]
    names = ["Champion", "Market", f"From ({wording.zone()})", f"Until ({wording.zone()})", "Verdict"]
    return [
        html.H2("Champions", className="section"),
        plain_table("Which version made the predictions", names, body, ("Verdict",)),
    ]


def _versions(snapshot: Snapshot) -> Children:
    earlier = champion.of_earlier_release(snapshot)
    names = [
        "Version",
        "Market",
        f"Trained ({wording.zone()})",
        "Status",
        "Verdict",
        "Bars seen",
        "Silver version",
        "Why",
    ]
    body = [
        [
            row["model_version"],
            row["market"],
            wording.moment(row["trained_at"], _MINUTES),
            row["status"] or wording.UNKNOWN,
            verdict(row["verdict"], earlier=row["model_version"] in earlier)[1],
            wording.count(row["silver_rows"]),
            wording.count(row["silver_version"]),
            html.Span(row["status_reason"] or "", className="long"),
        ]
        for row in snapshot.models.with_columns(market=NAME).sort("trained_at", descending=True).head(20).to_dicts()
    ]
    return [
        html.H2("Versions", className="section"),
        plain_table("The newest 20 versions, newest first", names, body, ("Verdict", "Status", "Why")),
    ]
