"""The champion of each market and its quality, from the registry's tables.

Input: a ``Snapshot``. Output: a champion's record and its out-of-sample figures, each beside that of the naive
forecast, which is the last close; of a market without one, how far it is.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from dash_app import wording
from dash_app.data.lake_reader import Snapshot
from financelake_assets.model.markets import Market, of_interval, of_version, wanted
from financelake_assets.model.overview import overview
from financelake_assets.model.readiness import survey

Row = dict[str, Any]
ALL = "ALL"
HOLDOUT = 0
ANSWERS = {"edge": "yes", "no edge": "no", "worse": "worse", "not enough data": "too little data"}
"""The word for an answer to one of the three questions."""


@dataclass(frozen=True)
class Figure:
    """One figure of the model: its value, a value to compare it with, and its meaning."""

    name: str
    value: str
    beside: str
    meaning: str


def champions(snapshot: Snapshot) -> dict[str, Row]:
    """By the name of the market, the row of the champion, the version promoted last; the shortest bars first."""
    return snapshot.once("champions", lambda: _champions(snapshot))


def _champions(snapshot: Snapshot) -> dict[str, Row]:
    models = snapshot.models
    if models.is_empty():
        return {}
    promoted = models.filter(pl.col("promoted_at").is_not_null()).sort("promoted_at")
    found = {_market_of(row): row for row in promoted.to_dicts()}
    return {market.name: found[market] for market in wanted(snapshot.settings, found)}


def _market_of(row: Row) -> Market:
    return of_version(row["model_version"], row["interval"], row["horizon"])


def markets(snapshot: Snapshot) -> list[Market]:
    """Every market that has a champion or bars, that of the shortest bars first."""
    without = without_model(snapshot)
    lacking = (market for market in _lacking(snapshot) if market.name in without)
    return sorted({*map(_market_of, champions(snapshot).values()), *lacking}, key=lambda market: market.order)


def leading(snapshot: Snapshot) -> Row | None:
    """The champion to tell of where one is asked for: of the settings' interval, or else the one promoted last."""
    # the market whose predictions become signals has the name of its interval
    found = {name: row for name, row in champions(snapshot).items() if name == row["interval"]}
    last = max(found.values(), key=lambda row: row["promoted_at"], default=None)
    return found.get(snapshot.settings.interval, last)


def without_model(snapshot: Snapshot) -> dict[str, str]:
    """By name, why a market with bars has no champion and how far it is from one, in words; maybe a little old."""
    return snapshot.once("markets without a model", lambda: _without_model(snapshot))


def unscored(snapshot: Snapshot, interval: str) -> str:
    """What a bar without a signal waits for, in a sentence."""
    if interval in champions(snapshot):
        return "Its signal is being made."
    why = without_model(snapshot).get(interval, "no model: no bars have come")
    return f"{why[0].upper()}{why[1:]}."


def _lacking(snapshot: Snapshot) -> frozenset[Market]:
    known, there = champions(snapshot), {interval for _, interval in snapshot.bars.groups}
    every = (market for interval in there for market in of_interval(interval, snapshot.settings))
    return frozenset(market for market in every if market.name not in known)


def _without_model(snapshot: Snapshot) -> dict[str, str]:
    known, lacking = frozenset(champions(snapshot)), _lacking(snapshot)
    return snapshot.lacking.of((known, lacking), snapshot.bars.version, lambda: _progress(snapshot, lacking))


def _progress(snapshot: Snapshot, lacking: Collection[Market]) -> dict[str, str]:
    now = datetime.now(UTC)
    intervals, names = {one.interval for one in lacking}, {one.name for one in lacking}
    frames = [frame for (_, interval), frame in snapshot.bars.groups.items() if interval in intervals]
    if not frames:
        return {}
    found = overview([], survey(pl.concat(frames).lazy(), snapshot.settings, {}), snapshot.settings, now)
    return {name: str(row["note"]) for name, row in found.items() if name in names}


def metrics(snapshot: Snapshot, version: str, symbol: str = ALL) -> Row | None:
    """A version's metrics for a symbol (or all together) on the holdout, which no choice about the model used."""
    rows = snapshot.metrics
    if rows.is_empty():
        return None
    wanted = (pl.col("model_version") == version) & (pl.col("symbol") == symbol) & (pl.col("fold") == HOLDOUT)
    found = rows.filter(wanted)
    return found.row(-1, named=True) if not found.is_empty() else None


def learner(record: Row) -> str:
    """What learnt a version: the forest, or a plug-in; versions of an earlier release do not say."""
    found = json.loads(record.get("learner") or "{}")
    return f"Plug-in {next(iter(found))}" if found else "Random forest"


