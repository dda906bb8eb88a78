"""Corrupt messages of every kind among good ones, through the real stream."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import polars as pl
import pytest
from confluent_kafka import Message, Producer

from financelake_assets.config import Settings
from financelake_assets.silver.reasons import Reason
from financelake_assets.silver.schema import BARS, QUARANTINE
from financelake_assets_tests.silver import kafka
from financelake_assets_tests.silver.test_cleaning import CORRUPT, bar

pytestmark = pytest.mark.integration

Place = tuple[str, int, int]


class Sent(NamedTuple):
    """A message with what is to become of it; ``reason`` is null for a good one."""

    name: str
    key: bytes | None
    value: bytes | None
    reason: Reason | None
    topic: str = "bronze.stock"
    headers: tuple[tuple[str, bytes | None], ...] = ()


def _deep(levels: int) -> bytes:
    return bar(mood=...)[:-1] + b', "mood": ' + b"[" * levels + b"]" * levels + b"}"


# what is beyond the limits of a parser, of a text or of what a client sends
EXTREMES = [
    Sent("no key", None, b"{", Reason.NOT_JSON),
    Sent("a key that is not text", b"\xff\x00", b"{", Reason.NOT_JSON),
    Sent("a header that is not text", b"AAPL", b"{", Reason.NOT_JSON, headers=(("provider", b"\xff"), ("x", None))),
    Sent("noise of almost a megabyte", b"AAPL", bytes(range(256)) * 4_000, Reason.INVALID_UTF8),
    Sent("text of almost a megabyte", b"AAPL", b"x" * 1_000_000, Reason.NOT_JSON),
    Sent("nested beyond reason", b"AAPL", _deep(50_000), Reason.NOT_JSON),
    Sent("a number of a hundred thousand digits", b"AAPL", bar().replace(b"11.0", b"1" * 100_000), Reason.NOT_JSON),
    Sent("a name of a hundred thousand letters", b"AAPL", b'{"' + b"x" * 100_000 + b'": 1}', Reason.NOT_JSON),
    Sent("a symbol of almost a megabyte", b"AAPL", bar(symbol="A" * 900_000), Reason.UNKNOWN_SYMBOL),
    Sent("half a surrogate", b"AAPL", bar(symbol=...)[:-1] + b', "symbol": "AA\\ud800PL"}', Reason.UNKNOWN_SYMBOL),
    Sent("a year of six digits", b"AAPL", bar(event_time="+123456-01-01T00:00:00Z"), Reason.WRONG_EVENT_TIME),
    Sent("gzip", b"AAPL", b"\x1f\x8b\x08\x00\x00\x00\x00\x00", Reason.INVALID_UTF8),
    Sent("UTF-16", b"AAPL", bar().decode().encode("utf-16"), Reason.INVALID_UTF8),
    Sent("a stock on another topic", b"AAPL", bar(), Reason.WRONG_ASSET_CLASS, topic="bronze.crypto"),
]


def _all() -> list[Sent]:
    kinds = [Sent(name, b"AAPL", value, reason) for name, value, reason in CORRUPT if name != "tomorrow"]
    kinds += [Sent("far ahead", b"AAPL", bar(event_time="2999-01-01T00:00:00Z"), Reason.FUTURE_EVENT_TIME), *EXTREMES]
    mixed = []
    for number, kind in enumerate(kinds):
        _, key, value = kafka.bar("AAPL", number, 10.0 + number)
        good = Sent(f"a good one behind {kind.name}", key.encode(), value, None, headers=(("provider", b"\xff"),))
        mixed += [kind, good]
    return mixed


def _send(lake: Settings, messages: list[Sent]) -> dict[Place, Sent]:
    """Send with a client that knows nothing of the lake; where each message is."""
    places: dict[Place, Sent] = {}
    producer = Producer({"bootstrap.servers": lake.kafka_bootstrap, "message.max.bytes": 2_000_000})

    def noted(sent: Sent) -> Any:
        def delivered(error: object, message: Message) -> None:
            assert error is None
            places[str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)] = sent

        return delivered

    for sent in messages:
        headers: list[tuple[str, str | bytes | None]] = list(sent.headers)
        producer.produce(sent.topic, sent.value, sent.key, headers=headers, on_delivery=noted(sent))
    assert producer.flush(30) == 0
    return places


def test_corrupt_messages_of_every_kind_are_quarantined_as_they_came_and_good_ones_among_them_become_bars(
    lake: Settings,
):
    kafka.add_universe(lake)
    messages = _all()
    places = _send(lake, messages)
    with kafka.running(lake) as query:
        ledger = kafka.drain(lake, query)
    bad = {place: sent for place, sent in places.items() if sent.reason is not None}
    assert {sent.reason for sent in bad.values()} == set(Reason) - {Reason.UNPROCESSABLE}
    found = pl.read_delta(QUARANTINE.path(lake))
    columns = ("topic", "partition", "offset", "reason", "raw", "key")
    rows = {(t, p, o): rest for t, p, o, *rest in found.select(columns).iter_rows()}
    verdicts = {sent.name: rows[place][0] for place, sent in bad.items()}
    assert verdicts == {sent.name: sent.reason for sent in bad.values()}
    assert rows == {place: [sent.reason, sent.value, sent.key] for place, sent in bad.items()}
    bars = pl.read_delta(BARS.path(lake)).select("topic", "partition", "offset", "close")
    good = {place: json.loads(sent.value or b"")["close"] for place, sent in places.items() if sent.reason is None}
    assert {(t, p, o): close for t, p, o, close in bars.iter_rows()} == good
    assert (ledger.silver, ledger.duplicates, ledger.quarantine) == (len(good), 0, len(bad))
