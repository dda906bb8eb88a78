"""What was settled about a file is used for others of its shape, said, and for no other shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from financelake_assets.providers.base import ProviderError
from financelake_assets.providers.files import FileProvider, Looked
from financelake_assets.providers.formats.remembered import Remembered
from financelake_assets.providers.request import IngestRequest
from financelake_assets_tests.providers.shapes import DAYS, bars, text
from financelake_assets_tests.providers.test_file_shapes import first

HEADER = "Day,Open,High,Low,Last,Vol"


@pytest.fixture
def remembered(tmp_path: Path) -> Remembered:
    return Remembered(tmp_path / "team" / "formats.yaml")


def slashes(folder: Path, name: str, header: str = HEADER, pattern: str = "%m/%d/%Y") -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    some = [bar for bar in DAYS if bar.at.day < 13]
    file.write_text(text(some, lambda bar: f"{bar.at.strftime(pattern)},{bar.prices},{bar.volume}", header))
    return file


def look(file: Path, remembered: Remembered | None, **options: Any) -> Looked:
    (looked,) = FileProvider(IngestRequest(path=file, **options), remembered).look()
    return looked


def settle(file: Path, remembered: Remembered, **options: Any) -> int:
    return len(FileProvider(IngestRequest(path=file, **options), remembered).settle())


def test_an_answer_is_used_for_another_file_of_the_shape_and_said(tmp_path: Path, remembered: Remembered) -> None:
    apple, ibm = slashes(tmp_path, "AAPL.csv"), slashes(tmp_path, "IBM.csv")
    assert "--time-format" in (look(ibm, remembered).refusal or "")
    assert settle(apple, remembered, time_format="%m/%d/%Y") == 1
    looked = look(ibm, remembered)
    assert first(looked)["event_time"] == "2024-01-02T00:00"
    assert looked.reading is not None
    assert any("read as AAPL.csv was: time-format %m/%d/%Y" in note for note in looked.reading.notes("IBM.csv"))
    assert first(looked)["symbol"] == "IBM"


@pytest.mark.parametrize(
    ("header", "pattern"),
    [("Day,Open,High,Low,Last,Volume", "%m/%d/%Y"), (HEADER, "%m/%d/%y"), (HEADER, "%m/%d/%Y %H:%M")],
    ids=["other names", "other dates", "a clock"],
)
def test_another_shape_is_asked_about(tmp_path: Path, remembered: Remembered, header: str, pattern: str) -> None:
    settle(slashes(tmp_path, "AAPL.csv"), remembered, time_format="%m/%d/%Y")
    assert "--time-format" in (look(slashes(tmp_path, "IBM.csv", header, pattern), remembered).refusal or "")


def test_what_a_file_says_for_sure_is_not_overruled(tmp_path: Path, remembered: Remembered) -> None:
    settle(slashes(tmp_path, "AAPL.csv"), remembered, time_format="%m/%d/%Y")
    file = tmp_path / "IBM.csv"
    file.write_text(text(bars(count=30), lambda bar: f"{bar.at:%d/%m/%Y},{bar.prices},1", HEADER))
    looked = look(file, remembered)
    assert first(looked)["event_time"] == "2024-01-02T00:00"
    assert looked.reading is not None
    assert looked.reading.notice == ()


def test_what_the_user_says_now_comes_first(tmp_path: Path, remembered: Remembered) -> None:
    settle(slashes(tmp_path, "AAPL.csv"), remembered, time_format="%m/%d/%Y")
    looked = look(slashes(tmp_path, "IBM.csv"), remembered, time_format="%d/%m/%Y", interval="1d")
    assert first(looked)["event_time"] == "2024-02-01T00:00"


def test_what_belongs_to_one_file_is_not_remembered(tmp_path: Path, remembered: Remembered) -> None:
    file = slashes(tmp_path, "Dow Jones.csv")
    settle(file, remembered, symbol="DJI", interval="1d", asset_class="stock", time_format="%m/%d/%Y")
    (entry,) = remembered.entries()
    assert entry.settled == {"time_format": "%m/%d/%Y"}
    assert "--symbol" in (look(slashes(tmp_path, "Nikkei Index.csv"), remembered).refusal or "")


def test_an_option_that_nothing_asked_for_is_not_remembered(tmp_path: Path, remembered: Remembered) -> None:
    file = tmp_path / "AAPL.csv"
    file.write_text(text(DAYS, lambda bar: f"{bar.at:%Y-%m-%d},{bar.prices},1", HEADER))
    assert settle(file, remembered, timezone="America/New_York") == 0
    assert not remembered.path.exists()


def test_columns_of_a_file_without_a_header(tmp_path: Path, remembered: Remembered) -> None:
    def bare(name: str) -> Path:
        file = tmp_path / name
        file.write_text(text(DAYS, lambda bar: f"x,{bar.close},{bar.at:%Y-%m-%d},y"))
        return file

    settle(bare("AAPL.csv"), remembered, header=("-", "close", "time", "-"))
    assert first(look(bare("IBM.csv"), remembered))["close"] == 185.0


def test_the_file_can_be_read_by_people_and_what_is_wrong_in_it_is_named(
    tmp_path: Path, remembered: Remembered
) -> None:
    settle(slashes(tmp_path, "AAPL.csv"), remembered, time_format="%m/%d/%Y")
    shown = remembered.path.read_text()
    assert "settled: {time_format: '%m/%d/%Y'}" in shown
    assert "columns: [Day, Open, High, Low, Last, Vol]" in shown
    remembered.path.write_text(shown.replace("settled:", "setled:"))
    with pytest.raises(ProviderError, match=r"formats.yaml: formats.0.settled: Field required"):
        remembered.entries()
    assert "formats.yaml" in (look(slashes(tmp_path, "IBM.csv"), remembered).refusal or "")


def test_a_format_is_forgotten(tmp_path: Path, remembered: Remembered) -> None:
    settle(slashes(tmp_path, "AAPL.csv"), remembered, time_format="%m/%d/%Y")
    remembered.forget(remembered.entries()[0].name)
    assert remembered.entries() == []
    with pytest.raises(ProviderError, match="no remembered format"):
        remembered.forget("x")
