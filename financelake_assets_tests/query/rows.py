"""Rows of real tables, few and easy to count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from financelake_assets.config import Settings
from financelake_assets.gold.schema import SIGNALS
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.delta import TableSpec
from financelake_assets.storage.open_tables import OpenTables

DAY = datetime(2024, 3, 1, tzinfo=UTC)


def signal(day: int, **fields: object) -> pl.DataFrame:
    """One BUY of BTC-USD on a day."""
    given = {"symbol": "BTC-USD", "interval": "1d", "event_time": DAY + timedelta(days=day), "signal": "BUY"}
    return as_rows(SIGNALS, {**given, "horizon": 1, "model_version": "m", "confidence": 0.5 + day / 10, **fields})


def bar(day: int, close: float = 10.0, **fields: object) -> pl.DataFrame:
    """One daily bar of BTC-USD."""
    prices = dict.fromkeys(("open", "high", "low", "close"), close)
    given = {"symbol": "BTC-USD", "interval": "1d", "event_time": DAY + timedelta(days=day), "volume": 1.0}
    return as_rows(BARS, {**given, **prices, **fields})


def as_rows(spec: TableSpec, fields: dict[str, object]) -> pl.DataFrame:
    """One row with all columns of a table, null where nothing is given."""
    return pl.DataFrame([{name: fields.get(name) for name in spec.schema.names}], schema=spec.empty.schema)


def add(settings: Settings, day: int, **fields: object) -> None:
    """Commit one signal."""
    OpenTables(settings).insert(SIGNALS, signal(day, **fields))
