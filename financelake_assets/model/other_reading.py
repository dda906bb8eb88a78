"""Reading the other series that features ask for, from silver as it was at a version or as it is now.

Input: rows of silver.bars, plug-ins, and what they are used on. Output: ``OtherBars``. Where no plug-in asks for
another series, nothing is read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from functools import reduce

import polars as pl

from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.bronze.universe import calendars
from financelake_assets.calendars import TradingCalendar
from financelake_assets.config import Settings
from financelake_assets.intervals import SERIES
from financelake_assets.model import other_series
from financelake_assets.model.features import span
from financelake_assets.model.other_series import COLUMNS, NONE, OtherBars, Plugins, Series
from financelake_assets.plugins.declaration import Other, PluginError

MOST_BARS = 500_000
"""A training keeps the other bars in the memory of each of its processes: more are refused."""

_NEWEST = 2  # the newest may still grow


def of_lake(
    settings: Settings,
    silver: pl.LazyFrame,
    plugins: Plugins,
    interval: str,
    symbols: Collection[str] | None = None,
) -> OtherBars:
    """All bars of the other series that a training asks for.

    Args:
        settings: the lake.
        silver: rows of silver.bars.
        plugins: features in use.
        interval: of the bars that they are used on.
        symbols: of those bars; unset means all.

    Raises:
        PluginError: there are more than ``MOST_BARS``.
    """
    return of_bars(silver, plugins, interval, symbols, _calendars(settings)) if other_series.asking(plugins) else NONE


def of_bars(
    silver: pl.LazyFrame,
    plugins: Plugins,
    interval: str,
    symbols: Collection[str] | None = None,
    known: Mapping[str, TradingCalendar] | None = None,
) -> OtherBars:
    """``of_lake`` with the calendars by symbol; other symbols have that of their class."""
    asking = other_series.asking(plugins)
    if not asking:
        return NONE
    rows = silver.filter(reduce(pl.Expr.or_, (_wanted(one.others, interval, symbols) for one in asking)))
    count = rows.select(pl.len()).collect().item()
    if count > MOST_BARS:
        names = ", ".join(plugin.title for plugin in asking)
        raise PluginError(f"{names}: the other series have {count:,} bars, and a training takes {MOST_BARS:,} at most")
    return other_series.complete(rows.select(COLUMNS).collect(), known or {})


def beside(settings: Settings, silver: pl.LazyFrame, plugins: Plugins, bars: pl.DataFrame) -> OtherBars:
    """The bars of other series that features of some bars need.

    Args:
        settings: the lake.
        silver: rows of silver.bars.
        plugins: features in use.
        bars: of one interval, each series from the oldest bar that the features need.
    """
    if bars.is_empty() or not other_series.asking(plugins):
        return NONE
    return other_series.complete(read(silver, needed(plugins, bars)), _calendars(settings))


def read(silver: pl.LazyFrame, since: Mapping[Series, datetime]) -> pl.DataFrame:
    """The bars of some series from a time on; of a series that ended before, the newest: it tells what is late.

    Args:
        silver: rows of silver.bars.
        since: by series.
    """
    late = [_is(key) & (pl.col("event_time") >= first) for key, first in since.items()]
    rows = silver.filter(reduce(pl.Expr.or_, late)).select(COLUMNS).collect()
    ended = [_is(key) for key in since.keys() - set(rows.select(SERIES).iter_rows())]
    if not ended:
        return rows
    before = silver.filter(reduce(pl.Expr.or_, ended)).select(COLUMNS).collect()
    return pl.concat([rows, before.sort("event_time").group_by(SERIES).tail(_NEWEST).select(COLUMNS)])


def needed(plugins: Plugins, bars: pl.DataFrame) -> dict[Series, datetime]:
    """From when on features of some bars need each other series.

    Args:
        plugins: features in use.
        bars: symbol, interval and event_time, see ``beside``.
    """
    found: dict[Series, datetime] = {}
    firsts = bars.group_by("symbol", "interval").agg(pl.col("event_time").min())
    for symbol, interval, first in firsts.iter_rows():
        for plugin in plugins:
            for _, other in plugin.others:
                key = other.of(symbol, interval)
                # the return of the oldest bar knows the one before
                since = first - span(key[1], other.bars + 1)
                found[key] = min(since, found.get(key, since))
    return found


def _is(series: Series) -> pl.Expr:
    return (pl.col("symbol") == series[0]) & (pl.col("interval") == series[1])


def _wanted(others: Collection[tuple[str, Other]], interval: str, symbols: Collection[str] | None) -> pl.Expr:
    def one(other: Other) -> pl.Expr:
        of_interval = pl.col("interval") == (other.interval or interval)
        if other.symbol is not None:
            return of_interval & (pl.col("symbol") == other.symbol)
        return of_interval if symbols is None else of_interval & pl.col("symbol").is_in(list(symbols))

    return reduce(pl.Expr.or_, (one(other) for _, other in others))


def _calendars(settings: Settings) -> dict[str, TradingCalendar]:
    return calendars(UNIVERSE.scan(settings).collect())