def beside(snapshot: Snapshot, version: str, symbol: str = ALL) -> list[Row]:
    """What a version's baselines reach on the same bars of the holdout, by name; none of an earlier release's."""
    rows = snapshot.baselines
    if rows.is_empty():
        return []
    wanted = (pl.col("model_version") == version) & (pl.col("symbol") == symbol) & (pl.col("fold") == HOLDOUT)
    return rows.filter(wanted).sort("baseline", descending=True).to_dicts()


def of_earlier_release(snapshot: Snapshot) -> frozenset[str]:
    """The versions whose metrics lack the three questions."""
    rows = snapshot.metrics
    if rows.is_empty():
        return frozenset()
    asked = rows.group_by("model_version").agg(pl.col("predictable").is_not_null().any())
    return frozenset(asked.filter(~pl.col("predictable"))["model_version"])


def figures(row: Row) -> list[Figure]:
    """The most important figures, in the order in which to read them."""
    hit = (wording.percent(row["hit_rate_low"], 1), wording.percent(row["hit_rate_high"], 1))
    return [
        *_answers(row),
        Figure(
            "R² of the price",
            wording.number(row["r2_price"], 4),
            f"naive {wording.number(row['r2_price_naive'], 4)}",
            "A high value says little: a forecast that repeats the last price scores about as high.",
        ),
        Figure(
            "Direction right",
            wording.percent(row["hit_rate"], 1),
            f"{hit[0]} to {hit[1]}; always the more frequent one {wording.percent(row['majority_rate'], 1)}",
            "How often the predicted direction was right, with the 95 % interval.",
        ),
        Figure(
            "R² of the return",
            wording.percent(row["oos_r2_return"], 2, sign=True),
            _beside(row, "oos_r2_return", "naive 0", 2, sign=True),
            "Out of sample. Published monthly stock models reach about 0.4 %.",
        ),
        Figure(
            "Interval coverage",
            wording.percent(row["coverage"], 1),
            _beside(row, "coverage", f"nominal {wording.percent(row['coverage_nominal'], 0)}", 1),
            "How often the price ended inside the predicted interval.",
        ),
        Figure(
            "MASE",
            wording.number(row["mase"], 3),
            f"naive {wording.number(row['mase_naive'], 3)}"
            if wording.known(row.get("mase_naive"))
            else "1: the naive forecast's error in training",
            "Mean error, divided by the naive forecast's mean error on the training bars.",
        ),
    ]


def _beside(row: Row, name: str, compared: str, decimals: int, *, sign: bool = False) -> str:
    """A figure's 95 % interval and what it is compared with; versions of an earlier release have no interval."""
    reach = wording.reach(row.get(f"{name}_low"), row.get(f"{name}_high"), decimals, sign=sign)
    return f"{reach}; {compared}" if reach else compared


def _word(answer: str | None) -> str:
    return ANSWERS.get(answer or "", answer or wording.UNKNOWN)


def _answers(row: Row) -> list[Figure]:
    """The three questions, each with its answer and what it rests on; versions of an earlier release have none."""
    if row.get("predictable") is None:
        return []
    skill, earned = (
        f"{wording.percent(row[low], 2, sign=True)} to {wording.percent(row[high], 2, sign=True)}"
        for low, high in (("skill_low", "skill_high"), ("net_move_low", "net_move_high"))
    )
    trades = f"{wording.count(row['trades'])} trades, {wording.percent(row['net_return'], 2, sign=True)} each"
    return [
        Figure(
            "Predictable?",
            _word(row["predictable"]),
            f"t {wording.number(row['predictable_t'], 2)}; this much data shows a skill of "
            f"{wording.percent(row['smallest_edge'], 2)} or more",
            "Whether it says something that neither zero nor the mean of the training rows does (Clark & West).",
        ),
        Figure(
            "Accurate?",
            _word(row["accurate"]),
            f"skill {wording.percent(row['skill'], 2, sign=True)}: {skill}",
            "1 \N{MINUS SIGN} MSE/MSE of repeating the last price, in expected moves, with its 95 % interval.",
        ),
        Figure(
            "Tradable?",
            _word(row["tradable"]),
            f"{trades}: {earned} of an expected move" if row["trades"] else "no forecast beat its costs",
            "In at the next bar's open and out as many bars later as it predicts, net of costs and slippage.",
        ),
    ]


def fold_name(fold: int | None) -> str:
    """A fold in words; fold 0 is the holdout."""
    return "holdout" if fold == HOLDOUT else f"fold {fold}"
