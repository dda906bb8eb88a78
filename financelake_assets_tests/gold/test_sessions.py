from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from financelake_assets.calendars import trading_calendar
from financelake_assets.gold.sessions import with_market_open


def _open(*bars: tuple[str, str, str, datetime]) -> list[bool]:
    columns = {"symbol": pl.String, "asset_class": pl.String, "interval": pl.String}
    schema = {**columns, "event_time": pl.Datetime("us", "UTC")}
    found = with_market_open(pl.DataFrame(bars, schema=schema, orient="row"), {"VOD.L": trading_calendar("XLON")})
    return found["market_open"].to_list()


def test_a_day_is_open_when_the_symbols_own_market_has_a_session() -> None:
    independence, boxing = datetime(2024, 7, 4, tzinfo=UTC), datetime(2024, 12, 26, tzinfo=UTC)
    saturday = datetime(2024, 7, 6, tzinfo=UTC)
    assert _open(
        ("AAPL", "stock", "1d", independence),
        ("VOD.L", "stock", "1d", independence),
        ("AAPL", "stock", "1d", boxing),
        ("VOD.L", "stock", "1d", boxing),
        ("AAPL", "stock", "1d", saturday),
        ("BTC-USD", "crypto", "1d", saturday),
        ("WTI", "commodity", "1d", saturday),
    ) == [False, True, True, False, False, True, False]


def test_an_hour_is_open_when_the_market_trades_at_its_start() -> None:
    noon_in_london, afternoon = datetime(2024, 7, 3, 12, tzinfo=UTC), datetime(2024, 7, 3, 15, tzinfo=UTC)
    assert _open(
        ("AAPL", "stock", "1h", noon_in_london),
        ("VOD.L", "stock", "1h", noon_in_london),
        ("AAPL", "stock", "1h", afternoon),
    ) == [False, True, True]


def test_no_bars_are_no_bars() -> None:
    assert _open() == []
