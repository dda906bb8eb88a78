"""Trading calendars: a calendar, not the clock, decides whether bars are missing or late.

Input: a calendar's name (of exchange_calendars: ``XNYS``, ``XLON`` …, ``CMES`` for CME Globex, ``24/7`` for markets
that never close), bars' intervals, times. Output: plain answers. Pure, except that building a calendar takes a second
and the calendar is cached. Outside its years a calendar assumes that the market always trades and that no bar is
missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from financelake_assets.config import AssetClass
from financelake_assets.errors import FinanceLakeError
from financelake_assets.intervals import interval_length

if TYPE_CHECKING:
    from exchange_calendars import ExchangeCalendar

ALWAYS = "24/7"
BY_CLASS: Mapping[AssetClass, str] = {"stock": "XNYS", "crypto": ALWAYS, "commodity": "CMES"}
"""Calendars of symbols for which the universe file names none."""

_FIRST_DAYS = ("1960-01-01", "1991-01-01", "1997-01-01", None)
"""Some exchanges' holidays are known of later years only: Shanghai's from 1991, Tokyo's and Mumbai's from 1997."""
_DAYS_AHEAD = 366
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_DAY_MICROS = _DAY // _MICROSECOND

Micros = npt.NDArray[np.int64]
"""Microseconds since 1970 in UTC."""


class UnknownCalendarError(FinanceLakeError, ValueError):
    """There is no calendar with this name."""


@dataclass(frozen=True)
class Sessions:
    """The session of each of some moments: its day, counted from 1970, its open and its close.

    A moment at which the market is closed has the session before it, so it is not before the close.
    """

    days: Micros
    opens: Micros
    closes: Micros


@dataclass(frozen=True)
class Gap:
    """A gap: ``missing`` bars were due between two existing bars."""

    after: datetime
    before: datetime
    missing: int


class TradingCalendar:
    """The sessions of one market. Create it with ``trading_calendar``, which caches it."""

    def __init__(self, name: str) -> None:
        """Build the calendar.

        Raises:
            UnknownCalendarError: exchange_calendars has none with this name.
        """
        self.name = name
        self.zone, known = _always() if name == ALWAYS else _by_library(name)
        self._zone = ZoneInfo(self.zone)
        self._days, self._opens, self._closes = known.days, known.opens, known.closes
        # trading time before each session's open: the trading time between two moments is then two look-ups
        self._before = np.concatenate([[0], np.cumsum(self._closes - self._opens)])

    def is_trading(self, at: datetime) -> bool:
        """Whether the market is open at a moment (lunch breaks count as open)."""
        moment = _micros(at)
        if not self._knows(moment, moment):
            return True
        session = int(np.searchsorted(self._opens, moment, side="right")) - 1
        return bool(moment < self._closes[session])

    def is_session(self, at: datetime) -> bool:
        """Whether the market trades on the day of a daily bar."""
        day = self._day(at)
        if not self._days[0] <= day <= self._days[-1]:
            return True
        return bool(self._days[np.searchsorted(self._days, day)] == day)

    def trades_during(self, interval: str, start: datetime) -> bool:
        """Whether the market trades at the start of a bar or, for daily bars, on its day."""
        length = interval_length(interval)
        return self.is_session(start) if length is not None and length >= _DAY else self.is_trading(start)

    def sessions_of(self, moments: Micros) -> Sessions:
        """The session of each moment; where the calendar knows nothing, the day in UTC."""
        at = np.searchsorted(self._opens, moments, side="right") - 1
        known = (moments >= self._opens[0]) & (moments < self._closes[-1])
        days = np.where(known, self._days[at], moments // _DAY_MICROS)
        midnights = days * _DAY_MICROS
        return Sessions(
            days,
            np.where(known, self._opens[at], midnights),
            np.where(known, self._closes[at], midnights + _DAY_MICROS),
        )

    def missing(self, interval: str, earlier: datetime, later: datetime) -> int:
        """How many bars were due between the starts of two bars; ticks are never due."""
        length = interval_length(interval)
        if length is None or later <= earlier or not self._knows(_micros(earlier), _micros(later)):
            return 0
        return max(0, -(-self._distance(length, earlier, later) // _count(length)) - 1)

    def gaps(self, interval: str, times: Sequence[datetime]) -> list[Gap]:
        """The gaps between bars with these starts, which must be in order."""
        pairs = ((before, after, self.missing(interval, before, after)) for before, after in pairwise(times))
        return [Gap(before, after, count) for before, after, count in pairs if count]

    def next_expected(self, interval: str, after: datetime) -> datetime:
        """The start of the next bar after one; for ticks, the next moment at which a trade is possible."""
        length = interval_length(interval)
        if not self._knows(_micros(after), _micros(after)):
            return after + (length or _MICROSECOND)
        if length is not None and length >= _DAY:
            return self._next_day(length, after)
        moment = _micros(after + (length or _MICROSECOND))
        session = int(np.searchsorted(self._closes, moment, side="right"))
        if session == len(self._opens):
            return after + (length or _MICROSECOND)
        return _EPOCH + timedelta(microseconds=max(moment, int(self._opens[session])))

    def overdue(self, interval: str, newest: datetime, now: datetime) -> int:
        """How many bars have ended since the newest existing one; ticks are never due."""
        length = interval_length(interval)
        if length is None or now <= newest or not self._knows(_micros(newest), _micros(now)):
            return 0
        if length < _DAY:
            return max(0, self._trading(_micros(newest), _micros(now)) // _count(length) - 1)
        ended = int(np.searchsorted(self._closes, _micros(now), side="right"))
        return max(0, (ended - int(np.searchsorted(self._days, self._day(newest), side="right"))) // length.days)

    def _next_day(self, length: timedelta, after: datetime) -> datetime:
        """A daily bar starts like the previous one: at midnight in UTC, or in the market's zone."""
        if length.days % 7 == 0:
            return after + length  # every week has a trading day, whatever its holidays
        session = int(np.searchsorted(self._days, self._day(after), side="right")) + length.days - 1
        if session >= len(self._days):
            return after + length
        day = _EPOCH_DAY + timedelta(days=int(self._days[session]))
        if after.astimezone(UTC).time() == datetime.min.time():
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
        local = after.astimezone(self._zone)
        return datetime.combine(day, local.time(), self._zone).astimezone(UTC)

    def _distance(self, length: timedelta, earlier: datetime, later: datetime) -> int:
        """Trading time between two starts, in microseconds; for daily bars sessions, for weekly bars days."""
        if length < _DAY:
            return self._trading(_micros(earlier), _micros(later))
        if length.days % 7 == 0:
            return self._day(later) - self._day(earlier)
        first, last = np.searchsorted(self._days, [self._day(earlier), self._day(later) - 1], side="right")
        return int(last - first) + 1

    def _trading(self, earlier: int, later: int) -> int:
        return self._elapsed(later) - self._elapsed(earlier)

    def _elapsed(self, moment: int) -> int:
        """Trading time since the calendar's beginning."""
        session = int(np.searchsorted(self._opens, moment, side="right")) - 1
        if session < 0:
            return 0
        return int(self._before[session]) + min(moment, int(self._closes[session])) - int(self._opens[session])

    def _day(self, at: datetime) -> int:
        """The day of a daily bar: midnight in UTC is a date; another time is in the market's zone."""
        moment = at.astimezone(UTC)
        day = moment.date() if moment.time() == datetime.min.time() else at.astimezone(self._zone).date()
        return (day - _EPOCH_DAY).days

    def _knows(self, first: int, last: int) -> bool:
        return bool(self._opens[0] <= first and last < self._closes[-1])


