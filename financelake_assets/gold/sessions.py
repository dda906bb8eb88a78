"""Whether the market is open at a bar, so that somebody can trade on its signal.

Input: bars, and the calendars of their symbols. Output: the bars with ``market_open``. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from financelake_assets.calendars import TradingCalendar, calendar_of


def with_market_open(bars: pl.DataFrame, calendars: Mapping[str, TradingCalendar]) -> pl.DataFrame:
    """Add ``market_open``: whether the symbol's market trades at the bar's start or, for daily bars, on its day.

    Args:
        bars: symbol, asset_class, interval and event_time.
        calendars: by symbol; other symbols use the calendar of their class.
    """
    trading = [
        (calendars.get(symbol) or calendar_of(asset_class)).trades_during(interval, start)
        for symbol, asset_class, interval, start in bars.select(
            "symbol", "asset_class", "interval", "event_time"
        ).iter_rows()
    ]
    return bars.with_columns(market_open=pl.Series(trading, dtype=pl.Boolean))
