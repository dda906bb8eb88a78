"""Baselines: what other learners forecast by the same walk-forward, judged beside the forests.

Input: the forests' and a baseline's out-of-sample rows of the same bars. Output: rows of gold.baseline_metrics. Where a
simple learner shows no edge either, "no edge" is not the forest's fault; where it shows one, the forest is. No baseline
is ever served, so none can be chosen, and none is a trial in the ledger.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from financelake_assets.model import inference, judgement, linear
from financelake_assets.model.calibration import POOLED
from financelake_assets.model.evaluation import ALL, Judged, evaluate
from financelake_assets.model.metrics import Floats
from financelake_assets.model.training_rows import KEY

LINEAR = linear.NAME
BOOSTED = "boosted"


def judged_beside(forest: Judged, other: Judged) -> list[dict[str, Any]]:
    """A baseline's metrics on the holdout, with its skill over the forest.

    Args:
        forest: the forests' rows.
        other: the baseline's, judged with the same settings.

    Returns:
        See ``evaluation.evaluate``, with ``over_forest`` (``1 - MSE/MSE of the forest``, in expected moves, on the bars
        that both predicted) and the ends of its 95 % interval.
    """
    held_out = other.rows.filter("held_out")
    both = held_out.join(forest.rows.select(*KEY, forest_return="predicted_return"), on=list(KEY))
    return [{**row, **_over_forest(_rows_of(both, row), other.horizon)} for row in evaluate(other, holdout_alone=True)]


def _rows_of(rows: pl.DataFrame, row: dict[str, Any]) -> pl.DataFrame:
    """The rows that a row of metrics is of: a symbol's, a class's, or all."""
    if row["symbol"] == ALL:
        return rows
    if row["symbol"].startswith(POOLED):
        return rows.filter(pl.col("asset_class") == row["asset_class"])
    return rows.filter(pl.col("symbol") == row["symbol"])


def _over_forest(rows: pl.DataFrame, horizon: int) -> dict[str, float]:
    def error(name: str) -> Floats:
        return judgement.moves(rows, "realised_return") - judgement.moves(rows, name)

    found = inference.skill(
        error("predicted_return"), error("forest_return"), judgement.days(rows), judgement.overlap(rows, horizon)
    )
    return {
        "over_forest": found.value,
        "over_forest_low": found.interval.low,
        "over_forest_high": found.interval.high,
    }
