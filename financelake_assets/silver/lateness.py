"""Which series lack bars that should be there by now, by the calendar of each symbol.

Input: the newest bar of each series, and the universe. Output: how many bars are overdue. A series that is played
again or made up has no calendar to be judged by. History is not late: where the newest bar was old when it came, the
series was loaded, and nothing follows its market.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.bronze.universe import calendars
from financelake_assets.calendars import TradingCalendar
from financelake_assets.config import Settings
from financelake_assets.intervals import SERIES, interval_length
from financelake_assets.silver.schema import BARS

PLAYED = ("replay", "synthetic")
"""Providers whose bars come at other times than a market's."""

_DELAY = timedelta(hours=1)
"""A feed may deliver short bars as late as this, and longer ones by one bar."""


def newest_bars(settings: Settings) -> pl.DataFrame:
    """The newest bar of each series: symbol, interval, event_time, provider and ingested_at."""
    newest = pl.col("provider", "ingested_at").sort_by("event_time").last()
    return BARS.scan(settings).group_by(SERIES).agg(pl.col("event_time").max(), newest).collect()


def overdue(newest: pl.DataFrame, universe: pl.DataFrame, now: datetime) -> dict[tuple[str, str], int]:
    """How many bars are due and not there, of every series that comes from a live market.

    Args:
        newest: the columns of ``newest_bars``.
        universe: rows of reference/universe.
        now: the moment to judge by.

    Returns:
        By symbol and interval, also where it is 0; a symbol that the universe does not know is left out, and so is
        a series of which only history was loaded.
    """
    live = newest.filter(~pl.col("provider").is_in(PLAYED))
    known = calendars(universe.filter(pl.col("symbol").is_in(live["symbol"].unique().to_list())))
    return {
        (symbol, interval): known[symbol].overdue(interval, event_time, now)
        for symbol, interval, event_time, came in live.select(*SERIES, "event_time", "ingested_at").iter_rows()
        if symbol in known and not _was_old(known[symbol], interval, event_time, came)
    }


def _was_old(calendar: TradingCalendar, interval: str, newest: datetime, came: datetime | None) -> bool:
    """Whether the newest bar came so long after its end that later ones were due: a load of history, not a feed."""
    length = interval_length(interval)
    if came is None or length is None:
        return False
    return calendar.overdue(interval, newest, came) * length > max(length, _DELAY)


def late_series(settings: Settings, now: datetime, provider: str | None = None) -> dict[str, int]:
    """The series of the lake, or of what a provider tells, that lack bars, as ``symbol interval``, the latest first."""
    newest = newest_bars(settings)
    if provider is not None:
        newest = newest.filter(pl.col("provider") == provider)
    counts = overdue(newest, UNIVERSE.scan(settings).collect(), now)
    late = sorted(((count, series) for series, count in counts.items() if count), reverse=True)
    return {f"{symbol} {interval}": count for count, (symbol, interval) in late}
