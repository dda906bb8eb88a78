"""When a feed asks for which bars."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.calendars import trading_calendar
from financelake_assets.feeds.schedule import (
    Present,
    is_due,
    settling,
    spans,
    usual_start,
    wait_after_failure,
    wait_for_more,
)
from financelake_assets.intervals import BAR_LENGTHS

NOW = datetime(2026, 3, 4, 15, 30, 20, tzinfo=UTC)  # a Wednesday on which New York trades
MINUTE = datetime(2026, 3, 4, 15, 30, tzinfo=UTC)
OLD = datetime(2020, 1, 1, tzinfo=UTC)


def test_an_empty_lake_asks_for_all_of_it() -> None:
    assert spans(OLD, "1d", None, None) == [(OLD, None)]
    assert spans(None, "1d", None, None) == [(None, None)]


def test_history_ends_where_live_trades_begin() -> None:
    assert spans(OLD, "1m", None, MINUTE) == [(OLD, MINUTE)]
    present = Present(MINUTE, MINUTE + timedelta(hours=3))
    assert spans(OLD, "1m", present, NOW) == [(OLD, MINUTE)], (
        "bars of trades are followed by their numbers, not asked for"
    )


def test_what_is_there_is_not_asked_for_again() -> None:
    newest = NOW - timedelta(days=20)
    assert spans(OLD, "1d", Present(OLD + timedelta(days=3), newest), None) == [(newest, None)]
    assert spans(OLD, "1d", Present(OLD + timedelta(days=30), newest), None) == [
        (OLD, OLD + timedelta(days=30)),
        (newest, None),
    ]
    assert spans(None, "1d", Present(OLD, newest), None) == [(newest, None)]


@pytest.mark.parametrize(("interval", "days"), [("1m", 30), ("30m", 30), ("1h", 730), ("12h", 730)])
def test_without_a_start_minutes_go_back_a_month_and_hours_two_years(interval: str, days: int) -> None:
    start = usual_start(interval, NOW)
    assert start is not None
    assert (NOW - start).days == days
    assert usual_start("1d", NOW) is None


def test_a_crypto_bar_is_due_when_it_is_over() -> None:
    always = trading_calendar("24/7")
    newest = MINUTE - timedelta(minutes=1)
    assert not is_due(always, "1m", newest, MINUTE + timedelta(seconds=59))
    assert not is_due(always, "1m", newest, MINUTE + timedelta(minutes=1) + settling("1m") - timedelta(seconds=1))
    assert is_due(always, "1m", newest, MINUTE + timedelta(minutes=1) + settling("1m"))


def test_a_stocks_day_is_due_after_the_close_and_not_on_a_weekend() -> None:
    new_york = trading_calendar("XNYS")
    friday = datetime(2026, 3, 6, tzinfo=UTC)
    close = datetime(2026, 3, 6, 21, 0, tzinfo=UTC)
    assert not is_due(new_york, "1d", friday - timedelta(days=1), close)
    assert is_due(new_york, "1d", friday - timedelta(days=1), close + settling("1d"))
    assert not is_due(new_york, "1d", friday, friday + timedelta(days=3))
    assert is_due(new_york, "1d", friday, friday + timedelta(days=3, hours=22))


@given(st.sampled_from(list(BAR_LENGTHS)), st.integers(0, 1_000))
def test_waits_grow_and_have_an_end(interval: str, times: int) -> None:
    assert timedelta(0) < wait_for_more(interval, times) <= wait_for_more(interval, times + 1) <= timedelta(hours=1)
    assert timedelta(0) < wait_after_failure(times) <= wait_after_failure(times + 1) <= timedelta(hours=1)
