"""Whether the market of a bar is open, so that a signal on the bar can be traded.

Enters: bars, and the calendars of their symbols. Leaves: the bars with ``market_open``. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from financelake_assets.calendars import TradingCalendar, calendar_of


def with_market_open(bars: pl.DataFrame, calendars: Mapping[str, TradingCalendar]) -> pl.DataFrame:
    """Bars with ``market_open``: whether the symbol's market trades at the bar's start, or on its day.

    Args:
        bars: symbol, asset_class, interval and event_time.
        calendars: by symbol; a symbol that has none there has that of its class.
    """
    trading = [
        (calendars.get(symbol) or calendar_of(asset_class)).trades_during(interval, start)
        for symbol, asset_class, interval, start in bars.select(
            "symbol", "asset_class", "interval", "event_time"
        ).iter_rows()
    ]
    return bars.with_columns(market_open=pl.Series(trading, dtype=pl.Boolean))
