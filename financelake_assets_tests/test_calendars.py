"""Calendars: what is due, missing and overdue, at holidays, early closes, changes of the clock, and on real history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets import calendars
from financelake_assets.calendars import (
    Gap,
    UnknownCalendarError,
    calendar_of,
    trading_calendar,
)
from financelake_assets.intervals import interval_length
from financelake_assets.providers.base import Chunk
from financelake_assets.providers.replay import ReplayProvider

STOCKS = trading_calendar("XNYS")
FUTURES = trading_calendar("CMES")
ALWAYS = trading_calendar("24/7")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("calendar", "moment", "open_"),
    [
        (STOCKS, "2024-07-03T14:00", True),
        (STOCKS, "2024-07-03T17:30", False),  # closes early before the holiday
        (STOCKS, "2024-07-04T15:00", False),
        (STOCKS, "2024-07-06T15:00", False),
        (STOCKS, "2024-07-05T13:30", True),
        (STOCKS, "2024-07-05T20:00", False),  # the close itself is no trading time
        (STOCKS, "2024-01-05T13:30", False),  # in winter New York opens an hour later
        (FUTURES, "2024-07-07T23:00", True),  # Sunday evening in Chicago
        (FUTURES, "2024-07-06T15:00", False),
        (ALWAYS, "2024-12-25T03:00", True),
    ],
)
def test_a_market_is_open_when_it_is(calendar: object, moment: str, open_: bool) -> None:
    assert calendar.is_trading(at(moment)) is open_  # type: ignore[attr-defined]


def test_days_without_a_session_are_known() -> None:
    assert not STOCKS.is_session(at("2024-07-04"))
    assert STOCKS.is_session(at("2024-07-05"))
    assert not FUTURES.is_session(at("2024-12-25"))
    assert ALWAYS.is_session(at("2024-12-25"))


@pytest.mark.parametrize(
    ("interval", "earlier", "later", "missing"),
    [
        ("1d", "2024-07-03", "2024-07-05", 0),  # the Fourth
        ("1d", "2024-07-05", "2024-07-08", 0),  # a weekend
        ("1d", "2024-07-02", "2024-07-05", 1),
        ("1d", "2024-07-03T04:00", "2024-07-08T04:00", 1),  # midnight in New York, as some sources write days
        ("1w", "2024-06-24", "2024-07-08", 1),
        ("1h", "2024-07-05T14:30", "2024-07-05T15:30", 0),
        ("1h", "2024-07-05T19:30", "2024-07-08T13:30", 0),  # bars counted from the open
        ("1h", "2024-07-05T19:00", "2024-07-08T13:00", 0),  # bars at full hours
        ("1h", "2024-07-05T18:30", "2024-07-08T13:30", 1),
        ("1h", "2024-07-03T16:30", "2024-07-05T13:30", 0),  # closed at one o'clock
        ("1m", "2024-07-05T19:59", "2024-07-08T13:31", 1),
        ("1m", "2024-07-05T15:00", "2024-07-05T15:11", 10),
        ("tick", "2024-07-05T15:00", "2024-07-08T15:11", 0),
    ],
)
def test_bars_are_missing_by_the_calendar_and_not_by_the_clock(
    interval: str, earlier: str, later: str, missing: int
) -> None:
    assert STOCKS.missing(interval, at(earlier), at(later)) == missing


def test_what_never_closes_misses_every_bar() -> None:
    assert ALWAYS.missing("1d", at("2024-07-05"), at("2024-07-08")) == 2
    assert ALWAYS.gaps("1h", [at("2024-07-06T00:00"), at("2024-07-06T01:00"), at("2024-07-06T05:00")]) == [
        Gap(at("2024-07-06T01:00"), at("2024-07-06T05:00"), 3)
    ]


@pytest.mark.parametrize(
    ("interval", "after", "expected"),
    [
        ("1d", "2024-07-03", "2024-07-05"),
        ("1d", "2024-03-08T05:00", "2024-03-11T04:00"),  # midnight in New York, over a change of its clock
        ("1m", "2024-07-03T16:59", "2024-07-05T13:30"),
        ("1m", "2024-07-05T13:30", "2024-07-05T13:31"),
        ("1h", "2024-07-05T19:30", "2024-07-08T13:30"),
        ("1w", "2024-07-01", "2024-07-08"),
        ("tick", "2024-07-05T21:00", "2024-07-08T13:30"),
    ],
)
def test_the_next_bar_is_expected_when_the_market_trades(interval: str, after: str, expected: str) -> None:
    assert STOCKS.next_expected(interval, at(after)) == at(expected)


@pytest.mark.parametrize(
    ("interval", "newest", "now", "overdue"),
    [
        ("1d", "2024-07-03", "2024-07-05T12:00", 0),
        ("1d", "2024-07-03", "2024-07-05T19:59", 0),  # the day is not over
        ("1d", "2024-07-03", "2024-07-05T20:00", 1),
        ("1d", "2024-07-05", "2024-07-08T12:00", 0),
        ("1m", "2024-07-05T19:59", "2024-07-08T13:30", 0),
        ("1m", "2024-07-05T19:59", "2024-07-08T13:35", 5),
        ("tick", "2024-07-05T19:59", "2024-07-08T13:35", 0),
    ],
)
def test_staleness_is_counted_in_bars_that_have_ended(interval: str, newest: str, now: str, overdue: int) -> None:
    assert STOCKS.overdue(interval, at(newest), at(now)) == overdue


def test_real_history_of_stocks_and_bitcoin_has_no_gap_and_no_day_off() -> None:
    (part,) = ReplayProvider().history()
    rows = pl.concat([chunk.rows for chunk in part.chunks])
    for instrument in Chunk(rows).instruments():
        if instrument.asset_class == "commodity":
            continue  # spot prices of statistics offices do not follow an exchange's calendar
        calendar = calendar_of(instrument.asset_class)
        times = rows.filter(pl.col("symbol") == instrument.symbol)["event_time"].sort().to_list()
        assert calendar.gaps("1d", times) == []
        assert all(calendar.is_session(time) for time in times)


def test_outside_the_known_years_nothing_is_claimed() -> None:
    assert STOCKS.is_trading(at("1900-01-07"))
    assert STOCKS.is_session(at("1900-01-07"))
    assert STOCKS.missing("1d", at("1900-01-01"), at("1900-02-01")) == 0
    assert STOCKS.overdue("1d", at("1900-01-01"), at("2024-02-01")) == 0
    assert STOCKS.next_expected("1d", at("1900-01-01")) == at("1900-01-02")


def test_an_unknown_calendar_is_told_with_examples() -> None:
    with pytest.raises(UnknownCalendarError, match=r"no calendar 'NYSE2'.*XNYS"):
        trading_calendar("NYSE2")


_MINUTES = st.integers(0, 60 * 24 * 366).map(lambda minute: at("2024-01-01") + timedelta(minutes=minute))


@given(_MINUTES, st.sampled_from(["1m", "5m", "1d"]))
def test_the_next_bar_is_later_in_trading_time_and_nothing_is_missing_before_it(after: datetime, interval: str) -> None:
    expected = STOCKS.next_expected(interval, after)
    assert expected > after
    assert STOCKS.missing(interval, after, expected) == 0
    if interval != "1d":
        assert STOCKS.is_trading(expected)


@given(_MINUTES, st.sampled_from(["1m", "1h", "1d"]), st.integers(1, 50))
def test_as_many_bars_are_missing_as_are_left_out(after: datetime, interval: str, left_out: int) -> None:
    length = interval_length(interval)
    assert length is not None
    assert ALWAYS.missing(interval, after, after + (left_out + 1) * length) == left_out


def test_a_market_that_never_closes_has_the_librarys_sessions() -> None:
    ours, theirs = calendars._always(), calendars._by_library(calendars.ALWAYS)
    assert ours[0] == theirs[0]
    for name in ("days", "opens", "closes"):
        mine, own = getattr(ours[1], name), getattr(theirs[1], name)
        common = min(len(mine), len(own))  # it may be built a moment later, on the next day
        assert abs(len(mine) - len(own)) <= 1
        assert (mine[:common] == own[:common]).all()
