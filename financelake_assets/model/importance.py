"""Permutation importance: how much worse a forest predicts when one input is shuffled among the bars.

Input: a fitted pipeline and bars that are not in its training data. Output: a number for each input; around 0 means
that the forest does not need it. The other measure, impurity, shows what trees split on, even if they split on noise.
"""

from __future__ import annotations

import polars as pl
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame

_MOST_ROWS = 1_000
_PARTITIONS = 2


def permutation_importance(model: PipelineModel, tested: DataFrame, prediction: str, seed: int) -> dict[str, float]:
    """The relative rise of the mean squared error when an input is shuffled (Breiman 2001).

    Args:
        model: the fitted pipeline; its session is the active one.
        tested: ``label`` and the inputs, of rows that are not in the training data.
        prediction: the column that the model adds.
        seed: of the choice of rows and of the shuffle.
    """
    rows = pl.DataFrame(pl.from_arrow(tested.toArrow()))
    rows = rows.sample(min(len(rows), _MOST_ROWS), seed=seed)
    names = [name for name in rows.columns if name != "label"]
    # all inputs in one pass of the forest: separate passes would mostly wait for Spark to schedule jobs
    shuffled = pl.concat(
        [
            rows.with_columns(pl.lit("").alias("_shuffled")),
            *(
                rows.with_columns(pl.col(name).shuffle(seed + number), pl.lit(name).alias("_shuffled"))
                for number, name in enumerate(names)
            ),
        ]
    )
    # the optimizer would score a local relation itself, row by row on one core
    spread = tested.sparkSession.createDataFrame(shuffled.to_arrow()).repartition(_PARTITIONS)
    scored = model.transform(spread)
    made = pl.DataFrame(pl.from_arrow(scored.select("_shuffled", "label", prediction).toArrow()))
    errors = made.group_by("_shuffled").agg(((pl.col("label") - pl.col(prediction)) ** 2).mean().alias("error"))
    by_name: dict[str, float] = dict(errors.iter_rows())
    whole = by_name[""]
    return {name: by_name[name] / whole - 1 if whole > 0 else 0.0 for name in names}
