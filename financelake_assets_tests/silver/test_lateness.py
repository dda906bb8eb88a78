"""Bars that should be there by now: by the symbol's own calendar, and never of what is played again."""

from __future__ import annotations

from datetime import UTC, datetime

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


def newest(provider: str = "yfinance") -> pl.DataFrame:
    return pl.DataFrame({"symbol": "AAPL", "interval": "1d", "event_time": FRIDAY, "provider": provider})


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


def test_the_page_warns_of_the_same_providers() -> None:
    assert set(PLAYED) == set(PLAYED_PROVIDERS)


def test_a_lake_names_its_late_series_the_latest_first(offline_lake: Settings) -> None:
    assert late_series(offline_lake, WEDNESDAY) == {}
    # the newest bar of each of the three is older than the moment by far; one of them comes from a replay
    rows = market(0, 3).with_columns(provider=pl.when(symbol="WTI").then(pl.lit("replay")).otherwise(pl.lit("csv")))
    append(offline_lake, rows)
    assert late_series(offline_lake, WEDNESDAY) == {}, "the universe does not know them yet"
    Universe(offline_lake, "csv").add([Instrument("AAPL", "stock"), Instrument("BTC-USD", "crypto")])
    late = late_series(offline_lake, WEDNESDAY)
    assert list(late) == ["BTC-USD 1d", "AAPL 1d"]  # a coin trades every day
    assert late_series(offline_lake, WEDNESDAY, "csv") == late
    assert late_series(offline_lake, WEDNESDAY, "kraken") == {}
    assert newest_bars(offline_lake)["event_time"].n_unique() == 1
