"""What is on the topics, read independently of the code that published it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from financelake_assets.bronze.topics import BRONZE, watermarks
from financelake_assets.config import Settings


def messages(settings: Settings, topics: tuple[str, ...] = BRONZE) -> list[Any]:
    """Every message of the topics, partition by partition."""
    consumer = Consumer({"bootstrap.servers": settings.kafka_bootstrap, "group.id": "tests"})
    found = []
    try:
        for topic, partitions in watermarks(settings, topics).items():
            for partition, (low, high) in partitions.items():
                if low == high:
                    continue
                consumer.assign([TopicPartition(topic, partition, low)])
                while True:
                    message = consumer.poll(30)
                    assert message is not None, f"{topic}/{partition} is not readable to its end {high}"
                    assert message.error() is None, message.error()
                    found.append(message)
                    if message.offset() + 1 >= high:
                        break
    finally:
        consumer.close()
    return found


def sequences(settings: Settings) -> Counter[tuple[str, int]]:
    """How often each row of each load is on the topics."""
    counts: Counter[tuple[str, int]] = Counter()
    for message in messages(settings):
        headers = dict(message.headers())
        counts[headers["load"].decode(), int(headers["sequence"])] += 1
    return counts


def each_once(settings: Settings, load: str, total: int) -> bool:
    """Whether exactly the rows 0 … total-1 of a load are on the topics, each once."""
    return sequences(settings) == Counter({(load, row): 1 for row in range(total)})
