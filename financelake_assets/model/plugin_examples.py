"""Example bars for a feature that asks for other series, made of the packaged real ones, for what no lake has.

Input: a feature and daily bars. Output: the same bars as those of an interval that its other series go with, on one
common time, and the other series. A symbol that is not among them has the bars of another one.
"""

from __future__ import annotations

import polars as pl

from financelake_assets.intervals import BAR_LENGTHS, SERIES, bar_length
from financelake_assets.model import other_series
from financelake_assets.model.other_series import COLUMNS, OtherBars
from financelake_assets.plugins.declaration import Other, Plugin

_DAILY = "1d"
_NEWEST = pl.datetime(2026, 1, 1, time_unit="us", time_zone="UTC")
_PARTS = 4  # a longer bar has so many of the shorter ones, or more


def examples(plugin: Plugin, bars: pl.DataFrame) -> tuple[pl.DataFrame, OtherBars]:
    """Bars for a feature, and the other series that it asks for.

    Args:
        plugin: a feature with other series.
        bars: daily bars of several symbols.

    Returns:
        Bars of one interval, and the other series, complete for ever.
    """
    interval = _interval_for([other for _, other in plugin.others])
    own = pl.concat(_paced(rows, interval) for rows in bars.partition_by(SERIES))
    rows = [_source(other, own, interval) for _, other in plugin.others]
    whole = pl.concat(row.select(COLUMNS) for row in rows).unique(["symbol", "interval", "event_time"], keep="last")
    return own, OtherBars(other_series.complete(whole, {}).series)


def _interval_for(others: list[Other]) -> str:
    """The longest interval of which the other series have longer bars, up to a day."""
    longer = [bar_length(other.interval) for other in others if other.interval is not None]
    fitting = [
        name
        for name, length in BAR_LENGTHS.items()
        if length <= BAR_LENGTHS[_DAILY] and all(_PARTS * length <= other for other in longer)
    ]
    return fitting[-1] if fitting else next(iter(BAR_LENGTHS))


def _paced(rows: pl.DataFrame, interval: str) -> pl.DataFrame:
    """The bars of a series as those of an interval, without pauses, all up to the same moment."""
    back = pl.len() - 1 - pl.int_range(pl.len())
    return rows.sort("event_time").with_columns(
        interval=pl.lit(interval), event_time=_NEWEST - back * pl.lit(bar_length(interval))
    )


def _source(other: Other, own: pl.DataFrame, interval: str) -> pl.DataFrame:
    if other.symbol is None:
        rows = own
    else:
        rows = own.filter(symbol=other.symbol)
        if rows.is_empty():
            longest = own.group_by("symbol").len().sort("len", "symbol")["symbol"][-1]
            rows = own.filter(symbol=longest).with_columns(symbol=pl.lit(other.symbol))
    if other.interval is None or other.interval == interval:
        return rows
    values = {"open": pl.col("open").first(), "high": pl.col("high").max(), "low": pl.col("low").min()}
    return (
        rows.sort("symbol", "event_time")
        .group_by_dynamic("event_time", every=other.interval, group_by="symbol")
        .agg(
            pl.col("asset_class").last(),
            **values,
            **{name: pl.col(name).last() for name in ("close", "adj_close", "imputed")},
            volume=pl.col("volume").sum(),
            split=pl.col("split").product(),
        )
        .with_columns(interval=pl.lit(other.interval), **dict.fromkeys(("trades", "parts"), pl.lit(None, pl.Int64)))
    )
