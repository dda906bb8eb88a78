from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from financelake_assets.bronze import positions
from financelake_assets.bronze.load import Load
from financelake_assets.bronze.producer import BronzeProducer
from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.bronze.topics import DEAD_LETTERS, POSITIONS, delete_topics, ensure_topics, watermarks
from financelake_assets.bronze.universe import AssetClassError, known_symbols
from financelake_assets.config import Settings
from financelake_assets.providers.base import COLUMNS, Chunk, skip_rows, typed
from financelake_assets_tests.bronze.observed import each_once, messages, sequences

pytestmark = pytest.mark.integration

NAME = "test-load"


def rows(count: int) -> Iterator[Chunk]:
    """Bars of six symbols of all classes, so that every partition gets some."""
    symbols = [("AAPL", "stock"), ("IBM", "stock"), ("MSFT", "stock"), ("BTC-USD", "crypto"), ("WTI", "commodity")]
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    bars = [
        {
            "symbol": symbols[row % 5][0],
            "asset_class": symbols[row % 5][1],
            "interval": "1h",
            "event_time": begin + timedelta(hours=row),
            "close": float(row + 1),
        }
        for row in range(count)
    ]
    frame = typed(pl.DataFrame(bars, schema=dict(COLUMNS)))
    for part in frame.iter_slices(100):
        yield Chunk(part)


def publish(settings: Settings, count: int, *, until: int | None = None) -> int:
    """Publish the rows of a source, or its first ones, as often as asked; returns how many were new."""
    new = 0
    with Load(settings, NAME, "test") as load:
        for chunk in skip_rows(rows(count), load.published):
            if until is not None and load.published >= until:
                break
            new += load.publish(chunk)
        load.record()
    return new


