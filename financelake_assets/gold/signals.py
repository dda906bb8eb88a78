"""Signals: when a prediction becomes BUY or SELL, and why it does not, as a pure function of frames.

Input: scored bars. Output: one signal for each. It is HOLD unless the expected move is larger than the costs of
entering and leaving, slippage included, and its direction is probable enough. Every HOLD has a reason, and a bar that
cannot be judged gets a HOLD. A signal depends only on its bar and the few bars before it, so a stream and a back-test
give the same signals.
"""

from __future__ import annotations

from functools import reduce

import polars as pl

from financelake_assets.config import SignalSettings
from financelake_assets.gold.verdicts import HoldReason, Signal
from financelake_assets.intervals import SERIES
from financelake_assets.model.outputs import DISSIMILARITY


def surprise() -> pl.Expr:
    """A bar's own move in units of the standard deviation expected of it, from the result of ``features_of``."""
    return pl.col("log_return").abs() / pl.col("bar_volatility").shift(1).over(SERIES)


def decide(
    scored: pl.DataFrame, settings: SignalSettings, *, model_expired: bool | pl.Expr, slippage_bps: float
) -> pl.DataFrame:
    """Turn predictions into signals.

    Args:
        scored: bars with symbol, interval, event_time, asset_class, market_open (whether the symbol's market trades
            then), surprise (the bar's own move in units of the expected standard deviation), predicted_return (log
            return over the horizon; null if the bar could not be scored), volatility (standard deviation of that
            return), probability_up, dissimilarity (from what the model learnt; null if that is not known) and cost_bps
            (one way, see ``costs.with_costs``). Each bar whose signal is used needs ``settings.settle_bars`` earlier
            bars of its series.
        settings: thresholds.
        model_expired: whether the model is too old to use, of all bars or of each.
        slippage_bps: of one execution, on top of its costs.

    Returns:
        ``scored`` by series and time with signal, strength (expected move in standard deviations), confidence
        (probability of the predicted direction) and reason (of a HOLD, otherwise null).
    """
    up = pl.col("predicted_return") > 0
    reason = pl.col("reason")
    expired = model_expired if isinstance(model_expired, pl.Expr) else pl.lit(model_expired)
    judged = (
        scored.sort(*SERIES, "event_time")
        .with_columns(
            strength=(pl.col("predicted_return") / pl.col("volatility")).abs(),
            confidence=pl.when(up).then("probability_up").otherwise(1 - pl.col("probability_up")),
        )
        .with_columns(reason=_reason(settings, slippage_bps))
        .with_columns(_due=pl.when(reason.is_not_null()).then(0).when(up).then(1).otherwise(-1))
        .with_columns(
            reason=pl.coalesce(reason, pl.when(_opposed(settings)).then(pl.lit(HoldReason.RECENT_REVERSAL.value)))
        )
        # at last: a bar is compared with what the model that decides it says of those before, as live
        .with_columns(reason=pl.when(expired).then(pl.lit(HoldReason.MODEL_EXPIRED.value)).otherwise(reason))
    )
    signal = (
        pl.when(reason.is_not_null())
        .then(pl.lit(Signal.HOLD.value))
        .when(pl.col("_due") > 0)
        .then(pl.lit(Signal.BUY.value))
        .otherwise(pl.lit(Signal.SELL.value))
    )
    return judged.with_columns(signal=signal).drop("_due")


def _reason(settings: SignalSettings, slippage_bps: float) -> pl.Expr:
    """The first reason for a HOLD that the bar itself gives; null if there is none."""
    rise = (pl.col("predicted_return").exp() - 1).abs()
    verdicts: list[tuple[pl.Expr, HoldReason]] = [
        (~_known("predicted_return", "volatility", "probability_up"), HoldReason.INSUFFICIENT_HISTORY),
        (~pl.col("market_open"), HoldReason.MARKET_CLOSED),
        ((pl.col("surprise") > settings.outlier_sigmas).fill_null(False), HoldReason.OUTLIER_INPUT),
        ((pl.col(DISSIMILARITY) > settings.most_dissimilar).fill_null(False), HoldReason.UNLIKE_TRAINING),
        (rise * 10_000 <= 2 * (pl.col("cost_bps") + slippage_bps), HoldReason.BELOW_COSTS),
        (pl.col("confidence") < settings.min_confidence, HoldReason.LOW_CONFIDENCE),
    ]
    # a condition is null if a value is unknown; then the signal must be HOLD
    return reduce(
        lambda rest, verdict: pl.when(verdict[0].fill_null(True)).then(pl.lit(verdict[1].value)).otherwise(rest),
        reversed(verdicts),
        pl.lit(None, pl.String),
    )


def _known(*names: str) -> pl.Expr:
    """Whether all of the columns are finite numbers."""
    return pl.all_horizontal(pl.col(name).is_finite().fill_null(False) for name in names)


def _opposed(settings: SignalSettings) -> pl.Expr:
    """Whether one of the last few bars had the opposite signal. This avoids flicker without keeping state."""
    if settings.settle_bars == 0:
        return pl.lit(False)
    due = pl.col("_due")
    before = due.shift(1)
    lowest = before.rolling_min(settings.settle_bars, min_samples=1).over(SERIES)
    highest = before.rolling_max(settings.settle_bars, min_samples=1).over(SERIES)
    return (((due > 0) & (lowest < 0)) | ((due < 0) & (highest > 0))).fill_null(False)
