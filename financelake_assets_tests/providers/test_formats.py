from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from financelake_assets.providers.bar_intervals import guess_interval
from financelake_assets.providers.base import ProviderError
from financelake_assets.providers.formats.names import guess_columns
from financelake_assets.providers.formats.symbols import guess_class
from financelake_assets.providers.formats.text import looks_like_data
from financelake_assets.providers.formats.times import guess_time


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            "Date,Open,High,Low,Close,Adj Close,Volume",  # Yahoo
            "event_time=Date open=Open high=High low=Low close=Close adj_close=Adj Close volume=Volume",
        ),
        (
            "unix,date,symbol,open,high,low,close,Volume BTC,Volume USD",  # CryptoDataDownload
            "symbol=symbol event_time=date open=open high=high low=low close=close volume=Volume BTC",
        ),
        ("trade_id,price,size,time,side", "event_time=time close=price volume=size trade_id=trade_id"),  # Coinbase
        ("DATE;CLOSE", "event_time=DATE;CLOSE close=?"),
        ("Ticker,Timestamp,Last Price", "symbol=Ticker event_time=Timestamp close=Last Price"),
    ],
)
def test_headers_of_well_known_sources(header: str, expected: str) -> None:
    names = header.split(",")
    if "?" in expected:
        with pytest.raises(ProviderError, match="looks like the"):
            guess_columns(names, {})
        return
    assert " ".join(f"{field}={column}" for field, column in guess_columns(names, {}).items()) == expected


def test_what_the_user_says_comes_first_and_frees_no_column_twice() -> None:
    found = guess_columns(["date", "close", "settle"], {"close": "settle", "adj_close": "close"})
    assert found == {"close": "settle", "adj_close": "close", "event_time": "date"}
    with pytest.raises(ProviderError, match="no such column: close=Last"):
        guess_columns(["date", "close"], {"close": "Last"})


@pytest.mark.parametrize(
    ("value", "pattern", "zoned"),
    [
        ("2020-01-31", "%Y-%m-%d", False),
        ("20200131", "%Y%m%d", False),
        ("2020-01-31 09:30:00", "%Y-%m-%d %H:%M:%S%.f", False),
        ("2020-01-31T09:30:00.123456", "%Y-%m-%dT%H:%M:%S%.f", False),
        ("2020-01-31T09:30:00Z", "%Y-%m-%dT%H:%M:%S%.f%#z", True),
        ("2020-01-31 09:30:00-05:00", "%Y-%m-%d %H:%M:%S%.f%#z", True),
        ("2020-01-31 09:30:00 UTC", "%Y-%m-%d %H:%M:%S%.f%#z", True),
        ("1580463000", "epoch_s", True),
        ("1580463000.25", "epoch_s", True),
        ("1580463000123", "epoch_ms", True),
        ("1580463000123456", "epoch_us", True),
        ("1580463000123456789", "epoch_ns", True),
    ],
)
def test_ways_to_write_a_time(value: str, pattern: str, zoned: bool) -> None:
    found = guess_time([value, value], None)
    assert (found.pattern, found.zoned) == (pattern, zoned)


def test_a_time_that_could_be_two_is_asked_for() -> None:
    with pytest.raises(ProviderError, match=r"'03/04/2020' can be read in more than one way.*--time-format"):
        guess_time(["03/04/2020"], None)


def _every(step: timedelta, count: int = 20) -> list[int]:
    begin = int(datetime(2020, 1, 6, tzinfo=UTC).timestamp() * 1e6)
    return [begin + int(step.total_seconds() * 1e6) * position for position in range(count)]


@pytest.mark.parametrize(
    ("times", "has_range", "interval"),
    [
        (_every(timedelta(minutes=1)), True, "1m"),
        (_every(timedelta(minutes=15)), False, "15m"),
        (_every(timedelta(hours=4)), True, "4h"),
        ([time for time in _every(timedelta(days=1), 60) if (time // 86_400_000_000) % 7 not in (2, 3)], True, "1d"),
        (_every(timedelta(days=7)), True, "1w"),
        ([0, 120_000, 130_000, 5_000_000, 5_100_000], False, "tick"),
        (_every(timedelta(days=30)), True, None),  # a month has no fixed length
        (_every(timedelta(days=1), 3), True, None),  # too few to tell
        ([], True, None),
    ],
)
def test_what_rows_are_bars_of(times: list[int], has_range: bool, interval: str | None) -> None:
    assert guess_interval(times, has_range) == interval


def test_the_class_of_a_symbol_by_its_form() -> None:
    assert [guess_class(one) for one in ("AAPL", "BTC-USD", "ETHUSDT", "BTC/EUR", "GC=F", "BRK-B")] == [
        *("stock", "crypto", "crypto", "crypto", "commodity", "stock")
    ]


def test_a_header_is_told_from_data() -> None:
    assert looks_like_data(["1600000000", "1.5", "2"])
    assert looks_like_data(["2020-01-01", "AAPL"])
    assert not looks_like_data(["", "Date", "T", "close"])
