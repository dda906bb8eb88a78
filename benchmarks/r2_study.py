"""R² of the next close on the packaged history, of several forecasts: what it means, and what it does not.

Each forecast is tested on each symbol's last 20 % (the test period), beside repeating the last close:

- *levels, random split*: a forest on open, high, low, close and volume; the test rows are drawn at random (leaks);
- *levels*: the same forest, trained on the first 80 % in time;
- *pooled, 32 bins*: one MLlib forest on the same columns of all symbols, trained on the first 80 % of each;
- *ours*: the product's own training, walk-forward: a forest that was trained only on earlier labels predicts each row;
- *naive*: the last close.

*Skill* is ``1 - MSE/MSE_naive`` of the return in units of the expected move, where no day outweighs all others, with
its 95 % interval; *5 days' share* is that of the five largest moves in the naive forecast's squared error of the price.
A second table has the three answers of ``model.judgement``.

Prints a Markdown table and, with --json, everything as JSON. Starts its own Spark server. No choice used these rows:
the choices are in model_choices.py, which drops them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

import numpy as np
import polars as pl
from _lake import packaged_bars, spark_session
from pyspark.ml import Pipeline
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.regression import RandomForestRegressor
from pyspark.sql import SparkSession
from sklearn.ensemble import RandomForestRegressor as LocalForest

from financelake_assets.config import ModelSettings
from financelake_assets.model.evaluation import HOLDOUT
from financelake_assets.model.holdout import cut_offs, in_holdout
from financelake_assets.model.metrics import r2
from financelake_assets.model.pipeline import local
from financelake_assets.model.training import KEY, train
from financelake_assets.spark_sessions import activated

SETTINGS = ModelSettings(refits=0)
LEVELS = ("open", "high", "low", "close", "volume")
TREES, DEPTH = 100, 8
COLUMNS = (
    ("rows", "d"),
    ("levels, random split", ".4f"),
    ("levels", ".4f"),
    ("pooled, 32 bins", ".4f"),
    ("ours", ".4f"),
    ("naive", ".4f"),
    ("skill of ours", "+.4f"),
    ("from", "+.4f"),
    ("to", "+.4f"),
    ("hit rate", ".3f"),
    ("majority", ".3f"),
    ("IC t", "+.1f"),
    ("5 days' share", ".2f"),
)
ANSWERS = (
    ("rows", "d"),
    ("predictable", ""),
    ("clark_west_t", "+.2f"),
    ("clark_west_mean_t", "+.2f"),
    ("predictable_q", ".3f"),
    ("smallest_edge", ".4f"),
    ("accurate", ""),
    ("skill", "+.4f"),
    ("skill_low", "+.4f"),
    ("skill_high", "+.4f"),
    ("tradable", ""),
    ("trades", "d"),
    ("net_return", "+.4f"),
    ("net_move", "+.3f"),
    ("net_move_low", "+.3f"),
    ("net_move_high", "+.3f"),
)


def main() -> None:
    """Measure once and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with spark_session() as session:
        found, answers = study(session)
    if arguments.json:
        print(json.dumps({"r2": found, "answers": answers}, indent=2, default=str))
        return
    names = ["symbol", *(name for name, _ in COLUMNS)]
    print("| " + " | ".join(names) + " |\n|" + "---|" * len(names))
    for symbol, row in found.items():
        print("| " + " | ".join([symbol, *(format(row[name], form) for name, form in COLUMNS)]) + " |")
    print()
    print("| " + " | ".join(["symbol", *(name for name, _ in ANSWERS)]) + " |\n|" + "---|" * (len(ANSWERS) + 1))
    for symbol, row in answers.items():
        print("| " + " | ".join([symbol, *(format(row[name], form) for name, form in ANSWERS)]) + " |")


