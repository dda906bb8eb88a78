"""The pipeline: labelled bars → the fitted stages that predict return, rise and size, and their predictions.

Input: rows with features and labels. Output: MLlib's ``PipelineModel``, and its predictions as polars frames. The
training decides which rows to use and how to calibrate the predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.classification import RandomForestClassifier
from pyspark.ml.feature import SQLTransformer, TargetEncoder, VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.ml.regression import GBTRegressor, RandomForestRegressor
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from financelake_assets.config import ModelSettings
from financelake_assets.model.features import FEATURES, SYMBOL_WEEKDAY
from financelake_assets.model.labels import SIZE, TARGET, UP
from financelake_assets.model.outputs import (
    EFFECT_PRIOR_ROWS,
    OUTPUTS,
    RAW,
    RAW_SIZE,
    RAW_UP,
    RETURNS,
    WEEKDAY_EFFECT,
)
from financelake_assets.spark_sessions import activated

_UP_VECTOR = "up_probability"
_BOOSTED_DEPTH, _BOOSTED_STEP = 3, 0.1

INPUTS = (*FEATURES, WEEKDAY_EFFECT)
"""The inputs of the forests: the features, and the mean label of the symbol's weekday in the training data.

At Henry Hub prices fall after Thursdays and rise after Fridays, presumably because Friday's gas is delivered over a
weekend with less demand. With only the weekday, a forest of all symbols cannot separate this from other symbols' noise.
"""


def fit(
    session: SparkSession, learnt: DataFrame, settings: ModelSettings, inputs: Sequence[str] = INPUTS
) -> PipelineModel:
    """Fit the pipeline: the weekday effect, all inputs as one vector, forests for return, rise and size.

    The forests are fitted in parallel on the same vectors: a single fit mostly waits for its next Spark job.

    Args:
        session: the session of ``learnt``.
        learnt: labelled rows.
        settings: the forests.
        inputs: the columns that the forests see: ``INPUTS``, and those of plug-ins behind them.
    """

    def grow(forest: RandomForestRegressor | RandomForestClassifier) -> Any:
        with activated(session):
            return forest.fit(vectors)

    with activated(session):
        prepared = Pipeline(stages=_preparation(inputs)).fit(learnt)
        vectors = prepared.transform(learnt).select("inputs", TARGET, UP, SIZE).persist()
    try:
        with ThreadPoolExecutor(len(OUTPUTS)) as workers:
            grown = list(workers.map(grow, _forests(settings)))
    finally:
        vectors.unpersist()
    return PipelineModel([*prepared.stages, *grown])


def _preparation(inputs: Sequence[str]) -> list[Any]:
    """Stages that turn a labelled row into the input vector of the forests."""
    # a symbol that is not in the training data gets the mean effect of all symbols
    effect = TargetEncoder(
        inputCols=[SYMBOL_WEEKDAY],
        outputCols=["_effect"],
        labelCol=TARGET,
        targetType="continuous",
        handleInvalid="keep",
        smoothing=EFFECT_PRIOR_ROWS,
    )
    # the encoder marks its output as categorical, and a forest would treat it so; a sum has no such mark
    number = SQLTransformer(statement=f"SELECT *, _effect + 0.0D AS {WEEKDAY_EFFECT} FROM __THIS__")  # noqa: S608
    # a row that lacks a feature cannot be scored, but it must not stop the stream
    return [effect, number, VectorAssembler(inputCols=list(inputs), outputCol="inputs", handleInvalid="skip")]


def _forests(settings: ModelSettings) -> list[RandomForestRegressor | RandomForestClassifier]:
    """The forests that predict ``OUTPUTS``, in their order."""
    common: dict[str, Any] = {
        "featuresCol": "inputs",
        "maxDepth": settings.depth,
        "minInstancesPerNode": settings.min_instances_per_node,
        "subsamplingRate": settings.subsampling_rate,
        "seed": settings.seed,
    }
    if settings.features_a_split is not None:
        common["featureSubsetStrategy"] = str(settings.features_a_split)
    half = (settings.trees + 1) // 2  # as good as all trees, see docs/decisions/0003-model-choices.md
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
        for label, output, trees in ((TARGET, RAW, settings.trees), (SIZE, RAW_SIZE, half))
    )
    return [returns, rise, size]


def boosted(
    model: PipelineModel, learnt: DataFrame, tested: DataFrame, settings: ModelSettings, *names: str
) -> pl.DataFrame:
    """Out-of-sample predictions of gradient-boosted trees (Friedman 2001) on the inputs of a fitted pipeline.

    Small trees, small steps and half of the rows for each tree are what Friedman (2002) advises; nothing was tried.
    They predict the return alone: the probability of a rise stays a coin's, and the size of the move the expected one.

    Args:
        model: fitted on ``learnt``; its session is the active one.
        learnt: the labelled rows.
        tested: the inputs and the named columns.
        settings: the number of trees, the share of rows and the seed.
        names: columns to keep.

    Returns:
        The named columns and ``OUTPUTS``.
    """
    prepared = PipelineModel(model.stages[:RETURNS])
    vectors = prepared.transform(learnt).select("inputs", TARGET).persist()
    trees = GBTRegressor(
        featuresCol="inputs",
        labelCol=TARGET,
        predictionCol=RAW,
        maxIter=settings.boosted_trees,
        maxDepth=_BOOSTED_DEPTH,
        stepSize=_BOOSTED_STEP,
        subsamplingRate=settings.subsampling_rate,
        minInstancesPerNode=settings.min_instances_per_node,
        seed=settings.seed,
    )
    try:
        made = local(trees.fit(vectors).transform(prepared.transform(tested)).select(*names, RAW))
    finally:
        vectors.unpersist()
    return made.with_columns(pl.lit(0.5).alias(RAW_UP), pl.lit(1.0).alias(RAW_SIZE))


def predictions(model: PipelineModel, rows: DataFrame, *names: str) -> pl.DataFrame:
    """The predictions of a fitted pipeline as a polars frame: the named columns and the forests' ``OUTPUTS``.

    Args:
        model: the fitted pipeline; its session is the active one.
        rows: the inputs and the named columns.
        names: columns to keep.
    """
    # if no bar of the training data rose, the forest has only one class
    up = F.coalesce(F.get(vector_to_array(F.col(_UP_VECTOR)), F.lit(1)), F.lit(0.0)).alias(RAW_UP)
    return local(model.transform(rows).select(*names, RAW, up, RAW_SIZE))


def local(rows: DataFrame) -> pl.DataFrame:
    """Spark rows as a polars frame; times are UTC without a zone, as in numpy."""
    found = pl.DataFrame(pl.from_arrow(rows.toArrow()))
    return found.with_columns(pl.col(pl.Datetime("us", "UTC")).dt.replace_time_zone(None))
