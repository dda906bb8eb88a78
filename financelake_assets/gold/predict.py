"""Scoring: bars with features → the rows of gold.predictions.

Input: bars with features and the columns that identify a prediction; a loaded model and its record. Output: one row for
each bar that can be scored, without the others (warm-up, prices that are not positive or never change). The forests are
those that Spark trained; the calibration function is the same as in training.
"""

from __future__ import annotations

import polars as pl

from financelake_assets.gold.schema import PREDICTIONS
from financelake_assets.model.adaptive import WIDENING
from financelake_assets.model.calibration import calibrated
from financelake_assets.model.outputs import DISSIMILARITY, OUTPUTS, Predictor
from financelake_assets.model.record import ModelRecord


def score(stamped: pl.DataFrame, model: Predictor, record: ModelRecord) -> pl.DataFrame:
    """Predict the return of every bar that can be scored.

    Args:
        stamped: the result of ``features_of`` with horizon, model_version, as_of and the bars' lineage.
        model: of ``record``.
        record: has the version's calibration and coverage.

    Returns:
        The columns of gold.predictions; ``lower`` and ``upper`` are prices, the ends of the interval as it was
        calibrated; see ``adapting`` for what becomes of them.
    """
    scorable = stamped.filter("scorable")
    # a version of an earlier release does not tell what it learnt
    unknown = scorable.with_columns(pl.lit(None, pl.Float64).alias(DISSIMILARITY))
    raw = unknown.with_columns(model.predict(scorable)).drop_nulls(OUTPUTS)
    if raw.is_empty():
        return PREDICTIONS.empty
    stated = raw.with_columns(
        coverage=pl.lit(record.coverage), expected_move=pl.col("bar_volatility") * pl.col("horizon").sqrt()
    )
    # replace the bar's own low and high by the interval of the prediction
    made = calibrated(stated, record.calibration)
    return made.with_columns(
        pl.lit(1.0).alias(WIDENING),
        predicted_close=pl.col("close") * pl.col("predicted_return").exp(),
        lower=pl.col("close") * pl.col("low").exp(),
        upper=pl.col("close") * pl.col("high").exp(),
    ).select(PREDICTIONS.schema.names)
