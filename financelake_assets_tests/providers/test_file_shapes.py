"""Shapes of public exports that were once read wrong in silence, or refused without need: each kind by an example."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from financelake_assets.providers.files import FileProvider, Looked
from financelake_assets.providers.formats.rows import RowReader
from financelake_assets.providers.request import IngestRequest
from financelake_assets_tests.providers.shapes import DAYS, HOUR, HOURS, MINUTE, MINUTES, OHLCV, bars, daily, text


def look(folder: Path, name: str, content: str, **options: Any) -> Looked:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, encoding="utf-8")
    (looked,) = FileProvider(IngestRequest(path=file, **options)).look()
    return looked


def first(looked: Looked) -> dict[str, Any]:
    assert looked.refusal is None
    assert looked.table is not None
    assert looked.reading is not None
    row = next(piece.rows for piece in RowReader(looked.reading, looked.table).pieces()).row(0, named=True)
    return {**row, "event_time": f"{row['event_time']:%Y-%m-%dT%H:%M}"}


def minutes(column: str) -> str:
    return text(MINUTES, lambda bar: f"{bar.at:%Y-%m-%d %H:%M:%S},{bar.prices},{bar.volume}", f"{column},{OHLCV}")


def arrays(*places: str, factor: int = 1000) -> str:
    return json.dumps([[bar.epoch(factor), *(getattr(bar, one) for one in places)] for bar in HOURS])


LONG = bars(MINUTE, datetime(2024, 1, 12, 6), count=1_200, base=5_000.0)
FX = "<TICKER>,<DTYYYYMMDD>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>"
FINAM = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>"

# name, text, options, what the first row holds
READ: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    # a zone in a header, a column, a file's name or beside the rows
    ("AAPL.csv", minutes("Time (ET)"), {}, {"event_time": "2024-01-02T14:30"}),
    ("AAPL.csv", minutes("Datetime (America/New_York)"), {}, {"event_time": "2024-01-02T14:30"}),
    ("AAPL.csv", minutes("time_utc"), {}, {"event_time": "2024-01-02T09:30"}),
    ("AAPL.csv", minutes("Date (GMT-5)"), {}, {"event_time": "2024-01-02T14:30"}),
    ("AAPL.csv", minutes("datetime_kst"), {}, {"event_time": "2024-01-02T00:30"}),
    ("AAPL.csv", minutes("Time (EST)"), {"timezone": "America/New_York"}, {"event_time": "2024-01-02T14:30"}),
    (
        "AAPL.csv",
        text(MINUTES, lambda bar: f"{bar.at},America/New_York,{bar.prices},1", f"time,timezone,{OHLCV}"),
        {},
        {"event_time": "2024-01-02T14:30"},
    ),
    (
        "IBM.json",
        json.dumps(
            {
                "Meta Data": {"2. Symbol": "IBM", "4. Interval": "1min", "6. Time Zone": "US/Eastern"},
                "Time Series (1min)": {
                    f"{bar.at}": {
                        "1. open": f"{bar.open}",
                        "2. high": f"{bar.high}",
                        "3. low": f"{bar.low}",
                        "4. close": f"{bar.close}",
                    }
                    for bar in MINUTES
                },
            }
        ),
        {},
        {"event_time": "2024-01-02T14:30", "symbol": "IBM"},
    ),
    (
        "x.json",
        json.dumps(
            {
                "meta": {"symbol": "AAPL", "interval": "1min", "exchange_timezone": "America/New_York"},
                "values": [
                    {"datetime": f"{bar.at}", "open": bar.open, "high": bar.high, "low": bar.low, "close": bar.close}
                    for bar in MINUTES
                ],
            }
        ),
        {},
        {"event_time": "2024-01-02T14:30", "symbol": "AAPL"},
    ),
    (
        "DAT_MT_EURUSD_M1_202401.csv",
        text(MINUTES, lambda bar: f"{bar.at:%Y.%m.%d,%H:%M},{bar.prices},0"),
        {},
        {"event_time": "2024-01-02T14:30", "symbol": "EURUSD"},
    ),
    (
        "DAT_MS_EURUSD_M1_202401.csv",
        text(MINUTES, lambda bar: f"EURUSD,{bar.at:%Y%m%d,%H%M%S},{bar.prices},0", FX),
        {},
        {"event_time": "2024-01-02T14:30"},
    ),
    (
        "ES 03-24.Last.txt",  # NinjaTrader writes as HistData does, and is not in EST
        text(MINUTES, lambda bar: f"{bar.at:%Y%m%d %H%M%S};{bar.prices.replace(',', ';')};7"),
        {"symbol": "ES=F"},
        {"event_time": "2024-01-02T09:30"},
    ),
    # hours, and dates and clocks of six digits
    (
        "EPEX.csv",
        text(bars(HOUR), lambda bar: f"{bar.at:%Y-%m-%d},{bar.at.hour},{bar.close}", "Date,Hour,Price"),
        {},
        {"event_time": "2024-01-02T00:00", "interval": "1h"},
    ),
    (
        "SBER_240102_240103.csv",
        text(MINUTES, lambda bar: f"SBER,1,{bar.at:%y%m%d,%H%M},{bar.prices},{bar.volume}", FINAM),
        {},
        {"event_time": "2024-01-02T09:30", "symbol": "SBER", "volume": 1000.0},
    ),
    (
        "SBER_240102_240131.csv",
        text(DAYS, lambda bar: f"SBER,D,{bar.at:%d/%m/%y},0,{bar.prices},{bar.volume}", FINAM),
        {},
        {"event_time": "2024-01-02T00:00", "interval": "1d"},
    ),
    (
        "AAPL.csv",
        text(bars(count=30), lambda bar: f"{bar.at:%d%m%Y},{bar.prices},{bar.volume}", f"Date,{OHLCV}"),
        {},
        {"event_time": "2024-01-02T00:00"},
    ),
    (
        "AAPL.csv",  # that the month comes first is seen after the first thousand rows only
        text(LONG, lambda bar: f"{bar.at:%m/%d/%Y %H:%M},{bar.prices},1", f"Date,{OHLCV}"),
        {},
        {"event_time": "2024-01-12T06:00"},
    ),
    (
        "AAPL.csv",
        text(MINUTES, lambda bar: f"{bar.at:%Y-%m-%d} 00:00:00,{bar.at:%H:%M},{bar.prices},1", f"Date,Time,{OHLCV}"),
        {},
        {"event_time": "2024-01-02T09:30", "interval": "1m"},
    ),
    # units, splits, factors
    ("AAPL.csv", daily("Date,Open,High,Low,Close,Volume (000)"), {}, {"volume": 1_000_000.0}),
    ("AAPL.csv", daily("Date,Open,High,Low,Close,Volume in thousands"), {}, {"volume": 1_000_000.0}),
    ("AAPL.csv", daily(f"Date,{OHLCV},splitFactor", ",1.0"), {}, {"split": None}),
    ("AAPL.csv", daily(f"Date,{OHLCV},Split", ",4:1"), {}, {"split": 4.0}),
    (
        "equity/usa/daily/spy.csv",
        text(DAYS, lambda bar: f"{bar.at:%Y%m%d %H:%M},1849000,1855000,1844000,1850000,9"),
        {},
        {"event_time": "2024-01-02T00:00", "close": 185.0, "symbol": "SPY"},
    ),
    # orders of columns
    ("BTC-USD.json", arrays("low", "high", "open", "close", "volume", factor=1), {}, {"open": 184.9, "high": 185.5}),
    ("BTCUSD.json", arrays("open", "close", "high", "low", "volume"), {}, {"close": 185.0, "low": 184.4}),
    ("BTCUSD.json", arrays("open", "high", "low", "close", "volume"), {}, {"close": 185.0, "low": 184.4}),
    ("BTC-USDT.json", arrays("open", "high", "low", "close", "volume", "volume"), {}, {"volume": 1000.0}),
    # names without a header, or of several columns in one
    ("AAPL_1min.txt", text(MINUTES, lambda bar: f"{bar.at},{bar.prices},7"), {}, {"interval": "1m", "volume": 7.0}),
    ("AAPL.txt", text(bars(count=15), lambda bar: f"{bar.at:%m/%d/%Y},{bar.prices},7"), {}, {"symbol": "AAPL"}),
    (
        "aapl.us.txt",
        text(DAYS, lambda bar: f"AAPL.US,D,{bar.at:%Y%m%d},000000,{bar.prices},7,0"),
        {},
        {"symbol": "AAPL.US", "volume": 7.0, "interval": "1d"},
    ),
    ("all.prn", text(DAYS, lambda bar: f"AAPL,{bar.at:%Y%m%d},{bar.prices},7"), {}, {"symbol": "AAPL"}),
    (
        "AAPL.csv",
        daily('"","AAPL.Open","AAPL.High","AAPL.Low","AAPL.Close","AAPL.Volume"'),
        {},
        {"symbol": "AAPL", "close": 185.0, "volume": 1000.0},
    ),
    (
        "AAPL.csv",
        text(DAYS, lambda bar: f"1,{bar.at:%Y-%m-%d},{bar.prices},7", f"Date,{OHLCV}"),  # R's write.table
        {},
        {"close": 185.0, "event_time": "2024-01-02T00:00"},
    ),
    # symbols
    ("LSE_VOD, 1D.csv", daily("time,open,high,low,close,Volume"), {}, {"symbol": "VOD.L"}),
    (
        "x.csv",
        text(DAYS, lambda bar: f"VOD.L,{bar.at:%Y-%m-%d},{bar.close}", "#RIC,Date,Last"),
        {},
        {"symbol": "VOD.L"},
    ),
    (
        "x.csv",
        text(DAYS, lambda bar: f"{bar.at:%Y-%m-%d},sh.600000,{bar.close}", "date,code,close"),
        {},
        {"symbol": "SH.600000"},
    ),
    # words of other languages, and columns that are something else
    (
        "x.csv",
        text(
            DAYS,
            lambda bar: f"{bar.at.year}-{bar.at.month}-{bar.at.day},{bar.close},{bar.open},{bar.high},{bar.low},9K",
            "日期,收盘,开盘,高,低,交易量",
        ),
        {"symbol": "X"},
        {"high": 185.5, "low": 184.4, "volume": 9000.0},
    ),
    (
        "x.csv",
        text(
            DAYS,
            lambda bar: f"{bar.at:%Y- %m- %d},{bar.close},{bar.open},{bar.high},{bar.low}",
            "날짜,종가,시가,고가,저가",
        ),
        {"symbol": "X"},
        {"event_time": "2024-01-02T00:00", "high": 185.5},
    ),
    (
        "x.csv",
        text(DAYS, lambda bar: f"{bar.at:%Y-%m-%d};{bar.close};7;1295.5", "Datum;Schlusskurs;Stuecke;Volumen"),
        {"symbol": "X"},
        {"volume": 7.0},
    ),
    (
        "Bitcoin.csv",
        text(
            DAYS,
            lambda bar: (
                f"{bar.at:%Y-%m-%d}T00:00:00Z,{bar.at:%Y-%m-%d}T23:59:59Z,2781,{bar.prices},7,9,{bar.at:%Y-%m-%d}T23:59:59Z"
            ),
            "timeOpen,timeClose,name,open,high,low,close,volume,marketCap,timestamp",
        ),
        {"symbol": "BTC"},
        {"event_time": "2024-01-02T00:00", "symbol": "BTC"},
    ),
    (
        "btc.csv",
        text(
            DAYS,
            lambda bar: f"{bar.at:%Y-%m-%d} 00:00:00 UTC,{bar.close},1.5,2.5",
            "snapped_at,price,market_cap,total_volume",
        ),
        {"symbol": "BTC-USD"},
        {"close": 185.0, "volume": None},
    ),
    (
        "cm.csv",
        "SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP,TOTALTRADES,ISIN,\n"
        "M&M,EQ,184.9,185.5,184.4,185,185.05,184,1000,185000.5,01-JAN-2024,50,INE1,\n",
        {},
        {"symbol": "M&M", "interval": "1d", "volume": 1000.0, "event_time": "2024-01-01T00:00"},
    ),
    (
        "eia.csv",
        'Cushing, OK WTI\nhttps://www.eia.gov/dnav/pet/hist/RWTCD.htm\nDay,"Cushing, OK Dollars per Barrel"\n'
        + "".join(f"01/{day:02}/2024,{60 + day}.5\n" for day in (11, 10, 9, 8, 5, 4, 3, 2)),
        {"symbol": "CL"},
        {"event_time": "2024-01-11T00:00", "close": 71.5},
    ),
]


@pytest.mark.parametrize("case", READ, ids=lambda case: f"{case[0]} {case[1].splitlines()[0][:40]}")
def test_what_is_read_right(tmp_path: Path, case: tuple[str, str, dict[str, Any], dict[str, Any]]) -> None:
    name, content, options, expected = case
    row = first(look(tmp_path, name, content, **options))
    assert {key: row[key] for key in expected} == expected


REFUSED: list[tuple[str, str, dict[str, Any], str]] = [
    ("AAPL.csv", minutes("Time (EST)"), {}, "--timezone America/New_York"),
    ("AAPL.csv", minutes("Time [IST]"), {}, "can be several zones; say where"),
    ("AAPL.csv", minutes("Date (Local)"), {}, "--timezone"),
    ("AAPL.csv", "# All times in US/Eastern\n" + minutes("time"), {}, "--timezone US/Eastern"),
    ("AAPL.csv", "Timezone: America/Chicago\n" + minutes("time"), {}, "--timezone America/Chicago"),
    (
        "AAPL.csv",
        text(MINUTES, lambda bar: f"{bar.at},-18000,{bar.prices},1", f"datetime,gmtoffset,{OHLCV}"),
        {},
        "--timezone",
    ),
    (
        "EPEX.csv",
        text(bars(HOUR, count=48), lambda bar: f"{bar.at:%Y-%m-%d},{bar.at.hour + 1},{bar.close}", "Date,Hour,Price"),
        {},
        "does hour 1 begin or end at 1:00",
    ),
    ("DAX.csv", text(DAYS, lambda bar: f"{bar.at:%Y-%m-%d},185,50", "Date,Close"), {}, "Is the comma the decimal sign"),
    (
        "BTCUSDT.csv",
        text(HOURS, lambda bar: f"{bar.epoch(1000):.6E},{bar.prices},1", f"time,{OHLCV}"),
        {"interval": "1h"},
        "a spreadsheet has shortened",
    ),
    (
        "prices.csv",
        text(DAYS, lambda bar: f"{bar.at:%Y-%m-%d},1.5,2.5,3.5", "Date,C,F,T"),
        {"symbol": "X"},
        "--map close=",
    ),
    (
        "BTC.csv",
        text(DAYS, lambda bar: f"{bar.at:%Y-%m-%d},{bar.close},{bar.low}", "Date,Close (USD),Close (EUR)"),
        {},
        "Close (USD), Close (EUR) can each be the close",
    ),
    (
        "AAPL.csv",  # SAS counts days since 1960
        text(DAYS, lambda bar: f"{(bar.at - bars()[0].at).days + 23377},{bar.prices},1", f"Date,{OHLCV}"),
        {},
        "--time-format",
    ),
    (
        "x.csv",
        text(
            DAYS,
            lambda bar: f"{bar.at:%Y-%m-%d},{bar.close},{bar.open},{bar.high},{bar.low}",
            "Date,Close,Open,Summit,Trough",
        ),
        {"symbol": "X"},
        "--map high=COLUMN --map low=COLUMN",
    ),
    (
        "AAPL_1min.csv",
        text(HOURS, lambda bar: f"{bar.at},{bar.prices},1", f"time,{OHLCV}"),
        {},
        "and its rows are 1h apart",
    ),
    ("GOLD.csv", daily(), {}, "--symbol"),
    ("bond.csv", daily(), {}, "--symbol"),
    ("file1.csv", daily(), {}, "--symbol"),
    ("1.csv", daily(), {}, "--symbol"),
    ("TVC_GOLD, 1D.csv", daily("time,open,high,low,close,Volume"), {}, "--symbol"),
    ("EURONEXT_MC, 1D.csv", daily("time,open,high,low,close,Volume"), {}, "--symbol"),
    (
        "trades.X.csv",
        text(
            MINUTES, lambda bar: f"{bar.at},{'ABC' if bar.volume % 20 else 'DEF'},{bar.close}", "time,underlying,price"
        ),
        {"interval": "tick"},
        "--map symbol=underlying",
    ),
    (
        "spy.csv",
        text(DAYS, lambda bar: f"{bar.at:%Y%m%d %H:%M},1849000,1855000,1844000,1850000,9"),
        {},
        "--format lean-daily",
    ),
    (
        "x.csv",
        text(
            DAYS,
            lambda bar: f"{bar.at:%Y-%m-%d},{bar.open},{bar.close},{bar.high},{bar.low}",
            "Date,Open,High,Low,Close",
        ),
        {"symbol": "X"},
        "high is not the highest price",
    ),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case[0]} {case[1].splitlines()[0][:40]}")
def test_what_is_refused_with_the_remedy(tmp_path: Path, case: tuple[str, str, dict[str, Any], str]) -> None:
    name, content, options, told = case
    assert told in (look(tmp_path, name, content, **options).refusal or "read")


def test_a_field_that_a_file_has_not_is_left_out_with_a_dash(tmp_path: Path) -> None:
    content = text(DAYS, lambda bar: f"{bar.at:%Y-%m-%d},{bar.close},{bar.open},{bar.low}", "Date,Close,Open,Reference")
    looked = look(tmp_path, "X.csv", content, columns={"high": "-", "low": "-"})
    assert (first(looked)["high"], first(looked)["low"]) == (None, None)


def test_columns_that_are_not_read_are_named(tmp_path: Path) -> None:
    looked = look(tmp_path, "AAPL.csv", daily(f"Date,{OHLCV},Comment", ",fine"))
    assert looked.reading is not None
    assert "AAPL.csv: not read: Comment" in looked.reading.notes("AAPL.csv")
