"""Findings in series: constructed ones, any that hypothesis makes, and what really happened to the packaged markets."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.calendars import calendar_of, trading_calendar
from financelake_assets.providers.replay import ReplayProvider
from financelake_assets.silver.findings import Kind, gaps, jumps

NYSE = trading_calendar("XNYS")
FIRST = datetime(2024, 1, 2, tzinfo=UTC)
SESSIONS = [day for n in range(130) if NYSE.is_session(day := FIRST + timedelta(days=n))]
TIME = pl.Datetime("us", "UTC")


def series(closes: list[float], splits: dict[int, float] | None = None) -> pl.DataFrame:
    """Daily bars from a list of closes."""
    return pl.DataFrame(
        {
            "event_time": pl.Series([FIRST + timedelta(days=n) for n in range(len(closes))], dtype=TIME),
            "close": pl.Series(closes, dtype=pl.Float64),
            "split": pl.Series([(splits or {}).get(n) for n in range(len(closes))], dtype=pl.Float64),
        }
    )


def at(times: list[datetime]) -> pl.DataFrame:
    return pl.DataFrame({"event_time": pl.Series(times, dtype=TIME)})


# -- gaps -----------------------------------------------------------------------------------------------


@given(st.sets(st.integers(1, len(SESSIONS) - 2)))
def test_the_runs_of_missing_sessions_are_found_and_nothing_else(removed: set[int]):
    found = gaps(at([day for n, day in enumerate(SESSIONS) if n not in removed]), "1d", NYSE)
    firsts = sorted(n for n in removed if n - 1 not in removed)
    assert found["event_time"].to_list() == [SESSIONS[n] for n in firsts]
    assert found["missing"].sum() == len(removed)
    ends = [next(n for n in range(first, len(SESSIONS)) if n not in removed) for first in firsts]
    assert found["until"].to_list() == [SESSIONS[n] for n in ends]


def test_nights_and_weekends_are_no_gaps_in_minutes_of_a_stock_and_are_in_those_of_a_coin():
    friday = datetime(2024, 1, 5, 20, 58, tzinfo=UTC)
    monday = datetime(2024, 1, 8, 14, 30, tzinfo=UTC)
    minutes = at([friday, friday + timedelta(minutes=1), monday, monday + timedelta(minutes=3)])
    found = gaps(minutes, "1m", NYSE)
    assert found.select("event_time", "missing").rows() == [(monday + timedelta(minutes=1), 2)]
    always = gaps(minutes, "1m", calendar_of("crypto"))
    assert always["missing"].to_list() == [(monday - friday) // timedelta(minutes=1) - 2, 2]


def test_trades_are_never_due():
    assert gaps(at([FIRST, FIRST + timedelta(days=9)]), "tick", NYSE).is_empty()


# -- jumps ----------------------------------------------------------------------------------------------

WALK = [100.0 + (n % 5) for n in range(80)]


def test_a_jump_is_found_on_its_bar_with_its_size():
    found = jumps(series([*WALK, 150.0, 151.0, 150.0]), 10, 0.1)
    assert found.select("event_time", "kind").rows() == [(FIRST + timedelta(days=80), Kind.PRICE_JUMP)]
    assert found["move"][0] == pytest.approx(150.0 / WALK[-1] - 1)


def test_a_price_that_jumps_there_and_back_is_found_twice():
    assert jumps(series([*WALK, 9.0, *WALK[:3]]), 10, 0.1)["event_time"].len() == 2


def test_a_split_that_the_close_is_not_adjusted_for_is_named_so():
    halved = series([*WALK, 51.0], {80: 2.0})
    assert jumps(halved, 10, 0.1)["kind"].to_list() == [Kind.UNADJUSTED_SPLIT]
    adjusted = series([*WALK, 102.0], {80: 2.0})
    assert jumps(adjusted, 10, 0.1).is_empty()
    elsewhere = series([*WALK, 20.0], {80: 2.0})
    assert jumps(elsewhere, 10, 0.1)["kind"].to_list() == [Kind.PRICE_JUMP]


def test_nothing_is_judged_by_too_few_bars():
    assert jumps(series([100.0, 101.0] * 9 + [500.0]), 10, 0.1).is_empty()


def test_a_price_that_never_moved_may_move_a_little():
    assert jumps(series([5.0] * 60 + [5.4]), 10, 0.1).is_empty()
    assert jumps(series([5.0] * 60 + [6.0]), 10, 0.1).height == 1


_closes = st.lists(st.floats(-1e6, 1e6), max_size=90)


@given(_closes, st.integers(1, 20))
def test_no_price_fails_and_the_unit_of_prices_does_not_matter(closes: list[float], power: int):
    found = jumps(series(closes), 10, 0.1)
    scaled = jumps(series([close * 2.0**power for close in closes]), 10, 0.1)
    assert found.drop("typical").equals(scaled.drop("typical"))
    assert (found["move"].abs() > 0.1).all()


@given(st.lists(st.floats(1, 1000), min_size=25, max_size=90), st.data())
def test_what_comes_later_changes_no_finding(closes: list[float], data: st.DataObject):
    cut = data.draw(st.integers(1, len(closes)))
    early, whole = jumps(series(closes[:cut]), 10, 0.1), jumps(series(closes), 10, 0.1)
    assert early.equals(whole.filter(pl.col("event_time") < FIRST + timedelta(days=cut)))


# -- real markets ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def markets() -> dict[str, pl.DataFrame]:
    """The packaged history by symbol."""
    (part,) = ReplayProvider().history()
    rows = pl.concat([chunk.rows for chunk in part.chunks]).sort("event_time")
    return {str(symbol): bars for (symbol,), bars in rows.partition_by("symbol", as_dict=True).items()}


@pytest.mark.parametrize(
    ("symbol", "day", "what"),
    [
        ("AAPL", date(2005, 2, 28), "two shares for one"),
        ("AAPL", date(2000, 9, 29), "a profit warning"),
        ("MSFT", date(2003, 2, 18), "two shares for one"),
        ("WTI", date(2020, 4, 20), "a price below zero"),
        ("HENRYHUB", date(2003, 2, 25), "a cold week"),
    ],
)
def test_famous_days_are_found(markets: dict[str, pl.DataFrame], symbol: str, day: date, what: str):
    assert day in jumps(markets[symbol], 10, 0.1)["event_time"].dt.date().to_list(), what


def test_the_days_on_which_a_hurricane_closed_a_market_are_missing(markets: dict[str, pl.DataFrame]):
    found = gaps(markets["HENRYHUB"], "1d", calendar_of("commodity")).sort("missing")
    assert found.select("event_time", "missing").row(-1) == (datetime(2005, 9, 23, tzinfo=UTC), 10)
    assert gaps(markets["AAPL"], "1d", NYSE).is_empty()
