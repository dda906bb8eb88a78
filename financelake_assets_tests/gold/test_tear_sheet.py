"""The tear sheet: its numbers against empyrical's and a slow reading of the definitions, and its page."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, timedelta

import empyrical
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.gold.paper import performance, statistics, tear_sheet, tear_sheet_page
from financelake_assets.gold.paper.schema import EQUITY, TRADES
from financelake_assets.gold.paper.tear_sheet import sheet_of, worst_drawdowns
from financelake_assets_tests.gold.frames import START, frame

CAPITAL = 100_000.0
steps = st.lists(st.floats(-0.3, 0.4).map(lambda step: round(step, 6)), min_size=2, max_size=120)
gaps = st.integers(1, 40)


def rows(found: np.ndarray, hours: int = 24, start: datetime = START) -> pl.DataFrame:
    """Rows of gold.equity with these returns, one so many hours after the other."""
    equity = CAPITAL * np.cumprod(np.concatenate([[1.0], 1 + found]))
    made = [
        {
            "asset_class": "stock",
            "interval": "1d",
            "event_time": start + timedelta(hours=hours * number),
            "equity": value,
            "buy_and_hold": CAPITAL * (1 + number / 100),
            "exposure": 0.5,
            "turnover": 0.1,
            "luck_low": value * 0.9,
            "luck_high": value * 1.1,
            "luck_p": 0.4,
        }
        for number, value in enumerate(equity)
    ]
    return frame(EQUITY, made)


def series(days: pl.DataFrame) -> pd.Series:
    """Returns from day to day for empyrical."""
    equity = days["equity"].to_numpy()
    return pd.Series(equity[1:] / equity[:-1] - 1, index=pd.DatetimeIndex(days["day"].to_list()[1:]))


@given(steps, gaps)
def test_months_and_years_are_empyricals(found: list[float], gap: int) -> None:
    sheet = sheet_of(rows(np.array(found), 24 * gap), 252)
    returns = series(sheet.days)
    for ours, period in ((sheet.months, "monthly"), (sheet.years, "yearly")):
        theirs = empyrical.aggregate_returns(returns, period)
        assert len(ours) == len(theirs)
        np.testing.assert_allclose(ours["signals"], theirs.to_numpy(), rtol=1e-9, atol=1e-9)


@given(steps, st.integers(2, 30))
def test_the_rolling_sharpe_ratio_is_empyricals(found: list[float], window: int) -> None:
    ours = statistics.rolling_sharpe(np.array(found), window, 252)
    assert len(ours) == len(found)
    for end in range(len(found)):
        part = np.array(found[max(0, end + 1 - window) : end + 1])
        if len(part) < window or np.ptp(part) == 0:
            assert math.isnan(ours[end])
        else:
            theirs = empyrical.sharpe_ratio(part, annualization=252)
            assert ours[end] == pytest.approx(theirs, rel=1e-9, abs=1e-9)


@given(steps)
def test_the_worst_drawdown_is_empyricals_and_the_others_are_what_a_slow_reading_finds(found: list[float]) -> None:
    equity = np.cumprod(np.concatenate([[1.0], 1 + np.array(found)]))
    days = [date(2020, 1, 1) + timedelta(days=number) for number in range(len(equity))]
    ours = worst_drawdowns(days, equity, most=1_000)
    deepest = empyrical.max_drawdown(np.array(found))
    assert (ours["depth"][0] if len(ours) else 0.0) == pytest.approx(deepest, rel=1e-9, abs=1e-12)
    assert ours["depth"].is_sorted()
    # each day below an earlier day is in exactly one of them, and their depths are those of empyrical
    inside = set()
    for one in ours.iter_rows(named=True):
        first, last = days.index(one["peak"]), days.index(one["recovered"] or days[-1])
        part = equity[first : last + 1]
        assert one["depth"] == pytest.approx(empyrical.max_drawdown(part[1:] / part[:-1] - 1), rel=1e-9)
        assert equity[days.index(one["valley"])] == min(part)
        assert one["days"] == (days[last] - days[first]).days
        within = range(first + 1, last if one["recovered"] else last + 1)
        assert not inside & set(within)
        inside |= set(within)
        assert one["recovered"] is None or equity[last] >= equity[first]
    assert inside == {number for number in range(len(equity)) if equity[number] < max(equity[: number + 1])}


def test_the_steps_of_a_day_are_one_return() -> None:
    found = np.random.default_rng(1).normal(0.001, 0.01, 239)
    by_hours, whole = sheet_of(rows(found, 1), 365), rows(found, 1)
    ends = whole.filter(pl.col("event_time").dt.hour() == 23)
    assert by_hours.days["equity"].to_list() == [CAPITAL, *ends["equity"]]
    np.testing.assert_allclose(by_hours.days["turnover"], [0.0, *[2.4] * 10])
    assert by_hours.months["turnover"].sum() == pytest.approx(24.0)
    assert by_hours.years["signals"].to_list() == [pytest.approx(ends["equity"][-1] / CAPITAL - 1, rel=1e-9)]


def test_of_a_short_account_no_rolling_ratio_is_told() -> None:
    assert sheet_of(rows(np.array([])), 252).rolling.is_empty()
    assert sheet_of(rows(np.full(50, 0.01)), 252).rolling.is_empty()
    long = sheet_of(rows(np.random.default_rng(2).normal(0, 0.01, 1_000)), 252)
    assert long.window == round(365.2425 / 2)
    assert len(long.rolling) == 1_000 - long.window + 1


def test_an_account_that_lost_everything_ends_its_months_there() -> None:
    sheet = sheet_of(rows(np.array([0.1, -1.0, 0.0, 0.0])), 252)
    assert sheet.months["signals"].to_list() == [-1.0]
    assert sheet.worst["depth"].to_list() == [-1.0]


def test_nothing_is_left_out_of_the_worst_five() -> None:
    falls = [0.1, -0.05, 0.2, -0.3, 0.6, -0.01, 0.1, -0.2, 0.4, -0.15, 0.3, -0.1, 0.3]
    worst = sheet_of(rows(np.array(falls)), 252).worst
    assert [round(depth, 6) for depth in worst["depth"]] == [-0.3, -0.2, -0.15, -0.1, -0.05]
    assert len(worst) == tear_sheet.WORST


@pytest.fixture(scope="module")
def page() -> str:
    equity = rows(np.random.default_rng(3).normal(0.0005, 0.01, 800))
    worth = performance.statistics_of(equity, TRADES.empty, 21)
    return tear_sheet_page.page("Back-test of rf-1 <b>", ["Refits: 3 & more"], equity, worth)


def test_the_page_shows_every_part_and_escapes_what_it_is_told(page: str) -> None:
    assert "Back-test of rf-1 &lt;b&gt;" in page
    assert "Refits: 3 &amp; more" in page
    for part in tear_sheet_page.PARTS:
        assert page.count(f"<h3>{part}</h3>") == 1
    shown = page.split("<h1>")[1]
    for curve in ("signals", "buy and hold", "random", "luck"):
        assert curve in shown


def test_the_page_asks_no_network_for_anything(page: str) -> None:
    """What a browser fetches: sources, links, style sheets; the library's own text may name an address."""
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=", page)
    assert not re.findall(r"@import|url\(\s*['\"]?https?:", page.split("<script>")[0])
    assert page.count("<script>") >= 1, "the library is inside"
    assert len(page) > 1_000_000


def test_the_numbers_on_the_page_are_the_sheets(page: str) -> None:
    equity = rows(np.random.default_rng(3).normal(0.0005, 0.01, 800))
    sheet = sheet_of(equity, 252)
    for one in sheet.worst.iter_rows(named=True):
        assert f"<td>{one['depth']:+.1%}</td>" in page
        assert f"<td>{one['peak']:%Y-%m-%d}</td>" in page
    month = sheet.months.row(3, named=True)
    assert f"{month['signals']:+.1%}" in page
