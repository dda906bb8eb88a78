"""The champion model and its quality, from the registry's tables.

Input: a ``Snapshot``. Output: the champion's record and its out-of-sample figures, each beside that of the naive
forecast, which is the last close.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from dash_app import wording
from dash_app.data.lake_reader import Snapshot

Row = dict[str, Any]
ALL = "ALL"
HOLDOUT = 0


@dataclass(frozen=True)
class Figure:
    """One figure of the model: its value, a value to compare it with, and its meaning."""

    name: str
    value: str
    beside: str
    meaning: str


def champion(snapshot: Snapshot) -> Row | None:
    """The registry's row of the champion, the version that was promoted last; ``None`` before the first."""
    models = snapshot.models
    if models.is_empty():
        return None
    promoted = models.filter(pl.col("promoted_at").is_not_null()).sort("promoted_at")
    return promoted.row(-1, named=True) if not promoted.is_empty() else None


def metrics(snapshot: Snapshot, version: str, symbol: str = ALL) -> Row | None:
    """A version's metrics for a symbol (or all together) on the holdout, which no choice about the model used."""
    rows = snapshot.metrics
    if rows.is_empty():
        return None
    wanted = (pl.col("model_version") == version) & (pl.col("symbol") == symbol) & (pl.col("fold") == HOLDOUT)
    found = rows.filter(wanted)
    return found.row(-1, named=True) if not found.is_empty() else None


def figures(row: Row) -> list[Figure]:
    """The most important figures, in the order in which to read them."""
    hit = (wording.percent(row["hit_rate_low"], 1), wording.percent(row["hit_rate_high"], 1))
    return [
        Figure(
            "R² of the price",
            wording.number(row["r2_price"], 4),
            f"naive {wording.number(row['r2_price_naive'], 4)}",
            "A high value says little: a forecast that repeats the last price scores about as high.",
        ),
        Figure(
            "Skill over naive",
            wording.percent(row["skill"], 2, sign=True),
            f"{wording.percent(row['skill_low'], 2, sign=True)} to {wording.percent(row['skill_high'], 2, sign=True)}",
            "1 \N{MINUS SIGN} MSE/MSE of the naive forecast. Above zero is better than to repeat the last price.",
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
            "naive 0",
            "Out of sample. Published monthly stock models reach about 0.4 %.",
        ),
        Figure(
            "Interval coverage",
            wording.percent(row["coverage"], 1),
            f"nominal {wording.percent(row['coverage_nominal'], 0)}",
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


def fold_name(fold: int | None) -> str:
    """A fold in words; fold 0 is the holdout."""
    return "holdout" if fold == HOLDOUT else f"fold {fold}"
