"""Scoring: bars with features → the rows of gold.predictions, as column expressions around the fitted pipeline.

Enters: bars with features and the columns that stamp a prediction; a loaded model and its record. Leaves: one row for
each bar that can be scored; the others (warm-up, prices that are not positive or never change) are left out.
"""

from __future__ import annotations

import json

from pyspark.ml import PipelineModel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from financelake_assets.gold.schema import PREDICTIONS
from financelake_assets.model.calibration import GRID, POOLED, Calibration
from financelake_assets.model.registry import ModelRecord
from financelake_assets.model.training import RAW

_STEP = float(GRID[1] - GRID[0])


def score(stamped: DataFrame, model: PipelineModel, record: ModelRecord) -> DataFrame:
    """Predict the return of every bar that can be scored.

    Args:
        stamped: the result of ``with_features`` with horizon, model_version and as_of.
        model: the loaded pipeline of ``record``.
        record: the version's calibration and coverage.

    Returns:
        The columns of gold.predictions; ``lower`` and ``upper`` are prices, the ends of the interval.
    """
    raw = model.transform(stamped.where("scorable"))
    return (
        raw.withColumns(
            {
                "coverage": F.lit(record.coverage),
                "volatility": F.col("bar_volatility") * F.sqrt("horizon"),
                "_errors": _of_group(
                    _errors_json(record.calibration), "struct<low:double,high:double,below:array<double>>"
                ),
                "_kept": F.col(RAW) * _of_group(json.dumps(record.calibration.shrinkage), "double"),
            }
        )
        .withColumns(
            {
                "predicted_return": F.col("_kept") * F.col("volatility"),
                "predicted_close": _price(F.col("_kept")),
                "lower": _price(F.col("_kept") + F.col("_errors.low")),
                "upper": _price(F.col("_kept") + F.col("_errors.high")),
                "probability_up": _probability_up(F.col("_kept"), F.col("_errors.below")),
            }
        )
        .select(*PREDICTIONS.schema.names)
    )


def _price(moves: Column) -> Column:
    return F.col("close") * F.exp(moves * F.col("volatility"))


def _errors_json(calibration: Calibration) -> str:
    return json.dumps(
        {
            group: {"low": errors.low, "high": errors.high, "below": errors.share_below}
            for group, errors in calibration.errors.items()
        }
    )


def _of_group(values: str, kind: str) -> Column:
    """The value of the narrowest group that the row belongs to: its symbol, its class, all.

    The JSON text is a constant, which Spark reads once a query; as literals it would be thousands of expressions.
    """
    groups = F.from_json(F.lit(values), f"map<string,{kind}>")
    asset_class = F.concat(F.lit(POOLED), "asset_class")
    return F.coalesce(*[F.try_element_at(groups, key) for key in (F.col("symbol"), asset_class, F.lit(POOLED))])


def _probability_up(kept: Column, below: Column) -> Column:
    """One less the share of errors below ``-kept``, between the points of ``GRID``; see ``Errors.probability_up``."""
    place = (F.greatest(F.least(-kept, F.lit(float(GRID[-1]))), F.lit(float(GRID[0]))) - float(GRID[0])) / _STEP
    left = F.least(F.floor(place), F.lit(len(GRID) - 2)).cast("int")
    start, end = (F.element_at(below, left + offset) for offset in (1, 2))
    return 1 - (start + (end - start) * (place - left))
