from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from financelake_assets.providers.base import COLUMNS, Chunk, ProviderError
from financelake_assets.providers.files import FileProvider
from financelake_assets.providers.request import IngestRequest

BARS = "Date,Open,High,Low,Close,Volume\n" + "".join(
    f"2020-01-{day:02},{day}.5,{day + 1},{day},{day}.25,{day}00\n" for day in range(1, 29)
)


def _read(file: Path, **request: Any) -> tuple[pl.DataFrame, list[Any], tuple[str, ...]]:
    (part,) = FileProvider(IngestRequest(path=file, **request)).history()
    chunks = list(part.chunks)
    return pl.concat(chunk.rows for chunk in chunks), [row for chunk in chunks for row in chunk.odd], part.notes


def _write(folder: Path, name: str, text: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def test_a_file_of_bars_with_everything_guessed_and_told(tmp_path: Path) -> None:
    rows, odd, notes = _read(_write(tmp_path, "AAPL.csv", BARS))
    assert rows.schema == COLUMNS
    assert (rows.height, odd) == (28, [])
    assert rows.row(1, named=True) == {
        **dict.fromkeys(COLUMNS),
        "symbol": "AAPL",
        "asset_class": "stock",
        "interval": "1d",
        "event_time": datetime(2020, 1, 2, tzinfo=UTC),
        "open": 2.5,
        "high": 3.0,
        "low": 2.0,
        "close": 2.25,
        "volume": 200.0,
    }
    assert "close=Close" in notes[0]
    assert notes[1] == "AAPL.csv: times %Y-%m-%d in UTC; symbol AAPL, asset class stock (by its symbol), interval 1d"


def test_csv_compressed_csv_and_parquet_hold_the_same(tmp_path: Path) -> None:
    plain, _, _ = _read(_write(tmp_path, "AAPL.csv", BARS))
    packed, _, _ = _read(_write(tmp_path, "AAPL.csv.gz", gzip.compress(BARS.encode())))
    pl.read_csv(tmp_path / "AAPL.csv", try_parse_dates=True).write_parquet(tmp_path / "AAPL.parquet")
    columnar, _, notes = _read(tmp_path / "AAPL.parquet")
    assert plain.equals(packed)
    assert plain.equals(columnar)
    assert "times %Y-%m-%d" in notes[1]


def test_a_value_that_is_no_number_keeps_its_text_and_its_row(tmp_path: Path) -> None:
    text = BARS + "2020-01-29,1,2,1,n.a.,5\nsoon,1,2,1,1.5,5\n2020-01-30,1,2,1,,\n2020-01-31,1,2,1,NaN,5\n"
    rows, odd, _ = _read(_write(tmp_path, "AAPL.csv", text), accept_odd=True)
    assert rows.height == 30, "an absent price and a NaN are typed"
    bad_price, bad_time = odd
    assert (bad_price["close"], bad_price["event_time"]) == ("n.a.", datetime(2020, 1, 29, tzinfo=UTC))
    assert (bad_time["close"], bad_time["event_time"], bad_time["symbol"]) == (1.5, "soon", "AAPL")


def test_lines_with_too_few_or_too_many_values_are_kept(tmp_path: Path) -> None:
    text = BARS + "2020-01-29,1,2\n2020-01-30,1,2,3,4,5,6,7\n"
    with pytest.raises(ProviderError, match=r"2 of the first 30 rows have a value that cannot be read.*--accept-odd"):
        _read(_write(tmp_path, "AAPL.csv", text))
    rows, odd, _ = _read(_write(tmp_path, "AAPL.csv", text), accept_odd=True)
    assert rows.height == 28
    assert [(row["symbol"], row["line"]) for row in odd] == [
        ("AAPL", "2020-01-29,1,2"),
        ("AAPL", "2020-01-30,1,2,3,4,5,6,7"),
    ]


def test_bytes_that_are_not_utf8_spoil_their_value_only(tmp_path: Path) -> None:
    text = b"time,ticker,close\n" + b"".join(b"2020-01-%02d,AAPL,1\n" % day for day in range(1, 9))
    rows, _, _ = _read(_write(tmp_path, "x.csv", text + b"2020-01-09,AA\xffPL,1\n"))
    assert rows["symbol"].to_list() == ["AAPL"] * 8 + ["AA�PL"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1580463000", datetime(2020, 1, 31, 9, 30, tzinfo=UTC)),
        ("1580463000.25", datetime(2020, 1, 31, 9, 30, 0, 250_000, tzinfo=UTC)),
        ("1580463000123456", datetime(2020, 1, 31, 9, 30, 0, 123_456, tzinfo=UTC)),
        ("1580463000123456789", datetime(2020, 1, 31, 9, 30, 0, 123_456, tzinfo=UTC)),
        ("2020-01-31T09:30:00Z", datetime(2020, 1, 31, 9, 30, tzinfo=UTC)),
        ("2020-01-31 09:30:00-05:00", datetime(2020, 1, 31, 14, 30, tzinfo=UTC)),
        ("2020-01-31 09:30:00", datetime(2020, 1, 31, 14, 30, tzinfo=UTC)),  # without a zone: the given one
        ("2020-07-31 09:30", datetime(2020, 7, 31, 13, 30, tzinfo=UTC)),  # summer
    ],
)
def test_times_become_utc(tmp_path: Path, value: str, expected: datetime) -> None:
    file = _write(tmp_path, "x.csv", f"time,close\n{value},1\n")
    rows, odd, _ = _read(file, symbol="X", interval="1m", timezone="America/New_York")
    assert (rows["event_time"].to_list(), odd) == ([expected], [])


