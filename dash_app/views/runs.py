"""The newest versions of each market side by side: the figures of their holdouts, with those of the naive forecast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
from dash import html

from dash_app import wording
from dash_app.data import champion
from dash_app.data.lake_reader import Snapshot
from dash_app.views.model_card import market_in_words
from dash_app.views.parts import Children, plain_table
from financelake_assets.model.markets import NAME

_BESIDE = 4
_FIGURES: tuple[tuple[str, Callable[[dict[str, Any]], str]], ...] = (
    ("Status", lambda row: row["status"] or wording.UNKNOWN),
    ("Bars judged", lambda row: wording.count(row["rows"])),
    ("Predictable", lambda row: _answer(row["predictable"])),
    ("Accurate", lambda row: _answer(row["accurate"])),
    ("Tradable", lambda row: _answer(row["tradable"])),
    ("Skill over naive", lambda row: wording.percent(row["skill"], 2, sign=True)),
    ("Its 95 % interval", lambda row: wording.reach(row["skill_low"], row["skill_high"], 1, sign=True)),
    ("Direction right", lambda row: wording.percent(row["hit_rate"], 1)),
    ("Always the commoner one", lambda row: wording.percent(row["majority_rate"], 1)),
    ("Coverage", lambda row: wording.percent(row["coverage"], 1)),
    ("Promised", lambda row: wording.percent(row["coverage_nominal"], 1)),
    ("Return of a trade, net", lambda row: wording.percent(row["net_return"], 2, sign=True)),
)


def _answer(text: str | None) -> str:
    return champion.ANSWERS.get(text or "", text or wording.UNKNOWN)


def compared(snapshot: Snapshot) -> Children:
    """One table a market with at least two judged versions, the newest first; nothing where there are none."""
    metrics = snapshot.metrics
    if metrics.is_empty() or snapshot.models.is_empty():
        return []
    pooled = metrics.filter((pl.col("symbol") == champion.ALL) & (pl.col("fold") == champion.HOLDOUT))
    figures = pooled.drop("interval", "status", strict=False).unique("model_version", keep="last")
    judged = snapshot.models.unique("model_version", keep="last").join(figures, on="model_version", suffix="_judged")
    found: Children = []
    named = judged.with_columns(market=NAME)
    for market in named["market"].unique().sort().to_list():
        rows = named.filter(pl.col("market") == market).sort("trained_at", descending=True).head(_BESIDE).to_dicts()
        if len(rows) < 2:
            continue
        body: list[list[Any]] = [[name, *(tell(row) for row in rows)] for name, tell in _FIGURES]
        caption = (
            f"The newest {len(rows)} versions of {market_in_words(market)}, each on the holdout of its own training"
        )
        found.append(plain_table(caption, ["Figure", *(row["model_version"] for row in rows)], body))
    return [html.H2("Versions side by side", className="section"), *found] if found else []
