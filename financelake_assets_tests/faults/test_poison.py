"""Messages that a micro-batch cannot be done with, through the real reader: only the culprit is refused."""

from __future__ import annotations

import pathlib
from typing import Any

import polars as pl
import pytest
from confluent_kafka import Producer
from pyspark.sql import SparkSession

from financelake_assets.bronze.topics import topic_ids, watermarks
from financelake_assets.config import Settings
from financelake_assets.silver import cleaning, holes, query, reading, sources, splitting
from financelake_assets.silver.batch_writing import BatchWriter
from financelake_assets.silver.ledger import uncounted
from financelake_assets.silver.ranges import Ranges, span
from financelake_assets.silver.reasons import Reason
from financelake_assets.silver.schema import BARS, QUARANTINE, SOURCES
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets_tests.silver import kafka

pytestmark = pytest.mark.integration


def _batch(lake: Settings) -> Ranges:
    return {topic: dict(parts) for topic, parts in watermarks(lake).items()}


def _write(spark: SparkSession, lake: Settings, batch: int = 7) -> int:
    """What Spark's worker does with a micro-batch of all that is on the topics."""
    ranges, notes = _batch(lake), query.batch_notes(lake)
    writer = BatchWriter(OpenTables(lake), topic_ids(lake))
    return writer.write(reading.bounded(spark, lake, ranges), ranges, notes.of(batch), notes.write)


@pytest.fixture
def broken_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cleaning that fails with one message, as code with an error would."""
    real = cleaning.cleaned

    def fails(messages: pl.DataFrame, universe: Any) -> pl.DataFrame:
        if messages["value"].bin.contains(b"666").fill_null(False).any():
            raise OverflowError("date value out of range")
        return real(messages, universe)

    monkeypatch.setattr(cleaning, "cleaned", fails)


def test_a_message_with_which_the_code_fails_is_refused_alone(lake: Settings, spark: SparkSession, broken_code: None):
    kafka.add_universe(lake)
    sent = [kafka.bar("AAPL", day, 10.0 + day) for day in range(20)]
    culprit = kafka.bar("AAPL", 50, 666.0)
    kafka.produce(lake, [*sent[:11], culprit, *sent[11:], *[kafka.bar("IBM", day, 5.0) for day in range(5)]])
    _write(spark, lake)
    assert BARS.scan(lake).collect().height == 25
    (row,) = QUARANTINE.scan(lake).collect().rows(named=True)
    assert (row["reason"], row["raw"], row["key"]) == (Reason.UNPROCESSABLE, culprit[2], b"AAPL")
    assert not any(uncounted(lake).values())
    _write(spark, lake)
    assert QUARANTINE.scan(lake).collect().height == 1, "done again, it changes nothing"


def test_a_batch_with_transactions_is_cut_between_their_ends_too(
    lake: Settings, spark: SparkSession, broken_code: None, monkeypatch: pytest.MonkeyPatch
):
    """Parts of it hold no message, or begin where none is; each hole is asked for and counted once."""
    monkeypatch.setattr(splitting, "FIRST_PART", 4)
    kafka.add_universe(lake)
    producer = Producer({"bootstrap.servers": lake.kafka_bootstrap, "transactional.id": "a-bank"})
    producer.init_transactions()
    for number, prices in enumerate([(10.0, 11.0), (12.0, 13.0, 14.0), (666.0,), (15.0,)]):
        producer.begin_transaction()
        for at, price in enumerate(prices):
            topic, key, value = kafka.bar("AAPL", 4 * number + at, price)
            producer.produce(topic, value, key)
        producer.flush()
        (producer.abort_transaction if number == 1 else producer.commit_transaction)()
    sources.register(lake, topic_ids(lake), watermarks(lake))
    assert _write(spark, lake) == 4
    assert _write(spark, lake) == 0, "its parts are noted as done"
    assert BARS.scan(lake).collect()["close"].sort().to_list() == [10.0, 11.0, 15.0]
    assert QUARANTINE.scan(lake).collect()["reason"].to_list() == [Reason.UNPROCESSABLE]
    table, ids = SOURCES.ensure(lake), topic_ids(lake)
    noted = sum(holes.noted(table, t, p, ids[t]) for t, parts in watermarks(lake).items() for p in parts)
    assert noted == span(_batch(lake)) - 4 == 7


def test_a_machine_that_fails_with_every_message_refuses_none(
    lake: Settings, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
):
    kafka.add_universe(lake)
    kafka.produce(lake, [kafka.bar("AAPL", day, 10.0 + day) for day in range(12)])

    def fails(*_: object) -> None:
        raise pl.exceptions.ComputeError("Generic S3 error: 503")

    with monkeypatch.context() as patch:
        patch.setattr("financelake_assets.silver.writing.rows_with", fails)
        with pytest.raises(pl.exceptions.ComputeError, match="503"):
            _write(spark, lake)
    assert QUARANTINE.scan(lake).collect().is_empty()
    _write(spark, lake)
    assert BARS.scan(lake).collect().height == 12


def test_a_message_that_ended_the_process_again_and_again_is_refused_unread(lake: Settings, spark: SparkSession):
    kafka.add_universe(lake)
    kafka.produce(lake, [kafka.bar("AAPL", day, 10.0 + day) for day in range(6)])
    ((topic, part),) = [(t, p) for t, parts in watermarks(lake).items() for p, (_, high) in parts.items() if high]
    alone: Ranges = {topic: {part: (3, 4)}}
    query.batch_notes(lake).write(splitting.Begun(7, 9, {}, alone, splitting.ALONE_STARTS))
    _write(spark, lake)
    (row,) = QUARANTINE.scan(lake).collect().rows(named=True)
    assert (row["reason"], row["raw"], row["offset"]) == (Reason.UNPROCESSABLE, None, 3)
    assert BARS.scan(lake).collect().height == 5


@pytest.mark.slow
def test_two_thousand_bad_messages_of_almost_a_megabyte_do_not_stop_silver(lake: Settings):
    """They are 1.8 GB, and a fraction of one on the wire."""
    kafka.add_universe(lake)
    noise = b"\xff" + b"x" * 900_000
    producer = Producer(
        {"bootstrap.servers": lake.kafka_bootstrap, "compression.type": "zstd", "queue.buffering.max.kbytes": 200_000}
    )
    for number in range(2_000):
        while True:
            try:
                producer.produce("bronze.stock", noise, b"AAPL")
                break
            except BufferError:
                producer.poll(0.1)
        if number % 100 == 0:
            _, key, value = kafka.bar("AAPL", number, 5.0)
            producer.produce("bronze.stock", value, key)
    assert producer.flush(120) == 0
    with kafka.running(lake) as running:
        kafka.eventually(lambda: kafka.caught_up(lake, running), "the query caught up", 500)
    assert QUARANTINE.scan(lake).select(pl.len()).collect().item() == 2_000
    assert BARS.scan(lake).collect().height == 20
    assert pathlib.Path(lake.checkpoint("silver")).is_dir()
