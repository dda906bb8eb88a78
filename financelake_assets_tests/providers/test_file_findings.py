"""What is found in files beside their rows: gaps by the calendar, rows that several files share, several symbols."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from financelake_assets.providers.files import FileProvider, Looked
from financelake_assets.providers.formats.rows import RowReader
from financelake_assets.providers.request import IngestRequest
from financelake_assets_tests.providers.shapes import DAYS, OHLCV, bars, daily, text


def test_what_is_missing_by_the_calendar_is_noted(tmp_path: Path) -> None:
    weekdays = [bar for bar in bars(count=40) if bar.at.day not in (9, 10)]
    content = text(weekdays, lambda bar: f"{bar.at:%Y-%m-%d},{bar.prices},1", f"Date,{OHLCV}")
    (tmp_path / "AAPL.csv").write_text(content)
    (looked,) = FileProvider(IngestRequest(path=tmp_path / "AAPL.csv"), gaps=True).look()
    assert looked.survey is not None
    (note,) = [one for one in looked.survey.notes if "missing" in one]
    assert "AAPL 1d: 3 bars are missing in 2 gaps by the calendar XNYS; most of them, 2, after 2024-01-08" in note


def test_a_calendar_that_is_not_known_claims_nothing(tmp_path: Path) -> None:
    (tmp_path / "EURUSD.csv").write_text(daily())
    (looked,) = FileProvider(IngestRequest(path=tmp_path / "EURUSD.csv"), gaps=True).look()
    assert looked.survey is not None
    assert "EURUSD.csv: gaps were not looked for: the calendar of EURUSD is not known here" in looked.survey.notes


def _two(folder: Path, second: str) -> list[Looked]:
    (folder / "AAPL.csv").write_text(daily())
    (folder / "AAPL (1).csv").write_text(second)
    return list(FileProvider(IngestRequest(path=folder)).look())


def test_files_of_a_folder_that_would_overwrite_each_other_are_refused(tmp_path: Path) -> None:
    earlier, later = _two(tmp_path, daily().replace("185.00", "99.00"))
    assert earlier.refusal is None
    assert "1 rows share symbol, interval and time with rows of AAPL (1).csv that have other values" in (
        later.refusal or ""
    )


def test_rows_that_two_files_share_are_noted(tmp_path: Path) -> None:
    earlier, later = _two(tmp_path, daily())
    assert (earlier.refusal, later.refusal) == (None, None)
    assert later.survey is not None
    assert "AAPL.csv: 12 rows are in AAPL (1).csv too, with the same values" in later.survey.notes


def test_files_of_one_symbol_one_after_the_other_are_read(tmp_path: Path) -> None:
    for month in (1, 2, 3):
        some = bars(first=DAYS[0].at.replace(month=month), count=8)
        content = text(some, lambda bar: f"{bar.at:%Y-%m-%d},{bar.prices},1", f"Date,{OHLCV}")
        (tmp_path / f"AAPL_2024-0{month}.csv").write_text(content)
    assert [one.refusal for one in FileProvider(IngestRequest(path=tmp_path, interval="1d")).look()] == [None] * 3


@pytest.mark.parametrize("ticker_first", [True, False])
@pytest.mark.parametrize("kind", ["parquet", "csv", "flat.csv"])
def test_a_frame_of_two_tickers_is_read_whatever_comes_first(tmp_path: Path, kind: str, ticker_first: bool) -> None:
    index = pd.DatetimeIndex([bar.at for bar in DAYS], name="Date")
    one = pd.DataFrame([bar[1:] for bar in DAYS], columns=OHLCV.split(","), index=index)
    wide = pd.concat({"AAPL": one, "MSFT": one * 2}, axis=1)
    wide = wide if ticker_first else wide.swaplevel(axis=1)
    file = tmp_path / f"portfolio.{kind}"
    if kind == "parquet":
        wide.to_parquet(file)
    else:
        flat = wide.set_axis([f"{first}_{second}" for first, second in wide.columns], axis=1)
        (flat if kind == "flat.csv" else wide).to_csv(file)
    (looked,) = FileProvider(IngestRequest(path=file)).look()
    assert looked.refusal is None
    assert looked.table is not None
    assert looked.reading is not None
    rows = pl.concat(piece.rows for piece in RowReader(looked.reading, looked.table).pieces())
    first_day = rows.filter(pl.col("event_time") == rows["event_time"].min()).select("symbol", "close", "volume")
    assert sorted(first_day.rows()) == [("AAPL", 185.0, 1000.0), ("MSFT", 370.0, 2000.0)]
