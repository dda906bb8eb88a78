"""Random frames in random dialects: read back equal, or refused; never something else."""

from __future__ import annotations

import bz2
import gzip
import random
import tempfile
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from financelake_assets.providers.files import FileProvider
from financelake_assets.providers.formats.rows import RowReader
from financelake_assets.providers.request import IngestRequest

MINUTES = {"1m": 1, "15m": 15, "1h": 60, "1d": 1440}
TIMES: dict[str, Any] = {
    "epoch_s": lambda at: str(int(at.timestamp())),
    "epoch_ms": lambda at: str(int(at.timestamp() * 1000)),
    "epoch_us": lambda at: str(int(at.timestamp()) * 10**6),
    "epoch_ns": lambda at: str(int(at.timestamp()) * 10**9),
    "iso": lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "offset": lambda at: at.astimezone(ZoneInfo("Asia/Kolkata")).isoformat(sep=" "),
    "plain": lambda at: at.strftime("%Y-%m-%d %H:%M:%S"),
    "german": lambda at: at.strftime("%d.%m.%Y %H:%M"),
    "slashes": lambda at: at.strftime("%d/%m/%Y %H:%M"),
    "american": lambda at: at.strftime("%m/%d/%Y %I:%M:%S %p"),
    "digits": lambda at: at.strftime("%Y%m%d%H%M%S"),
    "words": lambda at: at.strftime("%d-%b-%Y %H:%M"),
}


@st.composite
def dialects(draw: st.DrawFn) -> dict[str, Any]:
    delimiter = draw(st.sampled_from([",", ";", "\t", "|"]))
    decimal = draw(st.sampled_from([".", ","]))
    return {
        "delimiter": delimiter,
        "decimal": decimal,
        "thousands": draw(st.sampled_from(["", ".", ",", "'", " "]).filter(lambda one: one != decimal)),
        "encoding": draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])),
        "newline": draw(st.sampled_from(["\n", "\r\n"])),
        "times": draw(st.sampled_from(sorted(TIMES))),
        "title": draw(st.booleans()),
        "trailing": draw(st.booleans()),
        "apart": draw(st.booleans()),
        "down": draw(st.booleans()),
        "digits": draw(st.integers(0, 5)),
        "packing": draw(st.sampled_from(["", ".gz", ".bz2", ".zip"])),
        "interval": draw(st.sampled_from(sorted(MINUTES))),
        "level": draw(st.sampled_from([0.05, 1.5, 40.0, 900.0, 38_000.0])),
        "rows": draw(st.integers(8, 60)),
        "seed": draw(st.integers(0, 10_000)),
    }


def _frame(way: dict[str, Any]) -> list[tuple[datetime, list[float]]]:
    chance = random.Random(way["seed"])  # noqa: S311
    begin = datetime(2019, 1, 1, tzinfo=UTC) + timedelta(days=chance.randrange(2000))
    rows = []
    for at in range(way["rows"]):
        close = round(way["level"] * chance.uniform(0.9, 1.1), way["digits"])
        tick = 10.0 ** -way["digits"]
        high, low = round(close + tick, way["digits"]), max(round(close - tick, way["digits"]), tick)
        rows.append((begin + at * timedelta(minutes=MINUTES[way["interval"]]), [close, high, low, close]))
    return rows[::-1] if way["down"] else rows


def _number(value: float, way: dict[str, Any]) -> str:
    text = f"{value:,.{way['digits']}f}".replace(",", "\0").replace(".", way["decimal"])
    return text.replace("\0", way["thousands"])


def _text(rows: list[tuple[datetime, list[float]]], way: dict[str, Any]) -> str:
    def cell(text: str) -> str:
        return f'"{text}"' if way["delimiter"] in text else text

    names = ["Date", "Time"] if way["apart"] else ["Time"]
    lines = ["Prices of X, as they were"] if way["title"] else []
    lines.append(way["delimiter"].join([*names, "Open", "High", "Low", "Close"]))
    for at, prices in rows:
        apart = [at.strftime("%Y-%m-%d"), at.strftime("%H:%M")]
        written = apart if way["apart"] else [TIMES[way["times"]](at)]
        line = way["delimiter"].join(cell(one) for one in [*written, *(_number(price, way) for price in prices)])
        lines.append(line + (way["delimiter"] if way["trailing"] else ""))
    return way["newline"].join(lines) + way["newline"]


def _write(folder: Path, content: bytes, packing: str) -> Path:
    file = folder / f"XYZ.csv{packing}" if packing != ".zip" else folder / "XYZ.zip"
    if packing == ".zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("XYZ.csv", content)
    else:
        file.write_bytes({"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress}[packing](content))
    return file


@settings(max_examples=150, deadline=None)
@given(dialects())
def test_a_frame_is_read_back_equal_or_refused(way: dict[str, Any]) -> None:
    rows = _frame(way)
    with tempfile.TemporaryDirectory() as folder:
        file = _write(Path(folder), _text(rows, way).encode(way["encoding"]), way["packing"])
        (looked,) = FileProvider(IngestRequest(path=file)).look()
        if looked.refusal is not None:
            return
        assert looked.table is not None
        assert looked.reading is not None
        found = pl.concat(piece.rows for piece in RowReader(looked.reading, looked.table).pieces())
    assert looked.reading.interval == way["interval"]
    expected = [(_stored(at, way), prices[3], prices[1]) for at, prices in rows]
    assert found.select("event_time", "close", "high").rows() == expected


def _stored(at: datetime, way: dict[str, Any]) -> datetime:
    if way["interval"] != "1d":
        return at
    return at.replace(hour=0, minute=0)


@settings(max_examples=60, deadline=None)
@given(dialects())
def test_with_the_options_that_settle_it_a_frame_is_read(way: dict[str, Any]) -> None:
    way = {**way, "times": "iso", "apart": False, "trailing": False}
    rows = _frame(way)
    with tempfile.TemporaryDirectory() as folder:
        file = _write(Path(folder), _text(rows, way).encode(way["encoding"]), way["packing"])
        request = IngestRequest(path=file, decimal=way["decimal"], interval=way["interval"])
        (looked,) = FileProvider(request).look()
        assert looked.refusal is None
        assert looked.table is not None
        assert looked.reading is not None
        found = pl.concat(piece.rows for piece in RowReader(looked.reading, looked.table).pieces())
    assert found["close"].to_list() == [prices[3] for _, prices in rows]
