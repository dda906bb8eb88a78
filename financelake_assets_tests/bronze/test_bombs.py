"""What a broker takes of batches that are a hundred or a thousand times larger than what travels of them."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, Message, Producer

from financelake_assets.bronze.reading import read
from financelake_assets.bronze.topics import MAX_MESSAGE_BYTES, watermarks
from financelake_assets.config import Settings

pytestmark = pytest.mark.integration

MOST_TIMES = 22
"""How many times larger than itself a batch may be: what snappy's format allows, 64 bytes by a copy of three."""


def sent(settings: Settings, codec: str, values: list[bytes]) -> list[int | None]:
    """The broker's answer to each value, all of one batch; ``None`` where it was acknowledged."""
    answers: list[int | None] = []

    def told(error: KafkaError | None, _: Message) -> None:
        answers.append(None if error is None else error.code())

    producer = Producer(
        {
            "bootstrap.servers": settings.kafka_bootstrap,
            "compression.type": codec,
            "message.max.bytes": 1_000_000_000,
            "batch.size": 1_000_000_000,
            "linger.ms": 1_000,
            "retries": 0,
            "message.timeout.ms": 60_000,
        }
    )
    for value in values:
        producer.produce("bronze.stock", value=value, partition=0, on_delivery=told)
    assert producer.flush(120) == 0
    return answers


@pytest.mark.parametrize(
    ("codec", "values"),
    [
        ("zstd", [bytes(100_000_000)]),
        ("zstd", [bytes(900_000)] * 110),
        ("gzip", [bytes(100_000_000)]),
        ("lz4", [bytes(100_000_000)]),
    ],
    ids=["one message", "one batch", "gzip", "lz4"],
)
def test_a_batch_is_refused_that_is_far_larger_than_what_travels_of_it(
    bronze_lake: Settings, codec: str, values: list[bytes]
):
    assert set(sent(bronze_lake, codec, values)) == {KafkaError.MSG_SIZE_TOO_LARGE}
    assert watermarks(bronze_lake)["bronze.stock"][0] == (0, 0)


def test_a_batch_larger_than_the_brokers_memory_does_not_end_it(bronze_lake: Settings):
    assert bronze_lake.kafka.heap == "512m"
    assert sent(bronze_lake, "zstd", [bytes(700_000_000)]) == [KafkaError.UNKNOWN]
    assert sent(bronze_lake, "zstd", [b"the next message"]) == [None]


def test_what_is_taken_is_bounded_by_what_snappy_allows(bronze_lake: Settings):
    most = MOST_TIMES * MAX_MESSAGE_BYTES
    assert sent(bronze_lake, "snappy", [bytes(most)]) == [KafkaError.MSG_SIZE_TOO_LARGE]
    assert sent(bronze_lake, "zstd", [bytes(1_000_000)]) == [None]
    (message,) = read(bronze_lake, {("bronze.stock", 0): (0, 1)})
    assert message.value() == bytes(1_000_000)
