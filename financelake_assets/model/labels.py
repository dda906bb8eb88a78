"""Labels: what became of a bar, and what the forest is asked to predict of it.

Enters: the result of ``with_features``. Leaves: the same rows with what happened over the horizon; null where the
horizon is not over yet, or a price on the way was not positive.
"""

from __future__ import annotations

import math

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from financelake_assets.model.features import SERIES

LABEL = "label"
LARGEST_LABEL = 4.0
"""Moves beyond so many standard deviations count as this many in training: a forest averages, and one crash in a leaf
would speak for all of it. Nothing is cut when predictions are judged."""


def with_labels(featured: DataFrame, horizon: int) -> DataFrame:
    """Add what happened over the horizon.

    Args:
        featured: the result of ``with_features``, whole series of bars.
        horizon: how many bars ahead.

    Returns:
        The same rows, and: ``target_time``, when the bar at the horizon starts; ``realised_return``, the log return
        from this bar's close to that bar's; ``expected_move``, the standard deviation expected of it; ``label``, the
        return in such standard deviations, cut off at ``LARGEST_LABEL``.
    """
    series = Window.partitionBy(*SERIES).orderBy("event_time")
    ahead = series.rowsBetween(1, horizon)
    whole = F.count("log_return").over(ahead) == horizon
    known = featured.withColumns(
        {
            "target_time": F.lead("event_time", horizon).over(series),
            "realised_return": F.when(whole, F.sum("log_return").over(ahead)),
            "expected_move": F.col("bar_volatility") * math.sqrt(horizon),
        }
    )
    scaled = F.col("realised_return") / F.col("expected_move")
    limit = F.lit(LARGEST_LABEL)
    cut = F.when(scaled.isNotNull(), F.greatest(F.least(scaled, limit), -limit))
    return known.withColumn(LABEL, cut)
