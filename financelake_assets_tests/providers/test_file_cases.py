"""Files in the shape of public exports: each is read right, or refused with the option that settles it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from financelake_assets.providers.base import ProviderError
from financelake_assets.providers.files import FileProvider, Looked
from financelake_assets.providers.formats.rows import RowReader
from financelake_assets.providers.request import IngestRequest

CASES = Path(__file__).parent / "cases"
NY = "America/New_York"


def look(path: str, **options: Any) -> list[Looked]:
    return list(FileProvider(IngestRequest(path=CASES / path, **options)).look())


def rows(looked: Looked) -> pl.DataFrame:
    assert looked.table is not None
    assert looked.reading is not None
    return pl.concat(piece.rows for piece in RowReader(looked.reading, looked.table).pieces())


# path, options, messages, odd, symbols, interval, first, last, a first value or none
READ = [
    ("01-*/ETHUSDT-1h-2024-12.csv", {}, 6, 0, "ETHUSDT", "1h", "2024-12-31T18:00", "2024-12-31T23:00", 3305.0),
    ("02-*/ETHUSDT-1h-2024-11.csv", {}, 8, 0, "ETHUSDT", "1h", "2024-11-30T10:00", "2024-11-30T17:00", 3405.0),
    ("03-*/ETHUSDT.csv", {}, 8, 0, "ETHUSDT", "1h", "2024-12-31T20:00", "2025-01-01T03:00", 3305.0),
    ("03-*/long/ETHUSDT.csv", {}, 1500, 0, "ETHUSDT", "1m", "2024-12-31T00:00", "2025-01-01T00:59", 3305.0),
    ("04-*/SOLUSDT-aggTrades*.csv", {}, 8, 0, "SOLUSDT", "tick", "2024-12-31T00:00", "2024-12-31T00:00", 190.0),
    ("04-*/SOLUSDT-trades*.csv", {}, 8, 0, "SOLUSDT", "tick", "2024-12-31T00:00", "2024-12-31T00:00", 190.0),
    ("05-*/XBTUSD_60.csv", {}, 8, 0, "XBTUSD", "1h", "2024-03-04T00:00", "2024-03-04T07:00", 62050.0),
    ("05-*/XBTUSD.csv", {}, 8, 0, "XBTUSD", "tick", "2024-03-04T00:00", "2024-03-04T00:00", 62000.5),
    ("05-*/with-header/XBTUSD_60.csv", {}, 8, 0, "XBTUSD", "1h", "2024-03-04T00:00", "2024-03-04T07:00", 62050.0),
    ("06-*/Gemini*.csv", {}, 12, 0, "BTC/USD", "1h", "2020-06-01T00:00", "2020-06-01T11:00", 9421.0),
    ("06-*/Coinbase*.csv", {}, 12, 0, "BTCUSD", "1h", "2020-06-01T06:00", "2020-06-01T17:00", 9421.0),
    (
        *("06-*/Coinbase*.csv", {"columns": {"event_time": "Unix Timestamp"}, "interval": "1h"}),
        *(12, 0, "BTCUSD", "1h", "2020-06-01T06:00", "2020-06-01T17:00", 9421.0),
    ),
    ("07-*/EURUSD_H1_2024*.csv", {}, 8, 0, "EURUSD", "1h", "2024-01-02T09:00", "2024-01-03T12:00", 1.101),
    ("07-*/EURUSD_H1_utf16.csv", {}, 8, 0, "EURUSD", "1h", "2024-01-02T09:00", "2024-01-03T12:00", 1.101),
    ("08-*/EURUSD60.csv", {}, 6, 0, "EURUSD", "1h", "2024-01-02T09:00", "2024-01-02T14:00", 1.101),
    (
        *("08-*/with-header/EURUSD60.csv", {"time_format": "%Y.%m.%d", "interval": "1h"}),
        *(6, 0, "EURUSD", "1h", "2024-01-02T09:00", "2024-01-02T14:00", 1.101),
    ),
    ("09-*/SPY.csv", {"timezone": NY}, 15, 0, "SPY", "1m", "2024-01-02T14:30", "2024-01-08T14:32", 470.5),
    (
        *("09-*/us/SPY.csv", {"timezone": NY, "time_format": "%m/%d/%Y"}),
        *(15, 0, "SPY", "1m", "2024-01-02T14:30", "2024-01-08T14:32", 470.5),
    ),
    ("10-*/aapl.us.txt", {}, 6, 0, "AAPL.US", "1d", "2024-01-02T00:00", "2024-01-09T00:00", 185.5),
    ("10-*/5min/aapl.us.txt", {}, 8, 0, "AAPL.US", "5m", "2024-01-02T09:30", "2024-01-02T10:05", 185.5),
    ("11-*/EURGBP=X.csv", {}, 8, 0, "EURGBP=X", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 1.36),
    ("12-*/MSFT.csv", {}, 8, 0, "MSFT", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 370.5),
    ("13-*/portfolio.csv", {}, 16, 0, "AAPL MSFT", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 185.5),
    ("14-*/AAPL.csv", {}, 8, 0, "AAPL", "1d", "2024-03-05T00:00", "2024-03-14T00:00", 170.5),
    ("14-*/tokyo/7203.T.csv", {}, 8, 0, "7203.T", "1d", "2024-03-04T00:00", "2024-03-13T00:00", 3500.5),
    ("14-*/mumbai/RELIANCE.NS.csv", {}, 8, 0, "RELIANCE.NS", "1d", "2024-03-04T00:00", "2024-03-13T00:00", 2900.5),
    (
        *("16-*/S&P*.csv", {"symbol": "SPX", "time_format": "%m/%d/%Y"}),
        *(8, 0, "SPX", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 4742.5),
    ),
    ("16-*/older/Crude*.csv", {"symbol": "CL=F"}, 8, 0, "CL=F", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 72.5),
    ("18-*/DAX.csv", {}, 8, 0, "DAX", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 16750.5),
    ("18-*/latin1/DAX.csv", {}, 8, 0, "DAX", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 16750.5),
    ("18-*/tie/DAX.csv", {}, 8, 0, "DAX", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 16750.5),
    ("19-*/NIKKEI.csv", {"thousands": "."}, 8, 0, "NIKKEI", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 38500.0),
    ("20-alphavantage-json/IBM.json", {}, 3, 0, "IBM", "1d", "2024-01-02T00:00", "2024-01-04T00:00", 160.5),
    ("20-*/daily_KO.csv", {}, 8, 0, "KO", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 60.5),
    ("21-*/2024-01-02.csv.gz", {}, 24, 0, "A NA NAN TRUE", "1m", "2024-01-02T14:30", "2024-01-02T14:35", 140.5),
    ("22-*/*.csv", {}, 8, 0, "ESH4", "1m", "2024-01-02T14:30", "2024-01-02T14:37", 4742.5),
    ("23-*/all_stocks_5yr.csv", {}, 18, 0, "AAL AAPL ZTS", "1d", "2013-02-08T00:00", "2013-02-15T00:00", 15.5),
    ("23-*/finrl/train_data.csv", {}, 18, 0, "AAPL AXP BA", "1d", "2024-01-02T00:00", "2024-01-09T00:00", 100.5),
    ("24-*/NASDAQ_AAPL, 1D.csv", {}, 8, 0, "AAPL", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 185.5),
    ("24-*/CME*.csv", {}, 8, 0, "ES1!", "1h", "2024-01-02T14:30", "2024-01-11T14:30", 185.5),
    ("24-*/indicators/*.csv", {}, 8, 0, "AAPL", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 185.5),
    ("25-*/*.json", {}, 8, 0, "BTC_USDT", "1h", "2024-01-02T00:00", "2024-01-02T07:00", 42050.0),
    ("25-*/*.feather", {}, 8, 0, "BTC_USDT", "1h", "2024-01-02T00:00", "2024-01-02T07:00", 42050.0),
    ("25-*/*.parquet", {}, 8, 0, "BTC_USDT", "1h", "2024-01-02T00:00", "2024-01-02T07:00", 42050.0),
    ("26-*/DCOILWTICO.csv", {}, 9, 0, "DCOILWTICO", "1d", "2020-04-14T00:00", "2020-04-24T00:00", 18.5),
    ("26-*/old/DGS10.csv", {}, 9, 0, "DGS10", "1d", "2024-01-02T00:00", "2024-01-12T00:00", 4.0),
    ("27-*/AAPL.csv", {}, 8, 0, "AAPL", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 185.5),
    ("27-*/closes/SPX.csv", {}, 12, 0, "SPX", "1d", "2024-01-02T00:00", "2024-01-17T00:00", 4742.5),
    ("28-*/yyyymmddhhmm/SPY.csv", {}, 8, 0, "SPY", "1m", "2024-01-02T09:30", "2024-01-02T09:37", 470.5),
    ("28-*/yyyymmddhhmmss/SPY.csv", {}, 8, 0, "SPY", "1m", "2024-01-02T09:30", "2024-01-02T09:37", 470.5),
    (
        "28-*/dotnet/SPY.csv",
        {"time_format": "dotnet"},
        8,
        0,
        "SPY",
        "1m",
        "2024-01-02T09:30",
        "2024-01-02T09:37",
        470.5,
    ),
    ("29-*/AAPL.csv", {}, 8, 0, "AAPL", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 185.5),
    ("29-*/utf16/AAPL.csv", {}, 8, 0, "AAPL", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 185.5),
    ("30-*/ETHUSDT-1h-2024-11.zip", {}, 8, 0, "ETHUSDT", "1h", "2024-11-30T10:00", "2024-11-30T17:00", 3405.0),
    ("31-*/SPY.csv", {}, 8, 0, "SPY", "1m", "2024-01-02T14:30", "2024-01-02T14:37", 470.5),
    ("31-*/SPY.parquet", {}, 8, 0, "SPY", "1m", "2024-01-02T14:30", "2024-01-02T14:37", 470.5),
    ("32-*/AAPL.parquet", {}, 8, 0, "AAPL", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 185.5),
    ("33-*/7203.T.parquet", {}, 8, 0, "7203.T", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 185.5),
    ("33-*/bars.parquet", {}, 8, 0, "QQQ SPY", "1m", "2024-01-02T14:30", "2024-01-02T14:37", 470.5),
    ("35-*/BTC-USD.csv", {"timezone": NY}, 9, 0, "BTC-USD", "30m", "2024-11-03T04:00", "2024-11-03T08:00", 67000.5),
    ("36-*/EEX.csv", {}, 7, 0, "EEX", "1h", "2024-01-02T18:00", "2024-01-03T00:00", 470.5),
    ("37-*/ETHUSDT.csv", {}, 15, 1, "ETHUSDT", "1h", "2024-11-30T10:00", "2024-11-30T23:00", 3405.0),
    ("37-*/footer/CLZ24.csv", {}, 9, 1, "CLZ24", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 70.5),
    ("38-*/blank/AAPL.csv", {}, 8, 0, "AAPL", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 185.5),
    ("38-*/comma/AAPL.csv", {}, 8, 0, "AAPL", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 185.5),
    ("38-*/hash/AAPL.csv", {}, 8, 0, "AAPL", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 185.5),
    ("38-*/many/AAPL.csv", {}, 8, 0, "AAPL", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 185.5),
    ("39-*/BRK.B.csv", {}, 8, 0, "BRK.B", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 185.5),
    ("39-*/VOD.L.csv", {}, 8, 0, "VOD.L", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 185.5),
    ("39-*/0700.HK.csv", {}, 8, 0, "0700.HK", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 185.5),
    ("39-*/BTC_USD.csv", {}, 8, 0, "BTC_USD", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 185.5),
    ("40-*/AAPL.csv", {}, 8, 0, "AAPL", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 185.5),
    ("43-*/*.csv", {}, 8, 0, "SPY", "1m", "2024-01-02T14:30", "2024-01-02T14:37", 470.5),
    (
        *("44-*/mixed.csv", {}, 30, 0, "@ES# BRK/B DX-Y.NYB ES1! M&M.NS 币安人生USDT", "1d"),
        *("2024-01-02T00:00", "2024-01-08T00:00", 100.5),
    ),
    (
        *("46-*/ampm/SPY.csv", {"time_format": "%m/%d/%Y %I:%M:%S %p"}),
        *(8, 0, "SPY", "1m", "2024-01-02T09:30", "2024-01-02T09:37", 470.5),
    ),
    ("46-*/bitmex/SPY.csv", {}, 8, 0, "SPY", "1m", "2024-01-02T09:30", "2024-01-02T09:37", 470.5),
    ("46-*/est/SPY.csv", {}, 8, 0, "SPY", "1m", "2024-01-02T14:30", "2024-01-02T14:37", 470.5),
    (
        *("46-*/est/SPY.csv", {"time_format": "%Y-%m-%d %H:%M:%S %Z", "interval": "1m"}),
        *(8, 0, "SPY", "1m", "2024-01-02T14:30", "2024-01-02T14:37", 470.5),
    ),
    ("46-*/ib/SPY.csv", {}, 8, 0, "SPY", "1m", "2024-01-02T14:30", "2024-01-02T14:37", 470.5),
    ("47-*/*.csv", {}, 15, 0, "BITSTAMPUSD", "1m", "2011-12-31T07:52", "2011-12-31T08:06", 4.39),
    ("48-*/KO.csv", {}, 8, 0, "KO", "1d", "1962-01-02T00:00", "1962-01-11T00:00", 6.5),
    (
        "49-*/*.csv",
        {"symbol": "RELIANCE.NS"},
        8,
        0,
        "RELIANCE.NS",
        "1d",
        "2024-01-02T00:00",
        "2024-01-11T00:00",
        2590.5,
    ),
    ("51-*/AAPL.csv", {}, 8, 0, "AAPL", "1d", "2024-01-02T00:00", "2024-01-11T00:00", 185.5),
]


@pytest.mark.parametrize("case", READ, ids=lambda case: f"{case[0]} {' '.join(case[1])}".strip())
def test_what_is_read_right(case: tuple[Any, ...]) -> None:
    pattern, options, messages, odd, symbols, interval, first, last, close = case
    (path,) = CASES.glob(pattern)
    (looked,) = look(str(path), **options)
    assert looked.refusal is None
    found = looked.survey
    assert found is not None
    assert found.first is not None
    assert found.last is not None
    assert (found.messages, found.odd, " ".join(sorted(found.symbols)), found.intervals) == (
        *(messages, odd, symbols, {interval}),
    )
    assert (f"{found.first:%Y-%m-%dT%H:%M}", f"{found.last:%Y-%m-%dT%H:%M}") == (first, last)
    assert rows(looked)["close"][0] == close


REFUSED = [
    ("09-*/us/SPY.csv", {}, "--time-format '%m/%d/%Y'"),
    ("16-*/S&P*.csv", {}, "--symbol"),
    ("19-*/NIKKEI.csv", {}, "--decimal"),
    ("28-*/dotnet/SPY.csv", {}, "--time-format dotnet"),
    ("35-*/BTC-USD.csv", {}, "share symbol, interval and time"),
    ("39-*/Dow*.csv", {}, "--symbol"),
    ("41-*/DELISTED.csv", {}, "is empty"),
    ("42-*/AAPL.csv", {}, "Bars of a second or a month are not kept"),
    ("42-*/BTCUSDT.csv", {}, "--interval"),
    ("43-*/with-header/SPY.csv", {"interval": "1m"}, "in the file's name"),
    ("50-*/AAPL.xlsx", {}, "save it as CSV"),
    ("50-*/renamed/AAPL.csv", {}, "save it as CSV"),
    ("55-*/*.csv", {}, "apart, and bars of 1m cannot be"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case[0])
def test_what_is_refused_with_the_remedy(case: tuple[Any, ...]) -> None:
    pattern, options, told = case
    (path,) = CASES.glob(pattern)
    (looked,) = look(str(path), **options)
    assert told in (looked.refusal or "")
    with pytest.raises(ProviderError):
        list(FileProvider(IngestRequest(path=path, **options)).history())


def test_a_split_of_zero_is_none() -> None:
    (looked,) = look("15-dividends-and-splits-zero/AAPL.csv")
    found = rows(looked)
    assert found["split"].drop_nulls().to_list() == [4.0]
    assert found["dividend"].drop_nulls().to_list() == [0.24]


def test_the_hour_that_comes_twice_is_two_hours() -> None:
    (looked,) = look("35-dst-naive/BTC-USD.csv", timezone=NY)
    times = rows(looked)["event_time"].dt.strftime("%H:%M").to_list()
    assert times == ["04:00", "04:30", "05:00", "05:30", "06:00", "06:30", "07:00", "07:30", "08:00"]


def test_a_folder_tells_its_bad_file_and_goes_on() -> None:
    parts = list(FileProvider(IngestRequest(path=CASES / "41-one-empty-of-three")).history())
    assert [part.refused for part in parts] == [None, "DELISTED.csv is empty", None]
    assert [sum(len(chunk) for chunk in part.chunks) for part in parts] == [8, 0, 8]


def test_droppings_are_left_out_and_archives_are_not() -> None:
    assert [one.source.name for one in look("53-mac-leftovers")] == ["AAPL.csv"]
    assert [one.source.label for one in look("30-zip/mixed")] == [
        "BTCUSDT.csv",
        "ETHUSDT-1h-2024-10.zip: ETHUSDT-1h-2024-10.csv",
    ]


def test_partitions_are_columns() -> None:
    found = look("34-hive-partitions/bars")
    assert [(one.survey.messages, one.survey.symbols) for one in found if one.survey] == [(6, {"AAPL"}), (6, {"MSFT"})]
