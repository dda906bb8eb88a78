"""Bars, predictions and signals for the tests of gold, with the columns of their tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from financelake_assets.gold.schema import PREDICTIONS, SIGNALS
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.delta import TableSpec

START = datetime(2024, 1, 1, tzinfo=UTC)
MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def frame(table: TableSpec, rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Rows of a table; columns that a row does not name are null."""
    empty = pl.from_arrow(table.schema.empty_table())
    assert isinstance(empty, pl.DataFrame)
    return pl.DataFrame(
        [{name: row.get(name) for name in empty.columns} for row in rows], schema=empty.schema, orient="row"
    )


def bar(number: int, close: float, symbol: str = "AAPL", **more: Any) -> dict[str, Any]:
    opened = more.get("open", close)
    values = {"open": opened, "high": max(opened, close), "low": min(opened, close), "messages": 1, "offset": number}
    place = {"asset_class": "stock", "interval": "1d", "topic": "bronze.stock", "partition": 0, "provider": "test"}
    return {"symbol": symbol, "event_time": day(number), "close": close, **values, **place, **more}


def bars(*rows: dict[str, Any]) -> pl.DataFrame:
    return frame(BARS, rows)


def prediction(number: int, close: float, predicted_return: float, symbol: str = "AAPL", **more: Any) -> dict[str, Any]:
    values = {
        "asset_class": "stock",
        "interval": "1d",
        "horizon": 1,
        "predicted_close": close * math.exp(predicted_return),
        "lower": close * math.exp(predicted_return - 0.02),
        "upper": close * math.exp(predicted_return + 0.02),
        "coverage": 0.8,
        "volatility": 0.02,
        "probability_up": 0.6,
        "model_version": "m1",
        "as_of": MADE_AT,
    }
    made = {"symbol": symbol, "event_time": day(number), "close": close, "predicted_return": predicted_return}
    return {**made, **values, **more}


def predictions(*rows: dict[str, Any]) -> pl.DataFrame:
    return frame(PREDICTIONS, rows)


def signals(*rows: dict[str, Any], signal: str = "BUY", cost_bps: float = 2.0) -> pl.DataFrame:
    """One signal for each prediction, the same for all but those that name their own."""
    given = {"signal": signal, "cost_bps": cost_bps, "confidence": 0.6, "strength": 0.5}
    return frame(SIGNALS, [{**given, **row} for row in rows])
