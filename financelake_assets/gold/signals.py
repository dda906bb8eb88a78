"""Signals: when a prediction becomes BUY or SELL, and why it does not, as pure column expressions.

Enters: scored bars. Leaves: one signal for each, HOLD unless the expected move beats the costs of entering and leaving
and its direction is probable enough. Every HOLD says why, and whatever cannot be judged is a HOLD. A signal depends on
its own bar and the few bars before it alone, so a stream and a back-test give the same ones.
"""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from financelake_assets.config import SignalSettings
from financelake_assets.gold.verdicts import HoldReason, Signal


def decide(scored: DataFrame, settings: SignalSettings, *, model_expired: bool) -> DataFrame:
    """Turn predictions into signals.

    Args:
        scored: bars with symbol, interval, event_time, asset_class, surprise (the bar's own move in the standard
            deviations expected before it), predicted_return (log return over the horizon; null where the bar could
            not be scored), volatility (standard deviation of that return) and probability_up. Before each bar whose
            signal counts there must be ``settings.settle_bars`` bars of its series.
        settings: costs and thresholds.
        model_expired: whether the model is too old to act on.

    Returns:
        ``scored`` with signal, strength (expected move in standard deviations), confidence (probability of the
        predicted direction), reason (of a HOLD, else null) and cost_bps (one way).
    """
    up = F.col("predicted_return") > 0
    judged = (
        scored.withColumn("cost_bps", _cost(settings))
        .withColumn("strength", F.abs(F.col("predicted_return") / F.col("volatility")))
        .withColumn("confidence", F.when(up, F.col("probability_up")).otherwise(1 - F.col("probability_up")))
        .withColumn("reason", _reason(settings, model_expired=model_expired))
        .withColumn("_due", F.when(F.col("reason").isNull(), F.when(up, 1).otherwise(-1)).otherwise(0))
    )
    reason = F.coalesce("reason", F.when(_opposed(settings), HoldReason.RECENT_REVERSAL.value))
    return (
        judged.withColumn("reason", reason)
        .withColumn(
            "signal",
            F.when(F.col("reason").isNotNull(), Signal.HOLD.value)
            .when(F.col("_due") > 0, Signal.BUY.value)
            .otherwise(Signal.SELL.value),
        )
        .drop("_due")
    )


def _reason(settings: SignalSettings, *, model_expired: bool) -> Column:
    """The first reason to abstain that the bar itself gives; null when there is none."""
    rise = F.abs(F.expm1("predicted_return"))
    verdicts: list[tuple[Column, HoldReason]] = [
        (F.lit(model_expired), HoldReason.MODEL_EXPIRED),
        (~_known("predicted_return", "volatility", "probability_up"), HoldReason.INSUFFICIENT_HISTORY),
        (_closed(settings), HoldReason.MARKET_CLOSED),
        (F.coalesce(F.col("surprise") > settings.outlier_sigmas, F.lit(False)), HoldReason.OUTLIER_INPUT),
        (rise * 10_000 <= 2 * F.col("cost_bps"), HoldReason.BELOW_COSTS),
        (F.col("confidence") < settings.min_confidence, HoldReason.LOW_CONFIDENCE),
    ]
    # a condition that is null could not be judged, and then the answer is to abstain
    return reduce(
        lambda rest, verdict: F.when(F.coalesce(verdict[0], F.lit(True)), verdict[1].value).otherwise(rest),
        reversed(verdicts),
        F.lit(None).cast("string"),
    )


def _known(*names: str) -> Column:
    """Whether all of the columns are finite numbers."""
    finite = [F.col(name).isNotNull() & ~F.isnan(name) & (F.abs(name) != float("inf")) for name in names]
    return reduce(lambda left, right: left & right, finite)


def _closed(settings: SignalSettings) -> Column:
    """Whether the row's market does not trade on the weekday of its bar; null for an unknown asset class."""
    days = [
        F.when(F.col("asset_class") == asset_class, F.weekday("event_time").isin(*days) if days else F.lit(False))
        for asset_class, days in settings.closed_weekdays.items()
    ]
    return F.coalesce(*days)


def _opposed(settings: SignalSettings) -> Column:
    """Whether a bar shortly before was due for the opposite signal: against flicker, and without a memory."""
    if settings.settle_bars == 0:
        return F.lit(False)
    before = Window.partitionBy("symbol", "interval").orderBy("event_time").rowsBetween(-settings.settle_bars, -1)
    lowest, highest = F.min("_due").over(before), F.max("_due").over(before)
    due = F.col("_due")
    return F.coalesce(((due > 0) & (lowest < 0)) | ((due < 0) & (highest > 0)), F.lit(False))


def _cost(settings: SignalSettings) -> Column:
    """One-way cost of the row's asset class, in basis points."""
    costs = [F.lit(part) for item in settings.cost_bps.items() for part in item]
    return F.create_map(*costs)[F.col("asset_class")]
