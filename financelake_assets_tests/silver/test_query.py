"""The continuous query on a real broker and Spark server: every message once, through restarts and replays."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from pyspark.sql import SparkSession

from financelake_assets.bronze.topics import delete_topics, ensure_topics, topic_ids, watermarks
from financelake_assets.bronze.universe import Universe
from financelake_assets.config import Settings
from financelake_assets.providers.base import Instrument
from financelake_assets.silver import reading
from financelake_assets.silver.backfill import GapError, backfill
from financelake_assets.silver.batch_writing import write_batch
from financelake_assets.silver.checkpoint import QUERY
from financelake_assets.silver.holes import SkippedError
from financelake_assets.silver.ledger import Ledger, read_ledger, uncounted
from financelake_assets.silver.reading import bounded
from financelake_assets.silver.schema import BARS, QUARANTINE
from financelake_assets.silver.staged import Executors
from financelake_assets.storage.checkpoints import CheckpointError, committed_batch
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets_tests.silver import kafka

pytestmark = pytest.mark.integration


@pytest.fixture
def silver(lake: Settings) -> Settings:
    """A lake with empty topics and a few symbols."""
    kafka.add_universe(lake)
    return lake


def test_restarts_and_replays_of_every_kind_leave_one_table(silver: Settings, tmp_path: Path, spark: SparkSession):
    sent = kafka.produce(silver, kafka.mixture(600))
    with kafka.running(silver) as query:
        ledger = kafka.drain(silver, query)
        assert ledger.as_dict() | {"in": sent, "balanced": True} == ledger.as_dict()
        assert min(ledger.silver, ledger.duplicates, ledger.quarantine) > 0

    # on from the checkpoint, with other settings
    sent += kafka.produce(silver, kafka.mixture(120, first=600))
    narrow = silver.model_copy(update={"spark": silver.spark.model_copy(update={"max_offsets_per_trigger": 50})})
    with kafka.running(narrow) as query:
        assert kafka.drain(narrow, query).consumed == sent
    found, before = kafka.tables(silver), read_ledger(silver)
    assert before.balanced

    # the last commit is lost: Spark runs that batch again
    checkpoint = Path(silver.checkpoint(QUERY))
    last = committed_batch(checkpoint)
    for name in (f"{last}", f".{last}.crc"):
        (checkpoint / "commits" / name).unlink(missing_ok=True)
    with kafka.running(silver) as query:
        assert kafka.drain(silver, query) == before
    assert kafka.tables(silver) == found

    # the whole checkpoint is lost: Spark begins again, with batches cut differently
    shutil.rmtree(checkpoint)
    narrow = silver.model_copy(update={"spark": silver.spark.model_copy(update={"max_offsets_per_trigger": 150})})
    with kafka.running(narrow) as query:
        assert kafka.drain(narrow, query) == before
    assert kafka.tables(silver) == found
    assert not any(uncounted(silver).values())

    # a bounded run into an empty lake gives the same tables
    batch = silver.model_copy(update={"data_dir": tmp_path / "batch"})
    kafka.add_universe(batch)
    backfill(spark, batch)
    assert kafka.tables(batch) == found


def test_what_executors_stage_is_what_the_driver_writes(
    silver: Settings, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A batch so small is cleaned in the driver, unless nothing is small."""
    kafka.produce(silver, kafka.mixture(600))
    assert backfill(spark, silver) == 600
    found, counted = kafka.tables(silver), list[bool]()
    monkeypatch.setattr(reading, "SMALL", 0)
    monkeypatch.setattr(Executors, "stage", _noted(Executors.stage, counted))
    for number, most in enumerate((10_000, 250)):
        spark_settings = silver.spark.model_copy(update={"max_offsets_per_trigger": most})
        lake = silver.model_copy(update={"data_dir": tmp_path / str(number), "spark": spark_settings})
        kafka.add_universe(lake)
        assert backfill(spark, lake) == 600
        assert kafka.tables(lake) == found
        assert not any(uncounted(lake).values())
    assert len(counted) > 2
    assert all(counted), "every batch was staged"


