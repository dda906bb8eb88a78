"""Signals: when a prediction becomes BUY or SELL, and why it does not, as pure column expressions.

Enters: scored bars. Leaves: one signal for each, HOLD unless the expected move beats the costs of entering and leaving
and its direction is probable enough. Every HOLD says why.
"""

from __future__ import annotations

from enum import StrEnum
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from financelake_assets.config import SignalSettings


class Signal(StrEnum):
    """What to do at the close of a bar."""

    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"


class HoldReason(StrEnum):
    """Why a signal abstains: the closed list, in the order in which it is judged."""

    MODEL_EXPIRED = "model_expired"
    INSUFFICIENT_HISTORY = "insufficient_history"
    BELOW_COSTS = "below_costs"
    LOW_CONFIDENCE = "low_confidence"


def decide(scored: DataFrame, settings: SignalSettings, *, model_expired: bool) -> DataFrame:
    """Turn predictions into signals.

    Args:
        scored: one row a bar with asset_class, predicted_return (log return over the horizon; null where the bar could
            not be scored), volatility (standard deviation of that return) and probability_up.
        settings: costs and thresholds.
        model_expired: whether the model is too old to act on.

    Returns:
        ``scored`` with signal, strength (expected move in standard deviations), confidence (probability of the
        predicted direction), reason (of a HOLD, else null) and cost_bps (one way).
    """
    rise = F.expm1("predicted_return")
    confidence = F.when(F.col("predicted_return") >= 0, F.col("probability_up")).otherwise(1 - F.col("probability_up"))
    verdicts: list[tuple[Column, HoldReason]] = [
        (F.lit(model_expired), HoldReason.MODEL_EXPIRED),
        (F.col("predicted_return").isNull(), HoldReason.INSUFFICIENT_HISTORY),
        (F.abs(rise) * 10_000 <= 2 * F.col("cost_bps"), HoldReason.BELOW_COSTS),
        (F.col("confidence") < settings.min_confidence, HoldReason.LOW_CONFIDENCE),
    ]
    reason = reduce(
        lambda rest, verdict: F.when(verdict[0], verdict[1].value).otherwise(rest),
        reversed(verdicts),
        F.lit(None).cast("string"),
    )
    direction = F.when(F.col("predicted_return") > 0, Signal.BUY.value).otherwise(Signal.SELL.value)
    return (
        scored.withColumn("cost_bps", _cost(settings))
        .withColumn("strength", F.abs(F.col("predicted_return") / F.col("volatility")))
        .withColumn("confidence", confidence)
        .withColumn("reason", reason)
        .withColumn("signal", F.when(F.col("reason").isNotNull(), Signal.HOLD.value).otherwise(direction))
    )


def _cost(settings: SignalSettings) -> Column:
    """One-way cost of the row's asset class, in basis points."""
    costs = [F.lit(part) for item in settings.cost_bps.items() for part in item]
    return F.create_map(*costs)[F.col("asset_class")]
