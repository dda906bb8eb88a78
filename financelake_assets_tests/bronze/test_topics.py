from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ListOffsetsResultInfo

from financelake_assets.bronze.broker import BrokerUnavailableError, TopicMissingError
from financelake_assets.bronze.topics import (
    BRONZE,
    declared,
    delete_topics,
    ensure_topics,
    offsets_at,
    topic_ids,
    watermarks,
)
from financelake_assets.config import Settings
from financelake_assets_tests.shared_servers import free_ports

pytestmark = pytest.mark.integration


def _with(settings: Settings, **kafka: int) -> Settings:
    return Settings.model_validate(
        {"data_dir": settings.data_dir, "kafka": {"bootstrap": settings.kafka_bootstrap, **kafka}}
    )


def test_a_second_reconciliation_changes_nothing(bronze_lake: Settings) -> None:
    assert [(one.created, dict(one.changed), one.drift) for one in ensure_topics(bronze_lake)] == [
        (False, {}, ()) for _ in declared(bronze_lake)
    ]


def test_declared_settings_are_brought_back(bronze_lake: Settings) -> None:
    other = _with(bronze_lake, retention_ms=120_000, partitions=3)
    changed = {one.topic: one.changed for one in ensure_topics(other)}
    assert changed["bronze.stock"] == {"retention.ms": ("604800000", "120000"), "partitions": ("2", "3")}
    assert len(watermarks(other)["bronze.stock"]) == 3


def test_partitions_are_never_taken_away_and_the_drift_is_told(bronze_lake: Settings) -> None:
    fewer = _with(bronze_lake, partitions=1)
    drift = {one.topic: one.drift for one in ensure_topics(fewer)}
    assert "2 partitions where 1 are declared" in drift["bronze.crypto"][0]
    assert len(watermarks(bronze_lake)["bronze.crypto"]) == 2


def test_deleted_topics_are_gone_and_can_be_made_again_at_once(bronze_lake: Settings) -> None:
    before = topic_ids(bronze_lake)
    delete_topics(bronze_lake)
    names = AdminClient({"bootstrap.servers": bronze_lake.kafka_bootstrap}).list_topics(timeout=60).topics
    assert not set(BRONZE) & set(names)
    ensure_topics(bronze_lake)
    assert not set(before.values()) & set(topic_ids(bronze_lake).values())


def test_a_missing_topic_is_an_error_and_not_an_empty_answer(bronze_lake: Settings) -> None:
    delete_topics(bronze_lake)
    with pytest.raises(TopicMissingError, match=r"bronze\.stock, bronze\.crypto, bronze\.commodity do not exist"):
        watermarks(bronze_lake)
    with pytest.raises(TopicMissingError):
        topic_ids(bronze_lake)


def test_a_broker_that_is_down_is_named_with_what_to_do() -> None:
    (port,) = free_ports(1)
    settings = Settings.model_validate({"kafka": {"port": port}})
    for call in (watermarks, ensure_topics, delete_topics, topic_ids):
        with pytest.raises(BrokerUnavailableError, match=rf"127\.0\.0\.1:{port} does not answer.*financelake up"):
            call(settings)


def test_a_partition_whose_leader_is_silent_is_no_topic_that_begins_again(
    bronze_lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What librdkafka says when brokers are too slow: an answer without an error and without an offset."""

    def silent(_: object, asked: dict[TopicPartition, object], **__: object) -> dict[TopicPartition, Future[Any]]:
        futures: dict[TopicPartition, Future[Any]] = {one: Future() for one in asked}
        for future in futures.values():
            future.set_result(ListOffsetsResultInfo(OFFSET_INVALID, -1, -1))
        return futures

    monkeypatch.setattr(AdminClient, "list_offsets", silent)
    with pytest.raises(BrokerUnavailableError, match="leader of a partition"):
        watermarks(bronze_lake)
    with pytest.raises(BrokerUnavailableError, match="leader of a partition"):
        offsets_at(bronze_lake, "bronze.stock", 0)


def test_no_partition_is_asked_for_offsets_before_it_has_a_leader(
    bronze_lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A leader that becomes known while librdkafka is being asked has ended the process."""
    listed, asked_before = AdminClient.list_topics, AdminClient.list_offsets
    without_leader = ["bronze.stock", "bronze.crypto"]
    asked: list[int] = []

    def electing(self: AdminClient, *arguments: Any, **more: Any) -> Any:
        found = listed(self, *arguments, **more)
        if without_leader:
            for partition in found.topics[without_leader.pop()].partitions.values():
                partition.leader = -1
        return found

    def noted(self: AdminClient, partitions: Any, **more: Any) -> Any:
        asked.append(len(without_leader))
        return asked_before(self, partitions, **more)

    monkeypatch.setattr(AdminClient, "list_topics", electing)
    monkeypatch.setattr(AdminClient, "list_offsets", noted)
    assert len(watermarks(bronze_lake)["bronze.stock"]) == 2
    assert offsets_at(bronze_lake, "bronze.stock", 0) is not None
    assert asked == [0, 0, 0]


def test_a_partition_whose_leader_is_not_ready_is_asked_again(
    bronze_lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a broker said of an epoch of before its restart: a moment later it knows better."""
    asked_before = AdminClient.list_offsets
    refusals = [KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.NOT_LEADER_FOR_PARTITION]

    def refusing(self: AdminClient, asked: dict[TopicPartition, Any], **more: Any) -> dict[TopicPartition, Future[Any]]:
        if not refusals:
            return asked_before(self, asked, **more)
        code = refusals.pop()
        futures: dict[TopicPartition, Future[Any]] = {one: Future() for one in asked}
        for future in futures.values():
            future.set_exception(KafkaException(KafkaError(code)))
        return futures

    monkeypatch.setattr(AdminClient, "list_offsets", refusing)
    assert watermarks(bronze_lake)["bronze.stock"][0] == (0, 0)
    refusals.append(KafkaError.UNKNOWN_LEADER_EPOCH)
    assert offsets_at(bronze_lake, "bronze.stock", 0) == {}
    refusals.append(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(BrokerUnavailableError):
        watermarks(bronze_lake)
    assert not refusals, "what asking again does not mend is told at once"