def test_every_row_is_published_once_with_its_place_in_the_load(bronze_lake: Settings) -> None:
    assert publish(bronze_lake, 1_000) == 1_000
    assert each_once(bronze_lake, NAME, 1_000)
    headers = dict(messages(bronze_lake)[0].headers())
    assert (headers["provider"], headers["schema_version"]) == (b"test", b"1")
    assert abs(datetime.fromisoformat(headers["produced_at"].decode()) - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_finished_load_publishes_nothing_again_and_a_grown_source_only_what_is_new(bronze_lake: Settings) -> None:
    publish(bronze_lake, 500)
    assert publish(bronze_lake, 500) == 0
    assert publish(bronze_lake, 700) == 200
    assert each_once(bronze_lake, NAME, 700)


def test_a_load_that_ended_without_a_record_goes_on_exactly(bronze_lake: Settings) -> None:
    publish(bronze_lake, 1_000, until=300)
    load = Load(bronze_lake, NAME, "test")
    for chunk in skip_rows(rows(1_000), load.published):
        load.publish(chunk)
        if load.published == 800:
            break
    load._producer.flush()  # acknowledged, and then the process is gone: no record, no close
    found = positions.find(bronze_lake, NAME)
    assert found is not None
    assert found.published == 800
    assert publish(bronze_lake, 1_000) == 200
    assert each_once(bronze_lake, NAME, 1_000)


def test_rows_that_overtook_others_are_found_and_the_gap_is_filled(bronze_lake: Settings) -> None:
    publish(bronze_lake, 1_000, until=300)
    with BronzeProducer(bronze_lake) as producer:  # as if one partition had acknowledged and another had not
        for row in (305, 310, 999):
            headers = [("load", NAME.encode()), ("sequence", str(row).encode())]
            producer.send("bronze.stock", "AAPL", "{}", headers)
    # cut short again before the last of them is passed: they must not be forgotten
    assert publish(bronze_lake, 1_000, until=600) == 298
    assert publish(bronze_lake, 1_000) == 399
    assert each_once(bronze_lake, NAME, 1_000)


def test_other_loads_and_strangers_on_the_topics_do_not_count(bronze_lake: Settings) -> None:
    with BronzeProducer(bronze_lake) as producer:
        producer.send("bronze.stock", "AAPL", "{}", [("load", b"other"), ("sequence", b"0")])
        producer.send("bronze.stock", "AAPL", b"\xff\x00", [])
    assert publish(bronze_lake, 200) == 200


def test_topics_that_were_deleted_and_made_again_are_filled_again(bronze_lake: Settings) -> None:
    publish(bronze_lake, 400)
    delete_one(bronze_lake, "bronze.stock")
    ensure_topics(bronze_lake)
    # what the other topics still hold is not published a second time
    assert publish(bronze_lake, 400) == 240
    assert each_once(bronze_lake, NAME, 400)
    delete_topics(bronze_lake)
    ensure_topics(bronze_lake)
    assert publish(bronze_lake, 400) == 400
    assert each_once(bronze_lake, NAME, 400)


def delete_one(settings: Settings, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    for future in admin.delete_topics([topic], operation_timeout=10).values():
        future.result(10)


def test_the_position_outlives_what_retention_removes(bronze_lake: Settings) -> None:
    publish(bronze_lake, 400)
    ends = [
        TopicPartition(topic, partition, high)
        for topic, parts in watermarks(bronze_lake).items()
        for partition, (_, high) in parts.items()
    ]
    admin = AdminClient({"bootstrap.servers": bronze_lake.kafka_bootstrap})
    for future in admin.delete_records(ends).values():
        future.result(10)
    assert messages(bronze_lake) == []
    assert publish(bronze_lake, 450) == 50
    assert sorted(row for _, row in sequences(bronze_lake)) == list(range(400, 450))


def test_symbols_are_in_the_universe_before_their_rows_are_on_a_topic(bronze_lake: Settings) -> None:
    publish(bronze_lake, 100)
    known = known_symbols(UNIVERSE.ensure(bronze_lake))
    assert known == {"AAPL": "stock", "IBM": "stock", "MSFT": "stock", "BTC-USD": "crypto", "WTI": "commodity"}
    wrong = typed(next(rows(1)).rows.with_columns(asset_class=pl.lit("crypto")))
    with Load(bronze_lake, "other", "test") as load, pytest.raises(AssetClassError, match="AAPL is a stock"):
        load.publish(Chunk(wrong))
    assert Counter(load for load, _ in sequences(bronze_lake)) == {NAME: 100}


def test_what_no_topic_takes_is_buried_with_its_reason_and_the_rest_goes_on(bronze_lake: Settings) -> None:
    huge = {"symbol": "AAPL", "asset_class": "stock", "comment": "x" * 2_000_000}
    (first,) = rows(3)
    with Load(bronze_lake, NAME, "test") as load:
        load.publish(Chunk(first.rows, (huge,)))
        load.publish(Chunk(first.rows))
        load.record()
        assert load.deliveries.dead == 1
    (dead,) = messages(bronze_lake, (DEAD_LETTERS,))
    headers = dict(dead.headers())
    assert (headers["dead_reason"], headers["dead_topic"]) == (b"too_large", b"bronze.stock")
    assert int(headers["dead_bytes"]) > 2_000_000
    assert dead.value().startswith(b'{"symbol":"AAPL"')
    assert sorted(row for _, row in sequences(bronze_lake)) == [0, 1, 2, 4, 5, 6]


def test_a_record_speaks_only_of_the_topics_it_was_written_for() -> None:
    text = positions.encode_record(7, {"bronze.stock": {0: 5}}, {"bronze.stock": "a"})
    assert positions.decode_record(text, {"bronze.stock": "a"}) == (7, {"bronze.stock": {0: 5}})
    assert positions.decode_record(text, {"bronze.stock": "b"}) == (0, {})


def test_records_are_few(bronze_lake: Settings) -> None:
    publish(bronze_lake, 1_000)
    assert len(messages(bronze_lake, (POSITIONS,))) == 2, "one before the first message, one at the end"
