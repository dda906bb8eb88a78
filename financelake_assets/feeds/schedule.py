"""When a feed asks for which bars: the past once, then each bar when the market's calendar says that it is over.

Input: what is wanted, what is there, and the time. Output: times between which to ask, and whether to ask now. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from financelake_assets.calendars import TradingCalendar
from financelake_assets.intervals import bar_length

_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_FAILED_FIRST, _FAILED_LONGEST = timedelta(seconds=30), _HOUR

Span = tuple[datetime | None, datetime | None]


@dataclass(frozen=True)
class Present:
    """The bars of a series that the lake has: start of the oldest and of the newest."""

    oldest: datetime
    newest: datetime


def usual_start(interval: str, now: datetime) -> datetime | None:
    """From when on history is wanted where nobody said: a month of minutes, two years of hours, all days."""
    length = bar_length(interval)
    if length >= _DAY:
        return None
    return (now - (timedelta(days=730) if length >= _HOUR else timedelta(days=30))).replace(second=0, microsecond=0)


def spans(start: datetime | None, interval: str, present: Present | None, live_from: datetime | None) -> list[Span]:
    """What to ask for when a feed starts.

    Args:
        start: from when on history is wanted; ``None`` is all of it.
        interval: of the bars.
        present: what is there.
        live_from: the lake makes these bars from live trades from this time on; ``None`` where it does not.
    """
    if present is None:
        return [(start, live_from)]
    length = bar_length(interval)
    found: list[Span] = []
    # a market has days off: what is missing at the beginning must be more than that
    if start is not None and present.oldest - start > max(4 * _DAY, 3 * length):
        found.append((start, present.oldest))
    if live_from is None:
        found.append((present.newest, None))
    return found


def is_due(calendar: TradingCalendar, interval: str, newest: datetime, now: datetime) -> bool:
    """Whether a bar is over that is not there. A provider has some seconds to finish it."""
    return calendar.overdue(interval, newest, now - settling(interval)) > 0


def settling(interval: str) -> timedelta:
    """How long after its end a bar is asked for."""
    return _MINUTE if bar_length(interval) >= _DAY else timedelta(seconds=3)


def wait_for_more(interval: str, times: int) -> timedelta:
    """How long to wait when a bar that is due was asked for so many times and did not come."""
    longest = min(_HOUR, max(_MINUTE, bar_length(interval) / 4))
    first = timedelta(seconds=10) if bar_length(interval) < _DAY else _MINUTE
    return min(longest, first * (1 << min(times, 10)))


def wait_after_failure(times: int) -> timedelta:
    """How long to wait when a symbol could not be had so many times in a row."""
    return min(_FAILED_LONGEST, _FAILED_FIRST * (1 << min(times, 10)))
