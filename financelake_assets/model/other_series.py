"""Other series that features ask for: which of their bars were known at each bar, as pure functions.

Input: bars of other series, and the calendars of their symbols. Output: what a feature gets beside its own bars, and at
which bars it can be computed. A bar of another series counts from its end on. One that the calendar expects, and that
silver has not yet, is waited for: only so has a bar live the values that a training gives it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import numpy.typing as npt
import polars as pl

from financelake_assets.calendars import TradingCalendar, calendar_of
from financelake_assets.intervals import SERIES, bar_length
from financelake_assets.model.features import returns_of, span
from financelake_assets.plugins import installed
from financelake_assets.plugins.declaration import Other, Plugin, PluginError
from financelake_assets.plugins.leaks import KNOWN_AT
from financelake_assets.silver.merging import without_growing
from financelake_assets.silver.schema import BARS

Plugins = Collection[Plugin]
Series = tuple[str, str]
"""Symbol and interval."""

HANDED = (
    *("symbol", "asset_class", "interval", "event_time"),
    *("open", "high", "low", "close", "adj_close", "volume", "split", "imputed"),
)
"""The columns of other bars that a feature gets, beside ``price``, ``log_return`` and ``known_at``."""

COLUMNS = (*HANDED, "trades", "parts")
"""The columns of silver.bars that are read of other series."""

_ALWAYS = datetime(9999, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class OtherBars:
    """The finished bars of other series, in order of time, and until when each series is complete.

    ``until``: a bar that ends before knows all that its calendar expects of the other series.
    """

    series: Mapping[Series, pl.DataFrame] = field(default_factory=dict)
    until: Mapping[Series, datetime] = field(default_factory=dict)


NONE = OtherBars()

_TIME = pl.Datetime("us", "UTC")


def asking(plugins: Plugins) -> list[Plugin]:
    """The plug-ins that ask for other series."""
    return [plugin for plugin in plugins if plugin.others]


def usable(plugins: Plugins, interval: str) -> tuple[Plugin, ...]:
    """The plug-ins that a market uses: those whose other series have its bars or longer ones.

    Args:
        plugins: that are installed.
        interval: of the market's bars.
    """

    def fits(other: Other) -> bool:
        length, own = bar_length(other.interval or interval), bar_length(interval)
        return length > own if other.symbol is None else length >= own

    return tuple(plugin for plugin in plugins if all(fits(other) for _, other in plugin.others))


def complete(bars: pl.DataFrame, calendars: Mapping[str, TradingCalendar]) -> OtherBars:
    """What is known of other series.

    Args:
        bars: rows with ``COLUMNS``, without gaps in each series up to silver's newest.
        calendars: by symbol; other symbols have that of their class.
    """
    if bars.is_empty():
        return NONE
    series, until = {}, {}
    returned = returns_of(without_growing(bars)).select(*HANDED, "price", "log_return")
    for rows in returned.partition_by(SERIES, maintain_order=True):
        symbol, interval, asset_class = rows.select(*SERIES, "asset_class").row(-1)
        series[symbol, interval] = with_ends(rows)
        calendar = calendars.get(symbol) or calendar_of(asset_class)
        next_one = calendar.next_expected(interval, rows["event_time"][-1])
        until[symbol, interval] = next_one + bar_length(interval)
    return OtherBars(series, until)


def with_ends(bars: pl.DataFrame) -> pl.DataFrame:
    """Add ``known_at``, the end of each bar, to bars of one series."""
    return bars.with_columns((pl.col("event_time") + bar_length(str(bars["interval"][0]))).alias(KNOWN_AT))


def handed(plugin: Plugin, ended: pl.DataFrame, others: OtherBars) -> dict[str, pl.DataFrame]:
    """What a feature gets beside bars of one series.

    Args:
        plugin: a feature.
        ended: its bars, see ``with_ends``.
        others: the other series.

    Returns:
        By name the bars of each other series: from the declared number before the one that was known at the first bar,
        to the one that was known at the last; none where the symbol has no such bars.

    Raises:
        PluginError: silver has no bar of a symbol that it names.
    """
    symbol, interval = str(ended["symbol"][0]), str(ended["interval"][0])
    found = {}
    for name, other in plugin.others:
        rows = _bars_of(plugin, other, symbol, interval, others)
        places = _known(rows, ended)
        first = max(0, int(places[0]) - other.bars)
        found[name] = rows.slice(first, max(0, int(places[-1]) + 1 - first))
    return found


def computable(plugin: Plugin, series: pl.DataFrame, others: OtherBars) -> pl.Series:
    """At which bars of one series a feature has all that it asks for.

    It has not where an expected bar of another series is not there yet, or where that series has too few bars before,
    or has them with too long a gap.

    Args:
        plugin: a feature.
        series: its bars, in order of time.
        others: the other series.

    Raises:
        PluginError: silver has no bar of a symbol that it names.
    """
    symbol, interval = str(series["symbol"][0]), str(series["interval"][0])
    ended = with_ends(series)
    ends = ended[KNOWN_AT].dt.epoch("us").to_numpy()
    found = np.ones(series.height, dtype=np.bool_)
    for _, other in plugin.others:
        rows = _bars_of(plugin, other, symbol, interval, others)
        key = other.of(symbol, interval)
        oldest = _known(rows, ended) - other.bars - 1  # its return knows the bar before the oldest
        begun = np.append(rows["event_time"].dt.epoch("us").to_numpy(), 0)[np.maximum(oldest, 0)]
        most = span(key[1], other.bars + 1) // _MICROSECOND
        enough = (oldest >= 0) & (ends - begun <= most)
        # the bars of the look-back know other bars too
        behind = np.concatenate([np.zeros(plugin.lookback, dtype=np.bool_), enough])[: series.height]
        found &= enough & behind & (ended[KNOWN_AT] < others.until.get(key, _ALWAYS)).to_numpy()
    return pl.Series(found)


def settled(plugins: Plugins, keys: pl.DataFrame, others: OtherBars) -> pl.DataFrame:
    """The bars that wait for no bar of another series.

    Args:
        plugins: features in use.
        keys: symbol, interval and event_time of bars of one interval.
        others: the other series.

    Returns:
        The rows of ``keys`` that can be scored now; all where no feature asks for another series.
    """
    if keys.is_empty() or not asking(plugins):
        return keys
    interval = str(keys["interval"][0])

    def complete_until_of(symbol: str) -> datetime:
        asked = _asked(plugins, symbol, interval) & others.until.keys()
        return min((others.until[key] for key in asked), default=_ALWAYS)

    until = {symbol: complete_until_of(symbol) for symbol in keys["symbol"].unique()}
    complete_until = pl.col("symbol").replace_strict(until, return_dtype=_TIME)
    return keys.filter(pl.col("event_time") + bar_length(interval) < complete_until)


def waits_for(plugins: Plugins, keys: pl.DataFrame, others: OtherBars) -> str:
    """What bars wait for, in words: of the other series the one that is complete for the shortest time.

    Args:
        plugins: features in use.
        keys: symbol, interval and event_time of bars of one interval that ``settled`` left out.
        others: the other series.
    """
    interval = str(keys["interval"][0])
    asked = set().union(*(_asked(plugins, symbol, interval) for symbol in keys["symbol"].unique()))
    first = min(asked & others.until.keys(), key=lambda key: (others.until[key], key))
    newest = others.series[first]["event_time"][-1]
    return f"{first[0]} {first[1]}, whose newest finished bar began {newest:%Y-%m-%d %H:%M}"


def refuse_missing(plugins: Plugins, interval: str, others: OtherBars) -> None:
    """Make sure that there are the other series that a training needs: of the symbols that are named, and of any other.

    Args:
        plugins: features in use.
        interval: of the training.
        others: the other series of all its symbols.

    Raises:
        PluginError: silver has no finished bar of one.
    """
    for plugin in plugins:
        for _, other in plugin.others:
            symbol, length = other.of("", interval)
            if not any(key[1] == length and symbol in ("", key[0]) for key in others.series):
                raise _missing(plugin, f"{symbol or 'its symbols'} {length}")


def _asked(plugins: Plugins, symbol: str, interval: str) -> set[Series]:
    return {other.of(symbol, interval) for plugin in plugins for _, other in plugin.others}


def _bars_of(plugin: Plugin, other: Other, symbol: str, interval: str, others: OtherBars) -> pl.DataFrame:
    found = others.series.get(other.of(symbol, interval))
    if found is not None:
        return found
    if other.symbol is not None:
        raise _missing(plugin, " ".join(other.of(symbol, interval)))
    return no_bars()


def _missing(plugin: Plugin, what: str) -> PluginError:
    return PluginError(
        f"{plugin.title} needs bars of {what}, and silver has no finished one",
        remedy=f"Load them, or name the plug-in in {installed.SKIPPED}.",
    )


def _known(rows: pl.DataFrame, ended: pl.DataFrame) -> npt.NDArray[np.int64]:
    """The place of the newest bar of another series that was known at each bar; -1 where there was none."""
    known, ends = (frame[KNOWN_AT].dt.epoch("us").to_numpy() for frame in (rows, ended))
    return np.searchsorted(known, ends, side="right").astype(np.int64) - 1


@cache
def no_bars() -> pl.DataFrame:
    """What a feature gets of a series that there is not."""
    numbers = [pl.lit(None, pl.Float64).alias(name) for name in ("price", "log_return")]
    return BARS.empty.select(HANDED).with_columns(*numbers, pl.lit(None, _TIME).alias(KNOWN_AT))