def _noted(real: Any, counted: list[bool]) -> Any:
    def stage(*arguments: Any) -> Any:
        found = real(*arguments)
        counted.append(found is not None)
        return found

    return stage


def test_a_backfill_beside_the_stream_changes_nothing_and_refuses_a_gap(silver: Settings, spark: SparkSession):
    sent = kafka.produce(silver, kafka.mixture(400))
    with kafka.running(silver) as query:
        backfill(spark, silver)
        assert kafka.drain(silver, query).consumed == sent
        ledger, found = read_ledger(silver), kafka.tables(silver)
        assert ledger.balanced
        backfill(spark, silver)
        assert (read_ledger(silver), kafka.tables(silver)) == (ledger, found)
    end = watermarks(silver)["bronze.crypto"][0][1]
    with pytest.raises(GapError, match="leaves a gap"):
        backfill(spark, silver, {"bronze.crypto": {0: (end + 1, end + 5)}})


def test_a_lost_table_is_filled_again_from_the_topics(silver: Settings, spark: SparkSession):
    kafka.produce(silver, kafka.mixture(200))
    backfill(spark, silver)
    found = kafka.tables(silver)
    shutil.rmtree(BARS.path(silver))
    told: list[tuple[int, int]] = []
    narrow = silver.model_copy(update={"spark": silver.spark.model_copy(update={"max_offsets_per_trigger": 120})})
    assert backfill(spark, narrow, progress=lambda done, all_: told.append((done, all_))) == 200
    assert told == sorted(told)
    assert (told[0], told[-1]) == ((0, 200), (200, 200))
    assert kafka.tables(silver) == found


def test_a_message_of_a_newer_schema_becomes_a_bar_and_its_lineage_says_where_from(silver: Settings):
    kafka.produce(silver, [kafka.bar("AAPL", 1, 5.0, mood="good"), kafka.garbage("AAPL", b"\xff\xfe")])
    with kafka.running(silver) as query:
        kafka.drain(silver, query)
    row = pl.read_delta(BARS.path(silver)).row(0, named=True)
    assert (row["topic"], row["offset"], row["close"], row["imputed"]) == ("bronze.stock", 0, 5.0, "open,high,low")
    assert isinstance(row["processed_at"], datetime)
    bad = pl.read_delta(QUARANTINE.path(silver)).row(0, named=True)
    assert (bad["raw"], bad["key"], bad["reason"], bad["offset"]) == (b"\xff\xfe", b"AAPL", "invalid_utf8", 1)


def test_loss_by_retention_stops_the_query_loudly(silver: Settings, monkeypatch: pytest.MonkeyPatch):
    kafka.produce(silver, [kafka.bar("AAPL", day, 5.0 + day) for day in range(20)])
    with kafka.running(silver) as query:
        kafka.drain(silver, query)
    kafka.produce(silver, [kafka.bar("AAPL", day, 5.0 + day) for day in range(20, 40)])
    _delete_before(silver, watermarks(silver)["bronze.stock"])
    kafka.produce(silver, [kafka.bar("AAPL", 99, 5.0)])
    with pytest.raises(CheckpointError, match=r"bronze\.stock/\d offsets 20 to 39"), kafka.running(silver):
        pass
    # while it runs, Spark itself notices
    monkeypatch.setattr("financelake_assets.silver.query.refuse_other_topics", lambda *_: None)
    with kafka.running(silver) as running:
        kafka.eventually(lambda: not running.isActive, "the query stopped")
        assert "data may have been lost" in str(running.exception())
    assert read_ledger(silver).consumed == 20


