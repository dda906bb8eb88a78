"""Bounded reads of Kafka topics: from an offset to where the topic ends now.

Input: where to begin and to end in each partition. Output: the messages in between. No consumer group is joined and
no offset committed: a reader leaves no trace.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import cast

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from financelake_assets.bronze.broker import client_config, unavailable
from financelake_assets.config import Settings

_AT_ONCE = 10_000
_PATIENCE_SECONDS = 15.0

Span = tuple[int, int]
"""First offset, and the offset behind the last one."""


def read(settings: Settings, spans: Mapping[tuple[str, int], Span]) -> Iterator[Message]:
    """The messages in each (topic, partition)'s span that are still there.

    Raises:
        BrokerUnavailableError: nothing came for a while before the end was reached.
    """
    left = {place: span for place, span in spans.items() if span[0] < span[1]}
    if not left:
        return
    consumer = Consumer(
        {
            **client_config(settings),
            "group.id": "financelake-reads-once",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    try:
        consumer.assign([TopicPartition(topic, partition, first) for (topic, partition), (first, _) in left.items()])
        ends = {place: end for place, (_, end) in left.items()}
        heard = time.monotonic()
        while ends:
            batch = consumer.consume(_AT_ONCE, timeout=0.1)
            if batch:
                heard = time.monotonic()
            elif time.monotonic() - heard > _PATIENCE_SECONDS:
                raise unavailable(settings, f"nothing was read for {_PATIENCE_SECONDS:.0f} s")
            for message in batch:
                yield from _within(message, ends)
    finally:
        consumer.close()


def _within(message: Message, ends: dict[tuple[str, int], int]) -> Iterator[Message]:
    """The message if it lies in a span that is not over; takes spans that end with it off ``ends``."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if topic is None or partition is None or offset is None or (topic, partition) not in ends:
        return
    error, place = message.error(), (topic, partition)
    if error is not None:
        if error.code() == KafkaError._PARTITION_EOF:
            del ends[place]
        return
    end = ends[place]
    if offset + 1 >= end:
        del ends[place]
    if offset < end:
        yield message


def header(message: Message, name: str) -> str | None:
    """The last value of a header as text."""
    pairs = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    values = [value for key, value in pairs if key == name]
    return values[-1].decode(errors="replace") if values and values[-1] is not None else None
