"""The part of a series that a chart shows, and its bars in groups where they are more than a screen can show.

Input: the ``Frames`` of a series and what the visitor asked for: the newest bars, or the time that the chart was moved
to. Output: a ``Series``. A group of bars is one candle: its open is the first bar's, high and low are the highest and
lowest, close and indicators the last bar's, the volume is the sum. Groups are counted from the oldest bar, so that a
new bar changes only the last one. Pure.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import polars as pl

from dash_app.data import market
from dash_app.data.history import Frames
from dash_app.data.indicators import Choice
from dash_app.data.lake_reader import Snapshot
from dash_app.data.market import Series

MOST_CANDLES = 1_000
"""In the visible part of a chart. Plotly draws so many in less than 0.1 s, and a screen shows no more."""
_WARM_UP = 1_000
"""Bars before the first shown one that indicators use."""
_MANTISSAS = (1, 2, 5)

Span = tuple[datetime, datetime]


def group_size(bars: int) -> int:
    """How many bars make one candle: 1, 2, 5, 10, 20, … so that at most ``MOST_CANDLES`` are visible."""
    size, at = 1, 0
    while bars > size * MOST_CANDLES:
        at += 1
        size = _MANTISSAS[at % 3] * int(10 ** (at // 3))
    return size


def series(
    snapshot: Snapshot,
    frames: Frames,
    symbol: str,
    interval: str,
    bars: int,
    span: Span | None = None,
    show: tuple[Choice, ...] = (),
) -> Series | None:
    """The newest bars, or those of a time span with half of it on either side, so that a chart can be moved at once.

    Args:
        snapshot: what else is known of the symbol.
        frames: the series.
        symbol: of the series.
        interval: of the series.
        bars: how many of the newest to show.
        span: the visible time instead, from its first to its last moment.
        show: the indicators.
    """
    times = frames.bars["event_time"] if not frames.bars.is_empty() else None
    if times is None:
        return None
    total = len(times)
    first, last = max(0, total - bars), total
    if span is not None:
        first = min(int(times.search_sorted(span[0], side="left")), total - 1)
        last = max(first + 1, int(times.search_sorted(span[1], side="right")))
    group = group_size(last - first)
    margin = 0 if span is None else max(1, (last - first) // 2)
    begin = max(0, first - margin) // group * group
    end = min(total, -(-(last + margin) // group) * group)
    warm = max(0, begin - _WARM_UP)
    part = Frames(frames.bars.slice(warm, end - warm), frames.predictions, frames.signals)
    whole = market.assembled(snapshot, symbol, interval, part, end - begin, show)
    return replace(whole if group == 1 else _grouped(whole, group), group=group, older=begin > 0, newer=end < total)


def _grouped(whole: Series, group: int) -> Series:
    lines = [one.column(line) for one in whole.show for line in one.lines]
    rows = whole.bars.group_by(pl.int_range(pl.len()) // group, maintain_order=True).agg(
        pl.col("event_time").first(),
        pl.col("open").drop_nulls().first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").drop_nulls().last(),
        pl.when(pl.col("volume").count() > 0).then(pl.col("volume").sum()).first().alias("volume"),
        pl.col("imputed").last(),
        pl.col("signal").filter(pl.col("signal") == "BUY").len().alias("buys"),
        pl.col("signal").filter(pl.col("signal") == "SELL").len().alias("sells"),
        pl.len().alias("count"),
        *(pl.col(line).last() for line in lines),
    )
    texts, numbers = (
        ("signal", "reason"),
        (
            *("predicted_return", "predicted_close", "lower", "upper", "confidence"),
            *("expected_lower", "expected_upper", "expected_close"),
        ),
    )
    drawn = rows.drop("literal", strict=False).with_columns(
        *(pl.lit(None, pl.String).alias(name) for name in texts),
        *(pl.lit(None, pl.Float64).alias(name) for name in numbers),
        at=market.plotted(pl.col("event_time"), whole.interval),
    )
    return replace(whole, bars=drawn)
