"""The bronze message: one JSON object for each row, keyed by symbol, with its origin in the headers.

Input: a provider's ``Chunk``. Output: topic, key and value of each row, in the chunk's order. Nothing is left out and
nothing is made up: a value that is not a number is written as the text that it was, for silver to judge.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import polars as pl

from financelake_assets.bronze.topics import BRONZE, DEAD_LETTERS, topic_of
from financelake_assets.providers.base import NUMBERS, OPTIONAL, Chunk, OddRow

SCHEMA_VERSION = "1"

_TIME = "%Y-%m-%dT%H:%M:%S%.6fZ"
_NOT_NUMBERS = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}


Message = tuple[str, str, str]
"""The topic that a row goes to, its key, and its JSON."""


def encode(chunk: Chunk) -> Iterator[Message]:
    """The messages of a chunk, in its order."""
    rows = chunk.rows
    if rows.height:
        # in one pass over columns: ten times as fast as a row at a time
        left_out = [name for name in OPTIONAL if rows[name].null_count() == rows.height]
        timed = rows.drop(left_out).with_columns(_time_texts(rows["event_time"]))
        values = timed.select(pl.struct(pl.all()).struct.json_encode()).to_series()
        keys = rows["symbol"].fill_null("").to_list()
        topic_of_class = {asset_class: _topic(asset_class) for asset_class in rows["asset_class"].unique()}
        topics = [topic_of_class[asset_class] for asset_class in rows["asset_class"].to_list()]
        encoded = values.to_list()
        for position in _not_finite(rows):
            encoded[position] = _row_json(rows.row(position, named=True))
        yield from zip(topics, keys, encoded, strict=True)
    for odd in chunk.odd:
        yield _topic(odd.get("asset_class")), str(odd.get("symbol") or ""), _row_json(odd)


def headers(provider: str, load: str, now: datetime | None = None) -> list[tuple[str, str | bytes | None]]:
    """The headers that the messages of a load share, stamped with the time."""
    stamp = (now or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return [
        ("schema_version", SCHEMA_VERSION.encode()),
        ("provider", provider.encode()),
        ("produced_at", stamp.encode()),
        ("load", load.encode()),
    ]


def _time_texts(times: pl.Series) -> pl.Series:
    """Each time as text; written once for all rows that share it, because that costs as much as a row's JSON."""
    different = pl.DataFrame([times.unique()]).with_columns(text=pl.col(times.name).dt.to_string(_TIME))
    joined = pl.DataFrame([times]).join(different, on=times.name, how="left", maintain_order="left")
    return joined["text"].alias(times.name)


def _topic(asset_class: object) -> str:
    topic = topic_of(str(asset_class))
    return topic if topic in BRONZE else DEAD_LETTERS


def _not_finite(rows: pl.DataFrame) -> list[int]:
    """Positions of the rows with a NaN or an infinity, which a JSON number cannot be."""
    wrong = pl.any_horizontal(~pl.col(name).is_finite() for name in NUMBERS).fill_null(False)
    return rows.select(wrong.arg_true()).to_series().to_list()


def _row_json(row: OddRow) -> str:
    return json.dumps({name: _plain(value) for name, value in row.items()}, separators=(",", ":"), ensure_ascii=False)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, float) and str(value) in _NOT_NUMBERS:
        return _NOT_NUMBERS[str(value)]
    return value
