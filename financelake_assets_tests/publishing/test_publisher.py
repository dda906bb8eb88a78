"""The topics equal the tables, whatever is killed: each row once, as the table has it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient
from jsonschema import Draft202012Validator, FormatChecker

from financelake_assets.bronze.broker import BrokerUnavailableError, client_config
from financelake_assets.bronze.reading import header, read
from financelake_assets.bronze.topics import GOLD, PUBLISHED, delete_topics, ensure_topics, watermarks
from financelake_assets.config import Settings
from financelake_assets.gold.publisher_state import read_state
from financelake_assets.gold.schema import PREDICTIONS, SIGNALS
from financelake_assets.publishing.publisher import Publisher
from financelake_assets.publishing.sender import TRANSACTIONAL_ID, Sender
from financelake_assets.query.row_schema import document
from financelake_assets.storage.followed import FollowedTable
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets.storage.store import StoreError
from financelake_assets_tests.publishing import mortal
from financelake_assets_tests.query import rows

pytestmark = pytest.mark.integration

SPECS = {"gold.signals": SIGNALS, "gold.predictions": PREDICTIONS}
SYMBOLS = ("BTC-USD", "ETH-USD", "AAPL")


@pytest.fixture
def out(tmp_path: Path, broker: str) -> Settings:
    """A lake without Spark, with empty topics on the run's broker."""
    settings = Settings.model_validate({"data_dir": tmp_path / "lake", "kafka": {"bootstrap": broker}})
    delete_topics(settings)
    ensure_topics(settings)
    settings.run_dir.mkdir(parents=True)
    return settings


def commit(lake: Settings, *days: int) -> None:
    """One commit in each table, with rows of three symbols."""
    signals = pl.concat([rows.signal(day, symbol=symbol) for day in days for symbol in SYMBOLS])
    given = {"interval": "1d", "horizon": 1, "model_version": "m", "predicted_return": float("nan")}
    predictions = [
        rows.as_rows(PREDICTIONS, {**given, "symbol": row["symbol"], "event_time": row["event_time"], "close": 0.1})
        for row in signals.iter_rows(named=True)
    ]
    tables = OpenTables(lake)
    tables.insert(PREDICTIONS, pl.concat(predictions))
    tables.insert(SIGNALS, signals)


def on_topic(lake: Settings, topic: str) -> list[tuple[str, str, str]]:
    """What a reader of committed messages sees: key, value and place."""
    marks = watermarks(lake, (topic,))[topic]
    messages = read(lake, {(topic, partition): span for partition, span in marks.items()})
    return [
        ((one.key() or b"").decode(), (one.value() or b"").decode(), f"{header(one, 'version')}-{header(one, 'row')}")
        for one in messages
    ]


def in_table(lake: Settings, topic: str) -> list[dict[str, Any]]:
    """The oracle: the table's rows, converted by the tests' own code."""
    found = []
    for row in SPECS[topic].scan(lake).collect().to_dicts():
        plain: dict[str, Any] = {}
        for name, value in row.items():
            if hasattr(value, "isoformat"):
                value = value.isoformat().replace("+00:00", "Z")
            plain[name] = None if isinstance(value, float) and value != value else value
        found.append(plain)
    return found


def assert_topics_equal_tables(lake: Settings) -> None:
    for topic in GOLD:
        messages = on_topic(lake, topic)
        wanted = Counter(json.dumps(row, sort_keys=True) for row in in_table(lake, topic))
        got = Counter(json.dumps(json.loads(value), sort_keys=True) for _, value, _ in messages)
        assert got == wanted, (topic, (wanted - got), (got - wanted))
        assert set(wanted.values()) <= {1}
        assert all(json.loads(value)["symbol"] == key for key, value, _ in messages)


def test_the_topics_have_each_row_once_as_the_tables_have_it(out: Settings) -> None:
    commit(out, 0, 1)
    publisher = Publisher(out)
    assert publisher.round()
    assert_topics_equal_tables(out)
    for day in (2, 3):
        commit(out, day)
        SIGNALS.ensure(out).optimize.compact()
        assert publisher.round()
    assert publisher.round()
    assert_topics_equal_tables(out)
    first = json.loads(on_topic(out, "gold.signals")[0][1])
    assert list(first) == SIGNALS.schema.names
    for topic, spec in SPECS.items():
        check = Draft202012Validator(document(spec), format_checker=FormatChecker())
        assert [
            error.message for _, value, _ in on_topic(out, topic) for error in check.iter_errors(json.loads(value))
        ] == []
    places = [place for _, _, place in on_topic(out, "gold.predictions")]
    assert len(set(places)) == len(places), "the headers name a row, for readers who want to check"
    assert Publisher(out).round(), "another one has nothing to do"
    assert_topics_equal_tables(out)


