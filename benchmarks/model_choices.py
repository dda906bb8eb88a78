"""Variants of the model compared inside the training period, by walk-forward.

The bars of every symbol from its cut-off on, the last 20 % of them, are dropped first. The rest is split into five
parts of time. A forest of the earlier parts predicts each part except the first, and earlier predictions calibrate it,
as in ``model.training``.
scikit-learn's forest replaces MLlib's: same features, trees, depth and share of rows. Prints JSON lines: for each
variant, skill with its 95 % interval, and the information coefficient's t, over all symbols and by symbol. Then a
direction classifier, a volatility regressor and a label with a delay of one bar, each beside what it would replace.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from _lake import packaged_bars, spark_session
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from financelake_assets.config import ModelSettings
from financelake_assets.model import judgement, metrics, outputs, pipeline, training, training_rows
from financelake_assets.model.evaluation import ALL, HOLDOUT, Judged, evaluate
from financelake_assets.model.features import FEATURES
from financelake_assets.model.holdout import cut_offs, in_holdout
from financelake_assets.model.labels import LABEL
from financelake_assets.model.splits import Fold, walk_forward

Predict = Callable[[pl.DataFrame, pl.DataFrame], np.ndarray]
SETTINGS = ModelSettings()
SHOWN = ("skill", "skill_low", "skill_high", "ic_t", "oos_r2_return")


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="run the variants whose name contains this")
    arguments = parser.parse_args()
    with spark_session() as session:
        rows = pipeline.local(training_rows.scorable_rows(session, packaged_bars(session), SETTINGS)).drop_nulls(LABEL)
    symbol, event_time = rows["symbol"].to_numpy().astype(str), rows["event_time"].to_numpy()
    held = in_holdout(symbol, event_time, SETTINGS.holdout_fraction, cut_offs(SETTINGS))
    rows = rows.filter(~pl.Series(held)).sort("event_time", "symbol")
    folds = walk_forward(rows["event_time"].to_numpy(), 4, timedelta(days=1))
    for name, predict in variants().items():
        if arguments.only is None or arguments.only in name:
            begun = time.monotonic()
            found = judged(rows, folds, predict)
            print(json.dumps({"variant": name, "seconds": round(time.monotonic() - begun, 1), **found}), flush=True)
    others: dict[str, Callable[[pl.DataFrame, list[Fold]], dict[str, Any]]] = {
        "direction": direction,
        "direction, 20 trees": partial(direction, trees=20),
        "volatility": volatility,
        "volatility, 20 trees": partial(volatility, trees=20),
        "delay": delay,
    }
    for name, compare in others.items():
        if arguments.only is None or arguments.only in name:
            print(json.dumps({"comparison": name, **compare(rows, folds)}), flush=True)


# -- variants ----------------------------------------------------------------------------------------------


def variants() -> dict[str, Predict]:
    """The compared forests; see docs/decisions/0003-model-choices.md for other variants that were tried."""
    return {
        "features alone": forest(FEATURES),
        "symbol as a category": with_symbols(forest),
        "a forest a symbol": apart("symbol", encoded(200)),
        "a forest a class": apart("asset_class", encoded(200)),
        "weekday effect, prior 50": encoded(50),
        "weekday effect, prior 200": encoded(200),
        "weekday effect, prior 1000": encoded(1000),
        "weekday effect, depth 4": encoded(200, depth=4),
        "weekday effect, depth 6": encoded(200, depth=6),
        "weekday effect, depth 8": encoded(200, depth=8),
        "weekday effect, 200 a leaf": encoded(200, leaf=200),
        "weekday effect, 20 trees": encoded(200, trees=20),
        "weekday effect, 100 trees": encoded(200, trees=100),
        "weekday effect, last 6 years": sliding(6, encoded(200)),
        "weekday effect, last 12 years": sliding(12, encoded(200)),
    }


def forest(inputs: tuple[str, ...], trees: int = 40, depth: int = 5, leaf: int = 50) -> Predict:
    """A forest on the named columns."""

    def predict(learnt: pl.DataFrame, tested: pl.DataFrame) -> np.ndarray:
        made = RandomForestRegressor(
            trees,
            max_depth=depth,
            min_samples_leaf=leaf,
            max_features=1 / 3,
            max_samples=SETTINGS.subsampling_rate,
            random_state=SETTINGS.seed,
            n_jobs=os.cpu_count(),
        )
        made.fit(learnt.select(inputs).to_numpy(), learnt["label"].to_numpy())
        return made.predict(tested.select(inputs).to_numpy())

    return predict


def encoded(prior: int, **shape: int) -> Predict:
    """A forest with the mean label of the symbol's weekday, shrunk to the mean of all symbols, as an input."""
    inner = forest((*FEATURES, "weekday_effect"), **shape)

    def predict(learnt: pl.DataFrame, tested: pl.DataFrame) -> np.ndarray:
        return inner(*encode(learnt, tested, prior))

    return predict


