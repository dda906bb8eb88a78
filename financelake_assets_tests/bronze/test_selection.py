"""A history loaded in parts, one a class and year: every row of the source is in exactly one of them."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.bronze.ingest import select
from financelake_assets.config import ASSET_CLASSES
from financelake_assets.defs.bronze.assets import HistoryConfig, history_request
from financelake_assets.providers.base import COLUMNS, Chunk, OddRow
from financelake_assets.providers.request import IngestRequest

YEARS = ("2023", "2024", "2025")
PARTS = [history_request(HistoryConfig(), f"{one}|{year}", YEARS[-1]) for one in ASSET_CLASSES for year in YEARS]

_times = st.datetimes(datetime(2023, 1, 1), datetime(2026, 6, 1)).map(lambda time: time.replace(tzinfo=UTC))
_classes = st.sampled_from([*ASSET_CLASSES, "bond", "", None])
_rows = st.fixed_dictionaries(
    {"symbol": st.text(max_size=3), "asset_class": _classes, "event_time": st.none() | _times}
)
_odd = st.fixed_dictionaries(
    {"asset_class": _classes | st.text(max_size=3), "event_time": _times | st.text(max_size=9)}
)


@given(st.lists(_rows, max_size=8), st.lists(_odd, max_size=8))
def test_each_row_is_in_exactly_one_part(rows: list[dict[str, object]], odd: list[OddRow]) -> None:
    numbered = [{**row, "trade_id": str(number)} for number, row in enumerate(rows)]
    marked = tuple({**row, "mark": number} for number, row in enumerate(odd))
    chunk = Chunk(pl.DataFrame(numbered, schema=dict(COLUMNS)), marked)
    parts = [select(chunk, request) for request in PARTS]
    assert sorted(name for part in parts for name in part.rows["trade_id"]) == sorted(chunk.rows["trade_id"])
    found = [row["mark"] for part in parts for row in part.odd]
    assert sorted(found, key=str) == sorted(range(len(odd)), key=str)


def test_what_a_request_says_nothing_of_is_let_through() -> None:
    rows = pl.DataFrame([{"symbol": "AAPL"}], schema=dict(COLUMNS))
    chunk = Chunk(rows, ({"symbol": None, "close": "n.a."}, {"symbol": "IBM", "close": "x"}))
    assert select(chunk, IngestRequest()) is chunk
    of_one = select(chunk, IngestRequest(symbols=("AAPL",)))
    assert (of_one.rows.height, len(of_one.odd)) == (1, 1), "of a row without a symbol nobody knows whose it is"
