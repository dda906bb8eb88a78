"""Building: larger bars of a series' bars of one minute, by the sessions of its market. Pure functions over frames.

Input: bars of ``1m``, told or made of trades, and each symbol's calendar. Output: the bars of larger intervals that
they are parts of. Bars below a day are counted from the open of the session, and the last one ends at its close. A bar
of ``1d`` is a session, and starts at midnight UTC of its day. Minutes outside the sessions are parts of nothing. What
is built depends on the minutes alone, not on their order of arrival. ``larger.py`` reads and writes for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta

import numpy as np
import polars as pl

from financelake_assets.calendars import TradingCalendar
from financelake_assets.intervals import bar_length
from financelake_assets.silver.merging import BAR_OF_TRADES, LINEAGE, Change, exact_sum, is_built
from financelake_assets.silver.schema import BARS

PART = BAR_OF_TRADES
"""The interval of the bars that larger ones are built of."""

_DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)
_TIME = pl.Datetime("us", "UTC")
_SERIES = {"symbol": pl.String, "interval": pl.String}
WINDOWS = pl.DataFrame(schema={**_SERIES, "start": _TIME, "first": _TIME, "end": _TIME})
"""Windows: the key of a larger bar, from when on its minutes are, and until when."""

_ROW = [name for name in BARS.schema.names if name != "processed_at"]
_SAME = [name for name in _ROW if name not in (*BARS.key, "messages")]


def windows_of(
    minutes: pl.DataFrame, intervals: Collection[str], calendars: Mapping[str, TradingCalendar]
) -> pl.DataFrame:
    """The windows that minutes lie in, one row for each minute and interval.

    Args:
        minutes: symbol and event_time.
        intervals: of the larger bars, up to a day.
        calendars: by symbol; symbols without one have no windows.

    Returns:
        The columns of ``WINDOWS`` and ``event_time``, the minute.
    """
    found = [WINDOWS.with_columns(event_time=pl.lit(None, _TIME))]
    for (symbol,), of_symbol in minutes.select("symbol", "event_time").group_by("symbol"):
        if (calendar := calendars.get(str(symbol))) is not None:
            found += [_windows(of_symbol, interval, calendar) for interval in intervals]
    return pl.concat(found)


def _windows(minutes: pl.DataFrame, interval: str, calendar: TradingCalendar) -> pl.DataFrame:
    moments = minutes["event_time"].dt.epoch("us").to_numpy()
    sessions, length = calendar.sessions_of(moments), bar_length(interval)
    if length < _DAY:
        micros = length // _MICROSECOND
        first = sessions.opens + (moments - sessions.opens) // micros * micros
        start, end = first, np.minimum(first + micros, sessions.closes)
    else:
        first, end = sessions.opens, sessions.closes
        start = sessions.days * (_DAY // _MICROSECOND)
    times = {"start": start, "first": first, "end": end, "close": sessions.closes}
    return (
        minutes.with_columns(pl.Series(name, of).cast(_TIME) for name, of in times.items())
        .filter(pl.col("event_time") < pl.col("close"))
        .select("symbol", pl.lit(interval).alias("interval"), "start", "first", "end", "event_time")
    )


def build(
    minutes: pl.DataFrame, windows: pl.DataFrame, began: pl.DataFrame, calendars: Mapping[str, TradingCalendar]
) -> pl.DataFrame:
    """The larger bars of all minutes of some windows.

    A window in which its series began is left out, unless it began with it: the bar would lack its beginning.

    Args:
        minutes: rows of silver.bars of ``1m``: at least each one that lies in the windows.
        windows: with the columns of ``WINDOWS``.
        began: symbol and ``now``, its first minute. Those that are not named began before their windows.
        calendars: by symbol.

    Returns:
        Rows of silver.bars without ``processed_at``, counting no messages. ``provider`` and place are those of the part
        that arrived last. Dividends, splits and adjusted prices are told of days: they are null.
    """
    whole = windows.join(began, on="symbol", how="left").filter(
        pl.col("now").is_null() | (pl.col("now") <= pl.col("first"))
    )
    places = windows_of(minutes, whole["interval"].unique().to_list(), calendars)
    places = places.join(whole, on=["symbol", "interval", "start"], how="semi").rename({"interval": "larger"})
    of_trades = pl.col("trades").count() > 0
    newest = pl.col("arrived").arg_max()
    return (
        minutes.sort("ingested_at", "topic", "partition", "offset")
        .with_row_index("arrived")
        .drop("interval")
        .join(places, on=["symbol", "event_time"])
        .sort("symbol", "larger", "start", "event_time")
        .group_by("symbol", "larger", "start", maintain_order=True)
        .agg(
            pl.col("asset_class").last(),
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            exact_sum("volume").alias("volume"),
            *(pl.when(of_trades).then(pl.col(name).sum()).alias(name) for name in ("trades", "late_trades")),
            pl.len().cast(pl.Int64).alias("parts"),
            *(pl.col(name).get(newest) for name in LINEAGE),
        )
        .rename({"larger": "interval", "start": "event_time"})
        .with_columns(
            *(pl.lit(None, pl.Float64).alias(name) for name in ("adj_close", "dividend", "split")),
            imputed=pl.lit(None, pl.String),
            messages=pl.lit(0, pl.Int64),
        )
        .select(_ROW)
    )


def with_built(known: pl.DataFrame, change: Change, built: pl.DataFrame) -> Change:
    """Add built bars to a change of bars; a bar that is told keeps its place.

    Args:
        known: the rows of silver.bars with the keys of the change and of what was built.
        change: the change by messages and by trades.
        built: the result of ``build``.
    """
    key = list(BARS.key)
    before = known.join(change.rows, on=key, how="anti").select(_ROW)
    now = pl.concat([before, change.rows.select(_ROW)])
    new = built.join(now.filter(~is_built()), on=key, how="anti")
    same = new.join(now, on=key).filter(pl.all_horizontal(pl.col(n).eq_missing(pl.col(f"{n}_right")) for n in _SAME))
    new = new.join(same, on=key, how="anti")
    rows = pl.concat([change.rows, new.select(change.rows.columns)])
    replaces = change.replaces or not new.join(known, on=key, how="semi").is_empty()
    return Change(rows, replaces, change.accepted, change.duplicates)