def encode(learnt: pl.DataFrame, tested: pl.DataFrame, prior: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Add the weekday effect of ``learnt`` to both."""
    mean = float(learnt["label"].mean())  # type: ignore[arg-type]
    keys = ["symbol", "weekday"]
    learnt, tested = (
        rows.with_columns(pl.col("event_time").dt.weekday().alias("weekday")) for rows in (learnt, tested)
    )
    effects = learnt.group_by(keys).agg(
        ((pl.col("label").sum() + prior * mean) / (pl.len() + prior)).alias("weekday_effect")
    )
    joined = [rows.join(effects, on=keys, how="left", maintain_order="left") for rows in (learnt, tested)]
    return joined[0], joined[1].with_columns(pl.col("weekday_effect").fill_null(mean))


def with_symbols(make: Callable[[tuple[str, ...]], Predict]) -> Predict:
    """A forest with the symbol as an input."""

    def predict(learnt: pl.DataFrame, tested: pl.DataFrame) -> np.ndarray:
        symbols = sorted(set(learnt["symbol"]))
        marks = [(pl.col("symbol") == symbol).cast(pl.Float64).alias(f"is_{symbol}") for symbol in symbols]
        inner = make((*FEATURES, *(f"is_{symbol}" for symbol in symbols)))
        return inner(learnt.with_columns(marks), tested.with_columns(marks))

    return predict


def apart(column: str, inner: Predict) -> Predict:
    """A separate forest for each value of a column; the naive forecast if there is too little training data."""

    def predict(learnt: pl.DataFrame, tested: pl.DataFrame) -> np.ndarray:
        made = np.zeros(len(tested))
        for value in tested[column].unique():
            own, wanted = learnt.filter(pl.col(column) == value), (tested[column] == value).to_numpy()
            if len(own) >= SETTINGS.min_rows:
                made[wanted] = inner(own, tested.filter(pl.Series(wanted)))
        return made

    return predict


def sliding(years: int, inner: Predict) -> Predict:
    """Train only on the last years before a test."""

    def predict(learnt: pl.DataFrame, tested: pl.DataFrame) -> np.ndarray:
        since = tested["event_time"].min() - timedelta(days=365 * years)  # type: ignore[operator]
        return inner(learnt.filter(pl.col("event_time") >= since), tested)

    return predict


# -- evaluation --------------------------------------------------------------------------------------------


def walked(rows: pl.DataFrame, folds: list[Fold], predict: Predict) -> pl.DataFrame:
    """Every fold's rows with its raw predictions."""
    parts = []
    for fold in folds:
        learnt = rows.filter(pl.Series(fold.learns_from(rows["target_time"].to_numpy())))
        tested = rows.filter(pl.Series(fold.judges(rows["event_time"].to_numpy())))
        made = pl.Series(outputs.RAW, predict(learnt, tested))
        # neutral values for the outputs of the forests that are not compared here
        silent = [pl.lit(0.5).alias(outputs.RAW_UP), pl.lit(1.0).alias(outputs.RAW_SIZE)]
        parts.append(tested.with_columns(made, *silent, pl.lit(fold.number, dtype=pl.Int32).alias("fold")))
    return pl.concat(parts).sort("event_time", "symbol")


def by_earlier_folds(rows: pl.DataFrame, scored: pl.DataFrame, folds: list[Fold]) -> Judged:
    """What the training makes of raw predictions: each fold calibrated from the earlier ones."""
    facts = rows.select(training_rows.FACTS)
    return training._judge(facts, training._forecasts(facts, scored, folds, SETTINGS), SETTINGS)


def judged(rows: pl.DataFrame, folds: list[Fold], predict: Predict) -> dict[str, Any]:
    """Metrics of a variant over folds 2 to 4, by symbol."""
    scored = walked(rows, folds, predict).select(*training_rows.FACTS, *outputs.OUTPUTS, "fold")
    found = by_earlier_folds(rows, scored, folds)
    found = replace(found, rows=found.rows.with_columns(pl.lit(True).alias("held_out")))
    return {
        row["symbol"]: {name: round(row[name], 4) for name in SHOWN}
        for row in evaluate(found)
        if row["fold"] == HOLDOUT and (row["symbol"] == ALL or not row["symbol"].startswith("*"))
    }


def direction(rows: pl.DataFrame, folds: list[Fold], trees: int = 40) -> dict[str, Any]:
    """Brier scores of the probability of a rise: from the regressor's earlier errors by symbol, and of a classifier."""

    def classify(learnt: pl.DataFrame, tested: pl.DataFrame) -> np.ndarray:
        learnt, tested = encode(learnt, tested, 200)
        inputs = (*FEATURES, "weekday_effect")
        made = RandomForestClassifier(
            trees,
            max_depth=5,
            min_samples_leaf=50,
            max_features=1 / 3,
            max_samples=SETTINGS.subsampling_rate,
            random_state=SETTINGS.seed,
            n_jobs=os.cpu_count(),
        )
        made.fit(learnt.select(inputs).to_numpy(), (learnt["label"] > 0).to_numpy())
        return made.predict_proba(tested.select(inputs).to_numpy())[:, 1]

    scored = walked(rows, folds, encoded(200)).select(*training_rows.FACTS, *outputs.OUTPUTS, "fold")
    regressor = by_errors(by_earlier_folds(rows, scored, folds).rows)
    classifier = walked(rows, folds, classify).select("symbol", "event_time", pl.col(outputs.RAW).alias("classified"))
    both = regressor.join(classifier, on=["symbol", "event_time"])
    up = (both["realised_return"] > 0).to_numpy()
    ours, theirs = both["by_errors"].to_numpy(), both["classified"].to_numpy()
    gain = judgement.by_bar(theirs - up, ours - up, both, SETTINGS.horizon).interval
    return {
        "rows": len(both),
        "brier_regressor": round(metrics.brier(ours, up), 5),
        "brier_classifier": round(metrics.brier(theirs, up), 5),
        "brier_coin": 0.25,
        "classifier_over_regressor": [round(gain.low, 4), round(gain.high, 4)],
    }


def by_errors(rows: pl.DataFrame) -> pl.DataFrame:
    """The share of a symbol's earlier errors with which the predicted return would be a rise."""
    scaled = rows.with_columns(
        (pl.col("predicted_return") / pl.col("expected_move")).alias("kept"),
        ((pl.col("realised_return") - pl.col("predicted_return")) / pl.col("expected_move")).alias("left"),
    )
    parts = []
    for (fold, symbol), now in scaled.group_by("fold", "symbol"):
        before = scaled.filter(pl.col("fold") < fold, pl.col("symbol") == symbol)["left"].sort().to_numpy()
        if len(before) >= 250:
            above = 1 - np.searchsorted(before, -now["kept"].to_numpy()) / len(before)
            parts.append(now.with_columns(pl.Series("by_errors", above)))
    return pl.concat(parts)


def delay(rows: pl.DataFrame, folds: list[Fold]) -> dict[str, Any]:
    """Skill for the return from the next close on, which one can trade even if there is no other price."""
    names = ("realised_return", "label", "target_time")
    later = rows.sort("symbol", "event_time").with_columns(pl.col(name).shift(-1).over("symbol") for name in names)
    later = later.drop_nulls(names).sort("event_time", "symbol")
    # the label is in expected moves of the next bar: a good approximation, and the same for every variant
    return judged(later, folds, encoded(200, depth=SETTINGS.depth))


def volatility(rows: pl.DataFrame, folds: list[Fold], trees: int = 40) -> dict[str, Any]:
    """How well the size of a move is predicted: by the expected move alone, and corrected by a forest.

    QLIKE, ``mean(r²/σ² - log(r²/σ²) - 1)`` without its part that both share, and the width of an 80 % interval.
    """
    size = pl.min_horizontal(pl.col("realised_return").abs() / pl.col("expected_move"), 4.0)
    sized = rows.with_columns(size.alias("size"))

    def predict(learnt: pl.DataFrame, tested: pl.DataFrame) -> np.ndarray:
        named = learnt.with_columns(pl.col("size").alias("label"))
        return encoded(200, trees=trees)(named, tested)

    scored = walked(sized, folds, predict)
    found: dict[str, Any] = {}
    for name, scale in (("expected_move", pl.lit(1.0)), ("forest", pl.col(outputs.RAW))):
        scaled = scored.with_columns(
            (pl.col("realised_return") / (pl.col("expected_move") * scale)).alias("z"),
            (pl.col("expected_move") * scale).alias("sigma"),
        )
        losses, widths, inside = [], [], []
        for fold in folds[1:]:
            before = scaled.filter(pl.col("fold") < fold.number)
            now = scaled.filter(pl.col("fold") == fold.number)
            units = before.group_by("symbol").agg(
                (pl.col("z") ** 2).mean().alias("unit"),
                pl.col("z").abs().quantile(SETTINGS.coverage).alias("end"),
                pl.len().alias("known"),
            )
            now = now.join(units.filter(pl.col("known") >= 250), on="symbol")
            variance = now["sigma"] ** 2 * now["unit"]
            losses.append((variance.log() + now["realised_return"] ** 2 / variance).to_numpy())
            widths.append((2 * now["end"] * now["sigma"]).to_numpy())
            inside.append((now["z"].abs() <= now["end"]).to_numpy())
        found[name] = {
            "rows": sum(map(len, losses)),
            "qlike": round(float(np.mean(np.concatenate(losses))), 4),
            "mean_width": round(float(np.mean(np.concatenate(widths))), 5),
            "coverage": round(float(np.mean(np.concatenate(inside))), 4),
        }
    return found


if __name__ == "__main__":
    main()