def _always() -> tuple[str, Sessions]:
    """Zone and sessions of a market that never closes, from the same to the same day as the library's.

    The library takes a second for it, which is most of what a page of crypto would take to open.
    """
    first = (date.fromisoformat(str(_FIRST_DAYS[0])) - _EPOCH_DAY).days
    days = np.arange(first, (datetime.now(UTC).date() - _EPOCH_DAY).days + _DAYS_AHEAD, dtype=np.int64)
    opens = days * _DAY_MICROS
    return "UTC", Sessions(days, opens, opens + _DAY_MICROS)


def _by_library(name: str) -> tuple[str, Sessions]:
    built = _built(name)
    days = built.sessions.to_numpy().astype("datetime64[D]").astype(np.int64)
    return str(built.tz), Sessions(days, built.opens_nanos // 1_000, built.closes_nanos // 1_000)


def _built(name: str) -> ExchangeCalendar:
    """The library's calendar, from the first day that it knows."""
    from exchange_calendars import get_calendar  # seconds, with pandas; most processes build no calendar
    from exchange_calendars.errors import CalendarError

    problem: Exception | None = None
    for first in _FIRST_DAYS:
        try:
            return get_calendar(name, start=first)
        except CalendarError as error:
            problem = error
            break
        except ValueError as error:
            problem = error
    raise UnknownCalendarError(
        f"no calendar {name!r}; names are those of exchange_calendars, such as XNYS, XLON, CMES, 24/7"
    ) from problem


@lru_cache(maxsize=32)
def trading_calendar(name: str) -> TradingCalendar:
    """The calendar with this name; raises ``UnknownCalendarError`` if there is none."""
    return TradingCalendar(name)


def calendar_of(asset_class: AssetClass) -> TradingCalendar:
    """The calendar of an asset class, for symbols without their own."""
    return trading_calendar(BY_CLASS[asset_class])


def _count(length: timedelta) -> int:
    """The length of one bar in the unit of ``_distance``."""
    return length.days if length >= _DAY else length // _MICROSECOND


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND
