"""Bars that should be there by now: by the symbol's own calendar, never of what is played again or was history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from dash_app.wording import PLAYED_PROVIDERS
from financelake_assets.bronze.universe import Universe
from financelake_assets.config import Settings
from financelake_assets.providers.base import Instrument
from financelake_assets.silver.lateness import PLAYED, late_series, newest_bars, overdue
from financelake_assets_tests.gold.lakes import append, market

FRIDAY = datetime(2025, 6, 6, tzinfo=UTC)
SUNDAY, WEDNESDAY = datetime(2025, 6, 8, 12, tzinfo=UTC), datetime(2025, 6, 11, 3, tzinfo=UTC)


def newest(provider: str = "yfinance", interval: str = "1d", came: datetime | None = SUNDAY) -> pl.DataFrame:
    row = {"symbol": "AAPL", "interval": interval, "event_time": FRIDAY, "provider": provider, "ingested_at": came}
    return pl.DataFrame([row], schema_overrides={"ingested_at": pl.Datetime("us", "UTC")})


def universe(calendar: str | None = None) -> pl.DataFrame:
    row = {"symbol": "AAPL", "asset_class": "stock", "calendar": calendar}
    return pl.DataFrame([row], schema_overrides={"calendar": pl.String})


def test_a_series_is_late_by_the_sessions_that_have_ended() -> None:
    assert overdue(newest(), universe(), SUNDAY) == {("AAPL", "1d"): 0}
    assert overdue(newest(), universe(), WEDNESDAY) == {("AAPL", "1d"): 2}  # Monday's and Tuesday's


def test_the_symbols_own_calendar_goes_before_that_of_its_class() -> None:
    assert overdue(newest(), universe("24/7"), WEDNESDAY) == {("AAPL", "1d"): 4}


@pytest.mark.parametrize("provider", PLAYED)
def test_what_is_played_again_or_made_up_is_never_late(provider: str) -> None:
    assert overdue(newest(provider), universe(), WEDNESDAY) == {}


@pytest.mark.parametrize("provider", ["csv", "binance"])
def test_history_that_was_loaded_once_is_not_late(provider: str) -> None:
    months_later = FRIDAY + timedelta(days=90)
    loaded = newest(provider, came=months_later)
    assert overdue(loaded, universe(), months_later + timedelta(days=30)) == {}
    followed = newest(provider, came=FRIDAY + timedelta(days=1))
    assert overdue(followed, universe(), months_later)[("AAPL", "1d")] > 50, "a feed that stopped is late"
    assert overdue(newest(provider, came=None), universe(), WEDNESDAY) == {("AAPL", "1d"): 2}


@pytest.mark.parametrize(
    ("interval", "delay", "late"),
    [
        ("1m", timedelta(minutes=20), True),
        ("1m", timedelta(hours=3), False),
        ("1h", timedelta(hours=2, minutes=30), True),
        ("1h", timedelta(hours=9), False),
        ("1d", timedelta(days=2, hours=5), True),
        ("1d", timedelta(days=4), False),
    ],
)
def test_a_feed_that_delivers_late_is_followed_still(interval: str, delay: timedelta, late: bool) -> None:
    found = overdue(newest("test", interval, FRIDAY + delay), universe("24/7"), FRIDAY + timedelta(days=30))
    assert bool(found) is late


def test_the_page_warns_of_the_same_providers() -> None:
    assert set(PLAYED) == set(PLAYED_PROVIDERS)


def test_a_lake_names_its_late_series_the_latest_first(offline_lake: Settings) -> None:
    assert late_series(offline_lake, WEDNESDAY) == {}
    # the newest bar of each of the three is older than the moment by far; one of them comes from a replay
    rows = market(0, 3).with_columns(
        provider=pl.when(symbol="WTI").then(pl.lit("replay")).otherwise(pl.lit("yfinance")),
        ingested_at=pl.col("event_time") + timedelta(days=1),
    )
    append(offline_lake, rows)
    assert late_series(offline_lake, WEDNESDAY) == {}, "the universe does not know them yet"
    Universe(offline_lake, "yfinance").add([Instrument("AAPL", "stock"), Instrument("BTC-USD", "crypto")])
    late = late_series(offline_lake, WEDNESDAY)
    assert list(late) == ["BTC-USD 1d", "AAPL 1d"]  # a coin trades every day
    assert late_series(offline_lake, WEDNESDAY, "yfinance") == late
    assert late_series(offline_lake, WEDNESDAY, "kraken") == {}
    assert newest_bars(offline_lake)["event_time"].n_unique() == 1
