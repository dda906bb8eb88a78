"""The pipeline: labelled bars → the fitted stages that predict return, rise and size, and what they predict.

Input: rows with features and labels. Output: MLlib's ``PipelineModel`` and its predictions on this side. Which rows
are learnt from, and how far the predictions are believed, is the training's business.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.classification import RandomForestClassifier
from pyspark.ml.feature import SQLTransformer, TargetEncoder, VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.ml.regression import RandomForestRegressor
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from financelake_assets.config import ModelSettings
from financelake_assets.model.features import FEATURES, SYMBOL_WEEKDAY
from financelake_assets.model.labels import LABEL, SIZE, UP
from financelake_assets.model.outputs import OUTPUTS, RAW, RAW_SIZE, RAW_UP, WEEKDAY_EFFECT
from financelake_assets.spark_sessions import activated

_UP_VECTOR = "up_probability"

INPUTS = (*FEATURES, WEEKDAY_EFFECT)
"""What the forests see: the features, and the mean label of the symbol's weekday among the bars that it learns from.

At Henry Hub prices fall after Thursdays and rise after Fridays, presumably because Friday's gas is delivered over a
weekend that burns less. A forest of all symbols cannot tell that from the others' noise by the weekday alone."""

_EFFECT_PRIOR_ROWS = 200.0  # bars of the mean of all that count against a symbol's weekday


def fit(session: SparkSession, learnt: DataFrame, settings: ModelSettings) -> PipelineModel:
    """Fit the pipeline: the weekday's effect, all inputs as one vector, forests for return, rise and size.

    The forests are fitted side by side on the same vectors: each by itself mostly waits for its next job.

    Args:
        session: the session of ``learnt``.
        learnt: labelled rows.
        settings: the forests.
    """

    def grow(forest: RandomForestRegressor | RandomForestClassifier) -> Any:
        with activated(session):
            return forest.fit(inputs)

    with activated(session):
        prepared = Pipeline(stages=_preparation()).fit(learnt)
        inputs = prepared.transform(learnt).select("inputs", LABEL, UP, SIZE).persist()
    try:
        with ThreadPoolExecutor(len(OUTPUTS)) as workers:
            grown = list(workers.map(grow, _forests(settings)))
    finally:
        inputs.unpersist()
    return PipelineModel([*prepared.stages, *grown])


def _preparation() -> list[Any]:
    """Stages that make of a labelled row the vector that the forests see."""
    # a symbol that was not learnt has the mean effect of all
    effect = TargetEncoder(
        inputCols=[SYMBOL_WEEKDAY],
        outputCols=["_effect"],
        labelCol=LABEL,
        targetType="continuous",
        handleInvalid="keep",
        smoothing=_EFFECT_PRIOR_ROWS,
    )
    # the encoder marks its output as categorical, which a forest then takes it for; a sum has no such mark
    number = SQLTransformer(statement=f"SELECT *, _effect + 0.0D AS {WEEKDAY_EFFECT} FROM __THIS__")  # noqa: S608
    # a row with a feature missing cannot be scored; it must not stop the stream either
    return [effect, number, VectorAssembler(inputCols=list(INPUTS), outputCol="inputs", handleInvalid="skip")]


def _forests(settings: ModelSettings) -> list[RandomForestRegressor | RandomForestClassifier]:
    """The forests that make ``OUTPUTS``, in their order."""
    common: dict[str, Any] = {
        "featuresCol": "inputs",
        "maxDepth": settings.depth,
        "minInstancesPerNode": settings.min_instances_per_node,
        "subsamplingRate": settings.subsampling_rate,
        "seed": settings.seed,
    }
    half = (settings.trees + 1) // 2  # was as good, see docs/decisions/0003-model-choices.md
    rise = RandomForestClassifier(
        labelCol=UP,
        predictionCol="_rises",
        rawPredictionCol="_votes",
        probabilityCol=_UP_VECTOR,
        numTrees=half,
        **common,
    )
    returns, size = (
        RandomForestRegressor(labelCol=label, predictionCol=output, numTrees=trees, **common)
        for label, output, trees in ((LABEL, RAW, settings.trees), (SIZE, RAW_SIZE, half))
    )
    return [returns, rise, size]


def predictions(model: PipelineModel, rows: DataFrame, *names: str) -> pl.DataFrame:
    """What a fitted pipeline predicts of rows, on this side: the named columns and the forests' ``OUTPUTS``.

    Args:
        model: the fitted pipeline; its session is the active one.
        rows: the inputs and the named columns.
        names: columns to keep.
    """
    # where no bar that was learnt rose, the forest knows one class alone
    up = F.coalesce(F.get(vector_to_array(F.col(_UP_VECTOR)), F.lit(1)), F.lit(0.0)).alias(RAW_UP)
    return local(model.transform(rows).select(*names, RAW, up, RAW_SIZE))


def local(rows: DataFrame) -> pl.DataFrame:
    """Spark rows on this side; times are UTC without a zone, as numpy has them."""
    found = pl.DataFrame(pl.from_arrow(rows.toArrow()))
    return found.with_columns(pl.col(pl.Datetime("us", "UTC")).dt.replace_time_zone(None))
