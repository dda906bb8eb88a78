"""Cleaned messages as ``cleaning.py`` gives them, for tests that need no Spark."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

START = datetime(2024, 3, 1, 14, 30, tzinfo=UTC)
IDS = {"bronze.stock": "first", "bronze.crypto": "first", "bronze.commodity": "first"}
TIME = pl.Datetime("us", "UTC")

CLEANED: dict[str, Any] = {
    "raw": pl.Binary,
    "key": pl.Binary,
    "topic": pl.String,
    "partition": pl.Int32,
    "offset": pl.Int64,
    "topic_id": pl.String,
    "provider": pl.String,
    "ingested_at": TIME,
    "reason": pl.String,
    "symbol": pl.String,
    "asset_class": pl.String,
    "interval": pl.String,
    "event_time": TIME,
    "trade_id": pl.String,
    "open": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "close": pl.Float64,
    "adj_close": pl.Float64,
    "volume": pl.Float64,
    "dividend": pl.Float64,
    "split": pl.Float64,
    "imputed": pl.String,
}


def message(offset: int, **fields: Any) -> dict[str, Any]:
    """One good bar message at an offset; any field can be given otherwise."""
    close = fields.get("close", 10.0)
    row = {
        "topic": "bronze.crypto",
        "partition": 0,
        "offset": offset,
        "topic_id": "first",
        "provider": "test",
        "ingested_at": START + timedelta(seconds=offset),
        "symbol": "BTC-USD",
        "asset_class": "crypto",
        "interval": "1d",
        "event_time": START,
        "open": close,
        "high": close,
        "low": close,
        "close": close,
        **fields,
    }
    return {name: row.get(name) for name in CLEANED}


def tick(offset: int, price: float, size: float | None, at: float, **fields: Any) -> dict[str, Any]:
    """One good tick, some seconds after the start."""
    time = START + timedelta(seconds=at)
    return message(offset, interval="tick", event_time=time, close=price, volume=size, **fields)


def cleaned(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """A micro-batch of cleaned messages."""
    return pl.DataFrame(list(rows), schema=CLEANED, orient="row")
