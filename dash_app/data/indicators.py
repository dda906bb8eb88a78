"""Technical indicators of one series, as pure polars expressions over its closes, oldest first.

Input: bars. Output: the same bars with a column for each line. A bar's value uses the bar and earlier bars only, and is
null until the window is complete. Indicators are only drawn: the model has its own features.
"""

from __future__ import annotations

from typing import Literal, get_args

import polars as pl

Indicator = Literal["sma", "bands", "rsi"]
INDICATORS: tuple[Indicator, ...] = get_args(Indicator)

LABELS: dict[Indicator, str] = {"sma": "SMA 20, 50", "bands": "Bollinger 20, 2", "rsi": "RSI 14"}

FAST, SLOW, WIDTH, RSI_BARS = 20, 50, 2.0, 14
COLUMNS = ("sma_fast", "sma_slow", "band_low", "band_high", "rsi")


def with_indicators(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Simple moving averages, Bollinger bands and the relative strength index, in units of the price and 0 to 100."""
    close = pl.col("close")
    middle, spread = close.rolling_mean(FAST), WIDTH * close.rolling_std(FAST, ddof=0)
    return bars.with_columns(
        middle.alias("sma_fast"),
        close.rolling_mean(SLOW).alias("sma_slow"),
        (middle - spread).alias("band_low"),
        (middle + spread).alias("band_high"),
        _rsi(close).alias("rsi"),
    )


def _rsi(close: pl.Expr) -> pl.Expr:
    """Wilder, New Concepts in Technical Trading Systems, 1978: 100 x mean rise / (mean rise + mean fall)."""
    step = close.diff()
    rise, fall = (
        moved.ewm_mean(alpha=1 / RSI_BARS, adjust=False, min_samples=RSI_BARS)
        for moved in (step.clip(lower_bound=0), (-step).clip(lower_bound=0))
    )
    return (100 * rise / (rise + fall)).fill_nan(None)
