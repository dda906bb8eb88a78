"""Fit and score time of the random forest beside scikit-learn's, on the same generated rows.

30 columns, 100 trees of depth 8, each on a bootstrap of all rows and a third of the columns at each split; 32 bins in
MLlib, every distinct value in scikit-learn (n_jobs = cores). Quality is R² on rows outside the training data. MLlib's
forest is also saved and scored as in gold, outside Spark. Prints JSON. Starts its own Spark server.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
from _lake import spark_session
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.regression import RandomForestRegressor
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from sklearn.ensemble import RandomForestRegressor as LocalForest

from financelake_assets.model.forest import read_trees
from financelake_assets.model.metrics import r2
from financelake_assets.spark_sessions import activated

COLUMNS, TREES, DEPTH = 30, 100, 8
TEST_ROWS = 100_000
NAMES = [f"x{number}" for number in range(COLUMNS)]
T = TypeVar("T")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--memory", default="2g", help="the Spark server's heap")
    arguments = parser.parse_args()
    with spark_session(arguments.memory) as session, tempfile.TemporaryDirectory() as folder:
        found = []
        for rows in arguments.rows:
            found.append(compare(session, rows, Path(folder)))
            print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    print(json.dumps({"cores": os.cpu_count(), "columns": COLUMNS, "trees": TREES, "depth": DEPTH, "runs": found}))


def compare(session: SparkSession, rows: int, folder: Path) -> dict[str, object]:
    """Both forests on the same rows, MLlib first."""
    whole = market(rows + TEST_ROWS)
    learnt, tested = whole.head(rows), whole.tail(TEST_ROWS)
    return {"rows": rows, "mllib": mllib(session, learnt, tested, folder), "scikit-learn": local(learnt, tested)}


def market(rows: int) -> pl.DataFrame:
    """Columns of noise, and a label that depends on a few of them and is mostly noise, as returns are."""
    random = np.random.default_rng(11)
    inputs = random.standard_normal((rows, COLUMNS))
    known = 0.4 * inputs[:, 0] + 0.4 * np.sign(inputs[:, 1]) * inputs[:, 2] + 0.3 * (inputs[:, 3] > 1)
    frame = pl.DataFrame(inputs, schema=NAMES)
    return frame.with_columns(pl.Series("label", known + random.standard_normal(rows)))


def mllib(session: SparkSession, learnt: pl.DataFrame, tested: pl.DataFrame, folder: Path) -> dict[str, float]:
    """MLlib through Spark Connect, as the product uses it."""
    for name, rows in (("learnt", learnt), ("tested", tested)):
        rows.write_parquet(folder / f"{name}.parquet")
    forest = RandomForestRegressor(
        featuresCol="inputs",
        numTrees=TREES,
        maxDepth=DEPTH,
        featureSubsetStrategy="onethird",
        seed=5,
        maxMemoryInMB=512,
    )
    vector = VectorAssembler(inputCols=NAMES, outputCol="inputs")
    with activated(session):
        frame = vector.transform(session.read.parquet(str(folder / "learnt.parquet"))).select("inputs", "label")
        frame = frame.repartition(os.cpu_count() or 2).localCheckpoint()
        model, fit = timed(lambda: forest.fit(frame))
        # every row must be scored, but the result is not needed here
        _, score = timed(lambda: model.transform(frame).agg(F.sum("prediction")).collect())
        judged = model.transform(vector.transform(session.read.parquet(str(folder / "tested.parquet"))))
        made = pl.DataFrame(pl.from_arrow(judged.select("label", *NAMES, "prediction").toArrow()))
        model.write().overwrite().save(str(folder / "forest"))
    quality = r2(made["label"].to_numpy(), made["prediction"].to_numpy())
    return {**outcome(fit, score, len(learnt), quality), **saved(folder / "forest", learnt, made)}


def saved(forest: Path, learnt: pl.DataFrame, made: pl.DataFrame) -> dict[str, float]:
    """The same forest read from its files: its rate, and its difference from Spark's predictions."""
    trees = read_trees([forest], COLUMNS)
    inputs, tested = learnt.select(NAMES).to_numpy(order="c"), made.select(NAMES).to_numpy(order="c")
    _, score = timed(lambda: trees.predict(inputs))
    again = trees.predict(tested)[:, 0]
    difference = float(np.abs(again - made["prediction"].to_numpy()).max())
    return {"saved_score_rows_a_second": round(len(learnt) / score), "saved_largest_difference": difference}


def local(learnt: pl.DataFrame, tested: pl.DataFrame) -> dict[str, float]:
    """scikit-learn on all cores."""
    inputs, label = learnt.select(NAMES).to_numpy(), learnt["label"].to_numpy()
    forest = LocalForest(TREES, max_depth=DEPTH, max_features=1 / 3, random_state=5, n_jobs=os.cpu_count())
    model, fit = timed(lambda: forest.fit(inputs, label))
    _, score = timed(lambda: model.predict(inputs))
    quality = r2(tested["label"].to_numpy(), model.predict(tested.select(NAMES).to_numpy()))
    return outcome(fit, score, len(learnt), quality)


def outcome(fit: float, score: float, rows: int, quality: float) -> dict[str, float]:
    """The numbers of one forest."""
    return {
        "fit_seconds": round(fit, 1),
        "score_rows_a_second": round(rows / score),
        "r2": round(quality, 4),
    }


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """A result, and the seconds that it took."""
    begun = time.monotonic()
    result = work()
    return result, time.monotonic() - begun


if __name__ == "__main__":
    main()
