"""Messages from a plain Kafka client, and the silver query in a session of its own."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from confluent_kafka import Producer
from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from financelake_assets.bronze.topics import watermarks
from financelake_assets.bronze.universe import Universe
from financelake_assets.config import AssetClass, Settings
from financelake_assets.providers.base import Instrument
from financelake_assets.silver import query
from financelake_assets.silver.checkpoint import consumed_offsets
from financelake_assets.silver.ledger import Ledger, read_ledger
from financelake_assets.silver.schema import BARS, QUARANTINE, TICKS
from financelake_assets.storage.delta import TableSpec

SYMBOLS: dict[str, AssetClass] = {"AAPL": "stock", "IBM": "stock", "BTC-USD": "crypto", "WTI": "commodity"}
START = datetime(2024, 1, 1, tzinfo=UTC)


def add_universe(lake: Settings) -> None:
    """The symbols of these tests."""
    Universe(lake, "test").add([Instrument(symbol, asset_class) for symbol, asset_class in SYMBOLS.items()])


def bar(symbol: str, day: int, close: float, **fields: Any) -> tuple[str, str, bytes]:
    """Topic, key and value of a daily bar."""
    time_ = (START + timedelta(days=day)).isoformat()
    return _message(symbol, {"interval": "1d", "event_time": time_, "close": close, **fields})


def tick(symbol: str, second: float, price: float, size: float, **fields: Any) -> tuple[str, str, bytes]:
    """Topic, key and value of a trade."""
    time_ = (START + timedelta(seconds=second)).isoformat()
    return _message(symbol, {"interval": "tick", "event_time": time_, "close": price, "volume": size, **fields})


def garbage(symbol: str, value: bytes | None) -> tuple[str, str, bytes | None]:
    """Topic and key of a symbol with any value."""
    return f"bronze.{SYMBOLS[symbol]}", symbol, value


def _message(symbol: str, fields: dict[str, Any]) -> tuple[str, str, bytes]:
    return f"bronze.{SYMBOLS[symbol]}", symbol, json.dumps({"symbol": symbol, **fields}).encode()


def mixture(count: int, first: int = 0) -> Iterator[tuple[str, str, bytes | None]]:
    """Bars, corrections, repetitions, trades and damage on every topic."""
    symbols = list(SYMBOLS)
    for n in range(first, first + count):
        symbol = symbols[n % 4]
        kind = n // 4 % 6
        if kind == 0:
            yield bar(symbol, n // 24, 100.0 + n)
        elif kind == 1:
            yield bar(symbol, n // 48, 7.0)
        elif kind == 2:
            yield bar(symbol, n // 24, 100.0 + n, volume=5)
        elif kind == 3:
            yield tick(symbol, n % 300, 10 + n % 7, 0.1, trade_id=n // 30)
        elif kind == 4:
            yield tick(symbol, n % 300, 10 + n % 5, 0.2)
        else:
            yield garbage(symbol, [b"\xff\x00", b"{", b"", None, b"[]"][n % 5])


def produce(lake: Settings, messages: Any) -> int:
    """Send with a client that knows nothing of the lake; how many were acknowledged."""
    acknowledged: list[Any] = []
    failures: list[Any] = []
    producer = Producer({"bootstrap.servers": lake.kafka_bootstrap, "linger.ms": 2})
    for topic, key, value in messages:
        producer.produce(
            topic,
            key=key,
            value=value,
            on_delivery=lambda error, _: (failures if error else acknowledged).append(error),
        )
        producer.poll(0)
    producer.flush(30)
    assert failures == []
    return len(acknowledged)


@contextmanager
def running(lake: Settings) -> Iterator[StreamingQuery]:
    """The silver query, in a session of its own, stopped afterwards."""
    spark = SparkSession.builder.remote(f"{lake.spark_remote}/;session_id={uuid.uuid4()}").create()  # type: ignore[attr-defined]
    try:
        started = query.start(spark, lake)
        try:
            yield started
        finally:
            started.stop()
    finally:
        spark.stop()


def eventually(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Wait for a condition; the time is only a bound."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not after {seconds} s: {what}"
        time.sleep(0.1)


def count_consumed(lake: Settings) -> int:
    """How many offsets the query has committed; the tests' producers use no transactions, so each is a message."""
    return sum(end for ends in consumed_offsets(lake).values() for end in ends.values())


def caught_up(lake: Settings, running_query: StreamingQuery | None = None) -> bool:
    """Whether everything on the topics is committed by the query."""
    if running_query is not None and not running_query.isActive:
        raise AssertionError(f"the query ended: {running_query.exception()}")
    marks = watermarks(lake)
    return count_consumed(lake) == sum(high for of in marks.values() for _, high in of.values())


def drain(lake: Settings, running_query: StreamingQuery) -> Ledger:
    """Wait until the query has caught up; the ledger then."""
    eventually(lambda: caught_up(lake, running_query), "the query caught up")
    return read_ledger(lake)


def tables(lake: Settings) -> Mapping[str, list[tuple[Any, ...]]]:
    """The content of silver, without the times of writing."""
    return {table.full_name: _rows(lake, table) for table in (BARS, TICKS, QUARANTINE)}


def _rows(lake: Settings, table: TableSpec) -> list[tuple[Any, ...]]:
    rows = pl.read_delta(table.path(lake)).sort(table.key)
    return rows.drop("processed_at", "quarantined_at", strict=False).rows()