def test_a_store_that_goes_away_is_waited_for(out: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(out, 0)
    publisher = Publisher(out)

    def gone(_: FollowedTable) -> None:
        raise StoreError("the store does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(FollowedTable, "newest", gone)
        assert not publisher.round(), "it is to be tried again"
    assert publisher.round()
    assert_topics_equal_tables(out)


def test_it_wakes_at_a_commit_and_ends_when_told(out: Settings) -> None:
    publisher = Publisher(out)
    running = threading.Thread(target=publisher.run)
    running.start()
    try:
        for day in range(3):
            commit(out, day)
            while len(on_topic(out, "gold.signals")) < 3 * (day + 1):
                assert running.is_alive()
    finally:
        publisher.stop()
        running.join(60)
    assert not running.is_alive()
    state = read_state(out)
    assert state is not None
    assert state.versions["gold.signals"] == SIGNALS.ensure(out).version()
    assert state.problems == {}


def test_a_kill_between_any_two_steps_loses_and_doubles_nothing(out: Settings) -> None:
    """Each publisher dies one call of its producer later than the one before it; commits go on meanwhile."""
    argv = [sys.executable, "-m", mortal.__name__, out.kafka_bootstrap, str(out.data_dir)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as publishers:
        assert publishers.stdin is not None
        assert publishers.stdout is not None

        def publish(calls: int) -> int:
            publishers.stdin.write(f"{calls}\n")  # type: ignore[union-attr]
            publishers.stdin.flush()  # type: ignore[union-attr]
            code = int(publishers.stdout.readline())  # type: ignore[union-attr]
            assert code in (0, mortal.DEAD)
            return code

        commit(out, 0)
        for calls in range(1, 14):
            if calls in (4, 8, 11):
                commit(out, calls)
            assert publish(calls) == mortal.DEAD, "or there was not enough to do"
            if calls > 9:
                commit(out, 100 + calls)
        commit(out, 50)
        assert publish(-1) == 0
        publishers.stdin.close()
    assert_topics_equal_tables(out)


def test_what_an_uncommitted_transaction_wrote_is_not_seen(out: Settings) -> None:
    """A publisher that hangs in a transaction is put out by the next one, and can no longer commit."""
    commit(out, 0)
    hung = Sender(out)
    hung._producer.begin_transaction()
    hung._produce("gold.signals", b"BTC-USD", b"{}", [])
    hung._producer.flush(10)
    assert Publisher(out).round()
    with pytest.raises(Exception, match=r"(?i)fenced|epoch"):
        hung._producer.commit_transaction(10)
    assert_topics_equal_tables(out)


def test_a_topic_that_was_made_again_gets_the_whole_table(out: Settings) -> None:
    commit(out, 0, 1)
    assert Publisher(out).round()
    admin = AdminClient(client_config(out))
    for future in admin.delete_topics(["gold.signals"], operation_timeout=20).values():
        future.result(30)
    while "gold.signals" in admin.list_topics(timeout=10).topics:
        threading.Event().wait(0.1)
    commit(out, 2)
    assert Publisher(out).round()
    assert_topics_equal_tables(out)


def test_a_broker_that_is_gone_is_said_and_waited_for(out: Settings) -> None:
    commit(out, 0)
    gone = Settings.model_validate({"data_dir": out.data_dir, "kafka": {"bootstrap": "127.0.0.1:1"}})
    publisher = Publisher(gone)
    assert not publisher.round()
    publisher.say()
    state = read_state(gone)
    assert state is not None
    assert "does not answer" in state.problems["gold.signals"]
    with pytest.raises(BrokerUnavailableError):
        Sender(gone)


def test_a_plain_client_reads_with_a_group_of_its_own(out: Settings) -> None:
    commit(out, 0)
    assert Publisher(out).round()
    consumer = Consumer(
        {"bootstrap.servers": out.kafka_bootstrap, "group.id": "somebody", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(["gold.signals"])
    seen: list[str] = []
    while len(seen) < len(SYMBOLS):
        message = consumer.poll(10)
        assert message is not None
        assert message.error() is None
        seen.append((message.key() or b"").decode())
    consumer.close()
    assert sorted(seen) == sorted(SYMBOLS)
    assert TRANSACTIONAL_ID.startswith("financelake-")
    assert PUBLISHED not in GOLD