def test_a_checkpoint_of_topics_that_were_made_again_is_refused(silver: Settings):
    kafka.produce(silver, [kafka.bar("AAPL", 1, 5.0)])
    with kafka.running(silver) as running:
        kafka.drain(silver, running)
    delete_topics(silver)
    ensure_topics(silver)
    # longer than the one before: its offsets alone would not tell
    kafka.produce(silver, [kafka.bar("AAPL", day, 6.0 + day) for day in range(5)])
    with pytest.raises(CheckpointError, match=r"bronze\.stock was made again"), kafka.running(silver):
        pass
    shutil.rmtree(silver.checkpoint(QUERY))
    with kafka.running(silver) as running:
        ledger = kafka.drain(silver, running)
    assert (ledger.consumed, ledger.silver, ledger.balanced) == (6, 6, True), "of both topics"


def test_a_topic_made_again_beneath_the_running_query_stops_it_before_anything_of_it_is_written(
    silver: Settings, monkeypatch: pytest.MonkeyPatch
):
    """It is longer than the one before, so Spark would go on in its midst."""
    kafka.produce(silver, [kafka.bar("AAPL", day, 5.0 + day) for day in range(3)])
    with kafka.running(silver) as running:
        kafka.drain(silver, running)
    found, ids = kafka.tables(silver), topic_ids(silver)
    delete_topics(silver)
    ensure_topics(silver)
    again = [kafka.bar("AAPL", day, 6.0 + day) for day in range(7)]
    kafka.produce(silver, again)
    with monkeypatch.context() as patch:  # as when it happens behind the start
        patch.setattr("financelake_assets.silver.query.topic_ids", lambda _: ids)
        with kafka.running(silver) as running:
            kafka.eventually(lambda: not running.isActive, "the query stopped")
            assert "bronze.stock was made again" in str(running.exception())
    assert kafka.tables(silver) == found
    shutil.rmtree(silver.checkpoint(QUERY))
    with kafka.running(silver) as running:
        ledger = kafka.drain(silver, running)
    assert (ledger.consumed, ledger.silver, ledger.balanced) == (10, 10, True), "of both topics, each once"


def test_what_retention_had_deleted_before_silver_began_was_never_in(silver: Settings):
    kafka.produce(silver, [kafka.bar("AAPL", day, 5.0) for day in range(3)])
    _delete_before(silver, watermarks(silver)["bronze.stock"])
    kafka.produce(silver, [kafka.bar("AAPL", 9, 5.0)])
    with kafka.running(silver) as running:
        ledger = kafka.drain(silver, running)
    assert (ledger.consumed, ledger.silver) == (1, 1)


def _delete_before(lake: Settings, marks: dict[int, tuple[int, int]]) -> None:
    from confluent_kafka import TopicPartition

    admin = AdminClient({"bootstrap.servers": lake.kafka_bootstrap})
    ends = [TopicPartition("bronze.stock", partition, high) for partition, (_, high) in marks.items()]
    for future in admin.delete_records(ends).values():
        future.result(30)


def test_a_new_symbol_is_known_from_the_next_batch_on(silver: Settings):
    from financelake_assets.bronze.schema import UNIVERSE

    late = (
        "bronze.stock",
        "NEW",
        json.dumps({"symbol": "NEW", "interval": "1d", "event_time": "2024-01-01", "close": 1}),
    )
    with kafka.running(silver) as query:
        kafka.produce(silver, [late])
        assert kafka.drain(silver, query).quarantine == 1
        known = (
            pl.read_delta(UNIVERSE.path(silver)).head(1).with_columns(symbol=pl.lit("NEW"), asset_class=pl.lit("stock"))
        )
        known.write_delta(UNIVERSE.path(silver), mode="append")
        kafka.produce(silver, [late])
        assert kafka.drain(silver, query).silver == 1


