"""The scorecard: the outcome of each prediction beside the naive forecast, as pure functions of frames.

Input: predictions, their signals, and silver's bars. Output: one row for each prediction whose horizon has passed, with
the outcome at that time, and one row for each later correction of a bar that changed such an outcome. Both tables only
grow. The naive forecast is the last price, which means a return of zero.
"""

from __future__ import annotations

from datetime import datetime
from functools import reduce
from operator import add

import polars as pl

from financelake_assets.gold.schema import CORRECTIONS, SCORECARD
from financelake_assets.gold.verdicts import Signal
from financelake_assets.intervals import SERIES
from financelake_assets.silver.merging import may_grow
from financelake_assets.silver.splits import undone

KEY = list(SCORECARD.key)
_OUTCOME = ("target_time", "realised_close", "realised_return")
VERSIONS = ("base_offset", "offset")
"""The messages of an outcome's two bars: they distinguish an outcome from a corrected outcome."""


def outcomes(bars: pl.DataFrame, horizon: int) -> pl.DataFrame:
    """The outcome over the horizon after each bar.

    Args:
        bars: rows of silver.bars, each series without gaps in what was read.
        horizon: how many bars ahead.

    Returns:
        symbol, interval, event_time and, for bars whose horizon has passed: target_time, realised_close (the close of
        the target bar as published), realised_return (log return, between adjusted closes where there are any,
        otherwise over a split as its holder has it; null if a price in between was not positive), traded_return (the
        part of it that a trade can earn: the simple return from the next bar's open to the close of the target bar;
        null if nobody could buy at that open, or if the next bar has no open and is the target bar), base_offset,
        topic, partition and offset (of the target bar's message). A bar of trades or of smaller bars is over when the
        next one has begun.
    """
    ordered = bars.sort(*SERIES, "event_time").with_columns(
        pl.coalesce(_log_return("adj_close"), _log_return("close") + _undone().log()).alias("_return")
    )

    def ahead(name: str, count: int = horizon) -> pl.Expr:
        return pl.col(name).shift(-count).over(SERIES)

    steps = [ahead("_return", count) for count in range(1, horizon + 1)]
    opened = (pl.col("open") > 0) & ~pl.col("imputed").fill_null("").str.contains("open")
    # a bar without an open is entered at its close, which leaves nothing of it
    entry = pl.when(opened).then("open") if horizon == 1 else pl.when(opened).then("open").otherwise("close")
    entry = pl.when(entry > 0).then(entry)
    first = (pl.when(pl.col("close") > 0).then("close") / entry).log().shift(-1).over(SERIES)
    grown = reduce(add, steps[1:], first).exp() - 1
    # a price below zero has no log return, and is a loss that must not be left out
    raw = ahead("close") / entry.shift(-1).over(SERIES) - 1
    over = ahead("event_time").is_not_null() & (
        ~may_grow().shift(-horizon).over(SERIES) | ahead("event_time", horizon + 1).is_not_null()
    )
    return (
        ordered.select(
            *SERIES,
            "event_time",
            ahead("event_time").alias("target_time"),
            ahead("close").alias("realised_close"),
            reduce(add, steps).alias("realised_return"),
            pl.coalesce(grown, raw).alias("traded_return"),
            pl.col("offset").fill_null(-1).alias("base_offset"),
            *(ahead(name).alias(name) for name in ("topic", "partition")),
            ahead("offset").fill_null(-1).alias("offset"),
            over.alias("_over"),
        )
        .filter("_over")
        .drop("_over")
    )