@pytest.mark.parametrize(
    ("value", "zone"),
    [
        ("2020-07-31", "America/New_York"),
        ("2020-07-31 00:00:00-04:00", None),
        ("2020-07-31T00:00:00+09:00", None),
        ("2020-07-31 16:00:00", "Europe/London"),
        ("1596121200", "Asia/Tokyo"),
    ],
)
def test_a_daily_bar_keeps_the_date_that_was_written(tmp_path: Path, value: str, zone: str | None) -> None:
    options = {"timezone": zone} if zone else {}
    rows, _, _ = _read(_write(tmp_path, "x.csv", f"time,close\n{value},1\n"), symbol="X", interval="1d", **options)
    assert rows["event_time"].to_list() == [datetime(2020, 7, 31, tzinfo=UTC)]


def test_a_day_that_depends_on_the_place_is_asked_about(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="--timezone"):
        _read(_write(tmp_path, "x.csv", "time,close\n1596121200,1\n"), symbol="X", interval="1d")


def test_trades_get_their_place_in_the_file_as_identity(tmp_path: Path) -> None:
    text = "time,price,qty\n" + "2020-01-02T10:00:00.123Z,1.5,10\n" * 2 + "2020-01-02T10:00:01Z,1.5,10\n"
    rows, _, _ = _read(_write(tmp_path, "trades.csv", text), symbol="btc-usd", interval="tick")
    assert rows["trade_id"].to_list() == ["trades.csv:0", "trades.csv:1", "trades.csv:2"]
    assert rows.select("symbol", "close", "volume").row(0) == ("BTC-USD", 1.5, 10.0)


def test_large_files_are_read_in_pieces(tmp_path: Path) -> None:
    lines = "".join(f"{1_500_000_000 + 60 * row},{row % 100}.5\n" for row in range(400_000))
    file = _write(tmp_path, "big.csv", "ts,close\n" + lines)
    (part,) = FileProvider(IngestRequest(path=file, symbol="X")).history()
    sizes = [len(chunk) for chunk in part.chunks]
    assert sum(sizes) == 400_000
    assert max(sizes) < 200_000


def test_a_load_is_known_by_contents_and_reading_and_not_by_name(tmp_path: Path) -> None:
    def identity(name: str, text: str, **request: Any) -> str:
        file = _write(tmp_path, name, text)
        return next(FileProvider(IngestRequest(path=file, symbol="X", **request)).history()).identity

    first = identity("a.csv", BARS)
    assert identity("b.csv", BARS) == first
    assert identity("a.csv", BARS + "2020-01-31,1,2,1,1,1\n") != first
    assert identity("a.csv", BARS, timezone="Europe/Berlin") != first


def test_a_folder_is_one_part_a_file(tmp_path: Path) -> None:
    for name in ("IBM.csv", "AAPL.csv"):
        _write(tmp_path, name, BARS)
    _write(tmp_path, "notes.md", "not data")
    parts = list(FileProvider(IngestRequest(path=tmp_path)).history())
    assert [next(part.chunks).rows["symbol"][0] for part in parts] == ["AAPL", "IBM"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.csv", "", "is empty"),
        ("x.csv", "date,close\n", "has no rows"),
        ("x.csv", "<!DOCTYPE html><html>Too Many Requests</html>", "is not CSV: it begins with '<!DOCTYPE html>"),
        ("x.csv", "1600000000,1,2,3\n", "has no header"),
        ("x.csv", "date,close,close\n2020-01-01,1,2\n", "two columns of the same name"),
        ("x.csv", "foo,bar\n1,2\n", "looks like the time; say which with --map event_time=COLUMN"),
        ("x.parquet", "PAR1 not really", "cannot be read"),
        ("x.csv.gz", "not compressed", "cannot be read"),
        ("data.csv", BARS, "no symbol column and no symbol in its name; say which with --symbol"),
        ("x.csv", "date,close\n2020-01-01,1\n2020-01-02,1\n", "say so with --interval"),
    ],
)
def test_what_cannot_be_read_says_so(tmp_path: Path, name: str, text: str, message: str) -> None:
    file = _write(tmp_path, name, text)
    with pytest.raises(ProviderError) as raised:
        _read(file)
    assert message in str(raised.value)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(ProviderError, match="does not exist"):
        FileProvider(IngestRequest(path=Path("/nowhere/x.csv")))


def test_odd_rows_register_their_symbol() -> None:
    chunk = Chunk(pl.DataFrame(schema=dict(COLUMNS)), ({"symbol": "A", "asset_class": "stock", "close": "x"},))
    assert {one.symbol for one in chunk.instruments()} == {"A"}