def study(session: SparkSession) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """All forecasts of every symbol, tested on the same rows; and for ours the rows of gold.model_metrics."""
    bars = packaged_bars(session).localCheckpoint()
    trained = train(session, bars, SETTINGS, 0, lambda text: print(text, file=sys.stderr))
    ours = {row["symbol"]: row for row in trained.metrics if row["fold"] == HOLDOUT}
    rows = _levels(local(bars), trained.judged.rows, local(trained.labelled.select(*KEY, "price", "realised_return")))
    pooled = _pooled(session, rows)
    found = {}
    for (symbol,), own in pooled.group_by("symbol", maintain_order=True):
        tested = own.filter("held_out")
        one = ours[str(symbol)]
        found[str(symbol)] = {
            "rows": len(tested),
            "levels, random split": _levels_r2(own, random=True),
            "levels": _levels_r2(own, random=False),
            "pooled, 32 bins": r2(_array(tested, "next"), _array(tested, "pooled")),
            "ours": one["r2_price"],
            "naive": one["r2_price_naive"],
            "skill of ours": one["skill"],
            "from": one["skill_low"],
            "to": one["skill_high"],
            "5 days' share": _of_five_days(trained.judged.rows.filter("held_out", pl.col("symbol") == symbol)),
            "hit rate": one["hit_rate"],
            "majority": one["majority_rate"],
            "IC t": one["ic_t"],
        }
    return found, ours


def _of_five_days(rows: pl.DataFrame) -> float:
    """How much of the naive forecast's squared error of the price its five largest moves make."""
    squares = np.sort((_array(rows, "price") * np.expm1(_array(rows, "realised_return"))) ** 2)
    return float(squares[-5:].sum() / squares.sum())


def _levels(bars: pl.DataFrame, judged: pl.DataFrame, labelled: pl.DataFrame) -> pl.DataFrame:
    """Labelled bars with prices on the scale of ``price`` (adjusted where there is one), the next, and the split."""
    symbol, event_time = labelled["symbol"].to_numpy().astype(str), labelled["event_time"].to_numpy()
    held = in_holdout(symbol, event_time, SETTINGS.holdout_fraction, cut_offs(SETTINGS))
    marked = labelled.with_columns(pl.Series("held_out", held))
    # all forecasts must be tested on exactly the same rows
    both = marked.filter("held_out").join(judged.filter("held_out"), on=list(KEY), how="full")
    if both.null_count().select("symbol", "symbol_right").sum_horizontal().item():
        raise AssertionError("some rows of the test period were not predicted by the walk-forward")
    adjustment = pl.col("price") / pl.col("close")
    return (
        marked.join(bars.select("symbol", "event_time", *LEVELS), on=["symbol", "event_time"])
        .with_columns((pl.col("price") * pl.col("realised_return").exp()).alias("next"))
        .with_columns(
            *[(pl.col(name) * adjustment).alias(name) for name in LEVELS if name != "volume"],
            pl.col("volume").fill_null(0.0),
        )
        .sort("symbol", "event_time")
    )


def _levels_r2(own: pl.DataFrame, *, random: bool) -> float:
    """R² of a forest on levels of one symbol; with a random split, of as many rows drawn from all."""
    held = own["held_out"].to_numpy()
    if random:
        held = np.random.default_rng(SETTINGS.seed).permutation(held)
    inputs, target = own.select(LEVELS).to_numpy(), _array(own, "next")
    forest = LocalForest(TREES, max_depth=DEPTH, random_state=SETTINGS.seed, n_jobs=os.cpu_count())
    forest.fit(inputs[~held], target[~held])
    return r2(target[held], forest.predict(inputs[held]))


def _pooled(session: SparkSession, rows: pl.DataFrame) -> pl.DataFrame:
    """Predictions of one forest of all symbols, with MLlib's default of 32 bins per column."""
    frame = session.createDataFrame(rows.to_arrow())
    forest = RandomForestRegressor(
        featuresCol="inputs",
        labelCol="next",
        predictionCol="pooled",
        numTrees=TREES,
        maxDepth=DEPTH,
        maxBins=32,
        seed=SETTINGS.seed,
    )
    stages = [VectorAssembler(inputCols=list(LEVELS), outputCol="inputs"), forest]
    with activated(session):
        model = Pipeline(stages=stages).fit(frame.where("NOT held_out"))
        made = local(model.transform(frame).drop("inputs"))
    return made.sort("symbol", "event_time")


def _array(rows: pl.DataFrame, name: str) -> np.ndarray:
    return rows[name].to_numpy()


if __name__ == "__main__":
    main()