def mature(
    predictions: pl.DataFrame, signals: pl.DataFrame, bars: pl.DataFrame, scored_at: datetime, slippage_bps: float
) -> pl.DataFrame:
    """Score every prediction whose horizon has passed in ``bars``.

    Args:
        predictions: rows of gold.predictions.
        signals: the rows of gold.signals with the same keys.
        bars: rows of silver.bars from the first prediction on.
        scored_at: the time of the call.
        slippage_bps: slippage of one execution, in addition to the signal's costs.

    Returns:
        Rows of gold.scorecard. ``gross_return`` and ``net_return`` are of a trade that follows the signal, in at the
        next bar's open and out at the close that was predicted, before and after both executions; null for HOLD, and
        where nobody could have traded.
    """
    made = predictions.drop("topic", "partition", "offset").join(
        signals.select(*KEY, "signal", "reason", "confidence", "cost_bps"), on=KEY, how="left"
    )
    scored = [
        part.join(outcomes(bars, int(horizon)), on=[*SERIES, "event_time"], how="inner")
        for (horizon,), part in made.group_by("horizon")
    ]
    if not scored:
        return SCORECARD.empty
    naive, realised = pl.col("naive_close"), pl.col("realised_close")
    return (
        pl.concat(scored)
        .with_columns(naive_close=pl.col("close"), scored_at=pl.lit(scored_at))
        # predictions ignore splits and dividends: use the close that a holder since the bar's close has
        .with_columns(
            comparable_close=pl.coalesce(naive * pl.col("realised_return").exp(), realised),
            _rise=pl.coalesce(pl.col("realised_return").exp() - 1, realised / naive - 1),
        )
        .with_columns(
            error=pl.col("realised_return") - pl.col("predicted_return"),
            price_error=pl.col("comparable_close") - pl.col("predicted_close"),
            naive_price_error=pl.col("comparable_close") - naive,
            covered=pl.col("comparable_close").is_between("lower", "upper"),
            hit=_hit(),
            gross_return=_side() * pl.col("traded_return"),
        )
        .with_columns(net_return=pl.col("gross_return") - 2e-4 * (pl.col("cost_bps") + slippage_bps))
        .select(SCORECARD.schema.names)
        .sort(KEY)
    )


def corrections(
    scorecard: pl.DataFrame, recorded: pl.DataFrame, outcome: pl.DataFrame, corrected_at: datetime
) -> pl.DataFrame:
    """Find the scored predictions whose outcome has changed.

    Args:
        scorecard: rows of gold.scorecard.
        recorded: the existing rows of gold.corrections for them.
        outcome: the result of ``mature`` for the same predictions now.
        corrected_at: the time of the call.

    Returns:
        New rows of gold.corrections, with the earlier outcome as ``previous_…``.
    """
    known = pl.concat([scorecard.select(*KEY, *VERSIONS, *_OUTCOME), recorded.select(*KEY, *VERSIONS, *_OUTCOME)]).sort(
        *KEY, *VERSIONS
    )
    last = known.unique(KEY, keep="last", maintain_order=True).drop(VERSIONS)
    now = outcome.select(*KEY, *_OUTCOME, *VERSIONS, "topic", "partition")
    changed = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"previous_{name}")) for name in _OUTCOME)
    return (
        now.join(known.select(*KEY, *VERSIONS), on=[*KEY, *VERSIONS], how="anti")
        .join(last.rename({name: f"previous_{name}" for name in _OUTCOME}), on=KEY, how="inner")
        .filter(changed)
        .with_columns(corrected_at=pl.lit(corrected_at))
        .select(CORRECTIONS.schema.names)
        .sort(KEY)
    )


def _log_return(name: str) -> pl.Expr:
    """Log return since the previous bar; null if one of the two prices is absent or not positive."""
    price = pl.when(pl.col(name) > 0).then(pl.col(name))
    return (price / price.shift(1).over(SERIES)).log()


def _undone() -> pl.Expr:
    """The split since the previous bar, where the closes are not adjusted for it."""
    return undone(pl.col("close"), pl.col("close").shift(1).over(SERIES), pl.col("split"))


def _side() -> pl.Expr:
    """1 for BUY, -1 for SELL, null for HOLD."""
    signal = pl.col("signal")
    return pl.when(signal == Signal.BUY.value).then(1).when(signal == Signal.SELL.value).then(-1)


def _hit() -> pl.Expr:
    """Whether the predicted direction was right; null if the price did not move or there was no prediction."""
    rise, predicted = pl.col("_rise"), pl.col("predicted_return")
    return pl.when((rise != 0) & (predicted != 0)).then((rise > 0) == (predicted > 0))