def test_the_ledger_counts_messages_where_transactions_take_offsets(silver: Settings):
    """What was aborted is not read, and the end of a transaction is an offset without a message."""
    producer = Producer({"bootstrap.servers": silver.kafka_bootstrap, "transactional.id": "a-bank"})
    producer.init_transactions()
    for number in range(4):
        producer.begin_transaction()
        for day in range(3):
            topic, key, value = kafka.bar("AAPL", 3 * number + day, 10.0 + day)
            producer.produce(topic, value, key)
        producer.flush()
        (producer.abort_transaction if number == 2 else producer.commit_transaction)()
    with kafka.running(silver) as query:
        assert kafka.drain(silver, query) == Ledger(consumed=9, silver=9, duplicates=0, quarantine=0)
    before, found = read_ledger(silver), kafka.tables(silver)
    # read again in other batches, each hole is counted once
    shutil.rmtree(silver.checkpoint(QUERY))
    narrow = silver.model_copy(update={"spark": silver.spark.model_copy(update={"max_offsets_per_trigger": 5})})
    with kafka.running(narrow) as query:
        assert kafka.drain(narrow, query) == before
    assert kafka.tables(silver) == found


@pytest.mark.parametrize("stamped", [0, 1704153600000, -(10**16)])
def test_a_sender_cannot_stamp_a_message_with_a_time_that_stops_silver_or_refuses_the_bar(
    silver: Settings, stamped: int
):
    taken: list[bool] = []
    producer = Producer({"bootstrap.servers": silver.kafka_bootstrap})
    topic, key, value = kafka.bar("AAPL", 1, 5.0)
    # a time that no clock has may be refused by the client or the broker, which tells the sender
    producer.produce(topic, value, key, timestamp=stamped, on_delivery=lambda error, _: taken.append(error is None))
    assert producer.flush(30) == 0
    accepted = kafka.produce(silver, [kafka.bar("AAPL", 2, 5.0)]) + sum(taken)
    with kafka.running(silver) as query:
        assert kafka.drain(silver, query).silver == accepted
    assert stamped < 0 or accepted == 2


def test_a_symbol_added_between_the_end_and_the_replay_of_a_batch_loses_no_message(silver: Settings):
    """One table has counted the batch, the other not; the judgement of both is the first one's."""
    value = json.dumps({"symbol": "NEW", "interval": "1d", "event_time": "2024-01-01", "close": 1})
    kafka.produce(silver, [kafka.bar("AAPL", 1, 5.0), ("bronze.stock", "AAPL", value)])
    with kafka.running(silver) as query:
        assert kafka.drain(silver, query).quarantine == 1
    # as after a death behind the commit of bars: quarantine has not been written, nor the batch committed
    shutil.rmtree(QUARANTINE.path(silver))
    shutil.rmtree(silver.checkpoint(QUERY))
    Universe(silver, "test").add([Instrument("NEW", "stock")])
    with kafka.running(silver) as query:
        ledger = kafka.drain(silver, query)
    assert (ledger.silver, ledger.quarantine, ledger.balanced) == (1, 1, True)


def test_a_message_that_spark_leaves_out_in_silence_stops_the_batch_before_anything_is_written(
    silver: Settings, spark: SparkSession
):
    """The ledger cannot tell it from a hole; a plain consumer can."""
    kafka.produce(silver, [kafka.bar("AAPL", day, 5.0 + day) for day in range(6)])
    ids, marks = topic_ids(silver), {"bronze.stock": watermarks(silver)["bronze.stock"]}
    tables = OpenTables(silver)
    read = bounded(spark, silver, marks)
    for skipped in ([3], [0, 1], [5], list(range(6))):
        with pytest.raises(SkippedError, match=rf"bronze\.stock/\d/{skipped[0]}.*{len(skipped)} in all"):
            write_batch(tables, read.where(~read["offset"].isin(skipped)), marks, ids, Executors())
    assert BARS.scan(silver).collect().is_empty()
    assert write_batch(tables, read, marks, ids, Executors()) == {}
    assert BARS.scan(silver).collect().height == 6
