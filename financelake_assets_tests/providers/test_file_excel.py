"""Excel files, written by a library: dates, serial numbers, titles, several sheets, clocks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from financelake_assets.providers.files import FileProvider
from financelake_assets.providers.request import IngestRequest
from financelake_assets_tests.providers.shapes import DAYS, MINUTES, Bar
from financelake_assets_tests.providers.test_file_shapes import first

HEADER = ["Date", "Open", "High", "Low", "Close", "Volume"]


def write(file: Path, sheets: dict[str, Sequence[Sequence[Any]]], date_format: str = "yyyy-mm-dd hh:mm") -> Path:
    with xlsxwriter.Workbook(str(file), {"default_date_format": date_format}) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for at, row in enumerate(rows):
                sheet.write_row(at, 0, row)
    return file


def serial(at: datetime) -> float:
    return (at - datetime(1899, 12, 30)).total_seconds() / 86_400


def looked(file: Path, **options: Any) -> list[Any]:
    return list(FileProvider(IngestRequest(path=file, **options)).look())


TITLES = [["Prices of Apple, in dollars"], [], ["Source", "nowhere"], []]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([HEADER, *DAYS], {"event_time": "2024-01-02T00:00", "interval": "1d", "volume": 1000.0}),
        ([*TITLES, HEADER, *DAYS], {"event_time": "2024-01-02T00:00", "close": 185.0}),
        ([HEADER, *([serial(bar.at), *bar[1:]] for bar in DAYS)], {"event_time": "2024-01-02T00:00"}),
        ([HEADER, *([serial(bar.at), *bar[1:]] for bar in MINUTES)], {"event_time": "2024-01-02T09:30"}),
        ([HEADER, *MINUTES], {"event_time": "2024-01-02T09:30", "interval": "1m"}),
        (
            [["Date", "Time", *HEADER[1:]], *([bar.at.date(), bar.at.time(), *bar[1:]] for bar in MINUTES)],
            {"event_time": "2024-01-02T09:30", "interval": "1m"},
        ),
        ([HEADER, *DAYS, ["Source: nowhere"]], {"event_time": "2024-01-02T00:00"}),
    ],
    ids=["dates", "titles", "serial days", "serial minutes", "times", "date and clock", "a footer"],
)
def test_a_sheet_is_read(tmp_path: Path, rows: Sequence[Sequence[Any]], expected: dict[str, Any]) -> None:
    (one,) = looked(write(tmp_path / "AAPL.xlsx", {"Sheet1": rows}))
    row = first(one)
    assert {**{key: row[key] for key in expected}, "symbol": row["symbol"]} == {**expected, "symbol": "AAPL"}


def test_a_sheet_without_a_table_is_left_out(tmp_path: Path) -> None:
    contents = [["Contents"], ["Data 1"]]
    file = write(tmp_path / "AAPL.xlsx", {"Contents": contents, "Data 1": [["Back to Contents"], HEADER, *DAYS]})
    (one,) = looked(file)
    assert first(one)["symbol"] == "AAPL"


def test_each_of_several_sheets_is_read_and_has_an_identity_of_its_own(tmp_path: Path) -> None:
    doubled = [Bar(bar.at, *(2 * value for value in bar[1:5]), bar.volume) for bar in DAYS]
    file = write(tmp_path / "portfolio.xlsx", {"AAPL": [HEADER, *DAYS], "MSFT": [HEADER, *doubled]})
    apple, microsoft = looked(file)
    assert [(first(one)["symbol"], first(one)["close"]) for one in (apple, microsoft)] == [
        ("AAPL", 185.0),
        ("MSFT", 370.0),
    ]
    parts = list(FileProvider(IngestRequest(path=file)).history())
    assert len({part.identity for part in parts}) == 2


def test_sheets_whose_names_are_no_symbols_are_asked_about(tmp_path: Path) -> None:
    found = looked(write(tmp_path / "AAPL.xlsx", {"Sheet1": [HEADER, *DAYS], "Sheet2": [HEADER, *MINUTES]}))
    assert all("--symbol" in (one.refusal or "") for one in found)
