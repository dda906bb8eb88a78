"""Scoring: bars with features → the rows of gold.predictions.

Enters: bars with features and the columns that stamp a prediction; a loaded model and its record. Leaves: one row for
each bar that can be scored; the others (warm-up, prices that are not positive or never change) are left out. The forest
itself is Spark's, in one job for all bars; calibration is the training's own function.
"""

from __future__ import annotations

import polars as pl
from pyspark.ml import PipelineModel
from pyspark.sql import SparkSession

from financelake_assets.gold.schema import PREDICTIONS
from financelake_assets.model.features import FEATURES, SYMBOL_WEEKDAY
from financelake_assets.model.registry import ModelRecord
from financelake_assets.model.training import RAW, calibrated

_ROW = "row"


def score(spark: SparkSession, stamped: pl.DataFrame, model: PipelineModel, record: ModelRecord) -> pl.DataFrame:
    """Predict the return of every bar that can be scored.

    Args:
        spark: the session that the model was loaded in.
        stamped: the result of ``features_of`` with horizon, model_version, as_of and the bars' lineage.
        model: the loaded pipeline of ``record``.
        record: the version's calibration and coverage.

    Returns:
        The columns of gold.predictions; ``lower`` and ``upper`` are prices, the ends of the interval.
    """
    scorable = stamped.filter("scorable")
    raw = _with_raw(spark, scorable, model)
    if raw.is_empty():
        return PREDICTIONS.empty
    stated = raw.with_columns(
        coverage=pl.lit(record.coverage), volatility=pl.col("bar_volatility") * pl.col("horizon").sqrt()
    ).with_columns(expected_move=pl.col("volatility"))
    # the bar's own low and high give way to those of the predicted return
    made = calibrated(stated, record.calibration)
    return made.with_columns(
        predicted_close=pl.col("close") * pl.col("predicted_return").exp(),
        lower=pl.col("close") * pl.col("low").exp(),
        upper=pl.col("close") * pl.col("high").exp(),
    ).select(PREDICTIONS.schema.names)


def _with_raw(spark: SparkSession, scorable: pl.DataFrame, model: PipelineModel) -> pl.DataFrame:
    """The rows with the forest's own prediction, without those that have a feature missing."""
    numbered = scorable.with_row_index(_ROW)
    if numbered.is_empty():
        return numbered.with_columns(pl.lit(None, pl.Float64).alias(RAW)).drop(_ROW)
    inputs = spark.createDataFrame(numbered.select(pl.col(_ROW).cast(pl.Int64), *FEATURES, SYMBOL_WEEKDAY).to_arrow())
    raw = pl.DataFrame(pl.from_arrow(model.transform(inputs).select(_ROW, RAW).toArrow()))
    return numbered.join(raw.with_columns(pl.col(_ROW).cast(pl.UInt32)), on=_ROW, how="inner").drop(_ROW)
