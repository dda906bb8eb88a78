"""The lake's topics: their names, their declared settings, and what the broker says of them.

Input: settings. Output: topics as declared, and watermarks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ListOffsetsResultInfo,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)
from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_delay,
    wait_fixed,
)

from financelake_assets.bronze.broker import (
    ANSWER_SECONDS,
    Admin,
    BrokerUnavailableError,
    TopicMissingError,
    admin_client,
    answer,
    code_of,
    metadata,
    once_led,
    partition_counts,
    reach,
    unavailable,
)
from financelake_assets.config import ASSET_CLASSES, Settings

DEAD_LETTERS = "bronze.dead_letter"
POSITIONS = "bronze.positions"
"""Where each history load stands; compacted, so it outlives what retention removes from the bronze topics."""
GOLD = ("gold.signals", "gold.predictions")
"""What leaves the lake: each row of the tables of these names, once."""
PUBLISHED = "gold.positions"
"""How far each of them is published; compacted."""
COMPRESSION = "snappy"
"""Of a batch in the log. Its readers hold it whole, and snappy's format makes none more than 22 times smaller; zstd may
make one ten thousand times smaller. The broker packs other codecs anew, and refuses what is then too large."""
MAX_MESSAGE_BYTES = 1 << 20

_GONE_SECONDS = 30.0


@dataclass(frozen=True)
class Topic:
    """A topic as this lake declares it."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]


@dataclass(frozen=True)
class Reconciliation:
    """What ``ensure_topics`` found on one topic.

    ``changed`` maps a setting to what it was and is now; ``drift`` says what differs and cannot be changed in place.
    """

    topic: str
    created: bool = False
    changed: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    drift: tuple[str, ...] = ()


def topic_of(asset_class: str) -> str:
    """Name of the bronze topic of an asset class."""
    return f"bronze.{asset_class}"


BRONZE = tuple(topic_of(asset_class) for asset_class in ASSET_CLASSES)


def declared(settings: Settings) -> tuple[Topic, ...]:
    """Every topic of a lake: one an asset class, dead letters, what leaves it, and positions in both."""
    kafka = settings.kafka
    common = {
        # our producer's codec too, so the broker stores its batches as they come
        "compression.type": COMPRESSION,
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
        "min.insync.replicas": str(max(1, kafka.replication - 1)),
    }
    bounded = {
        **common,
        "cleanup.policy": "delete",
        # the broker's time: a sender's could be any, and retention and judgement go by it
        "message.timestamp.type": "LogAppendTime",
        "retention.ms": str(kafka.retention_ms),
        "retention.bytes": str(kafka.retention_bytes),
    }
    out = {
        **bounded,
        "retention.ms": str(kafka.gold_retention_ms),
        "retention.bytes": str(kafka.gold_retention_bytes),
    }
    compacted = {**common, "cleanup.policy": "compact", "segment.ms": "3600000"}
    return (
        *(Topic(name, kafka.partitions, kafka.replication, bounded) for name in BRONZE),
        Topic(DEAD_LETTERS, 1, kafka.replication, bounded),
        Topic(POSITIONS, 1, kafka.replication, compacted),
        *(Topic(name, kafka.partitions, kafka.replication, out) for name in GOLD),
        Topic(PUBLISHED, 1, kafka.replication, compacted),
    )


def ensure_topics(settings: Settings) -> list[Reconciliation]:
    """Create the topics that are missing and bring the others to the declared settings. Doing it again changes nothing.

    Raises:
        BrokerUnavailableError: the broker did not answer, or refused.
    """
    admin = admin_client(settings)
    existing = partition_counts(admin, settings)
    wanted = declared(settings)
    missing = [topic for topic in wanted if topic.name not in existing]
    _create(admin, settings, missing)
    kept = [topic for topic in wanted if topic.name in existing]
    created = [Reconciliation(topic.name, created=True) for topic in missing]
    return created + _reconcile(admin, settings, kept, existing)


def delete_topics(settings: Settings) -> None:
    """Delete the lake's topics with all that is in them, and wait until they are gone.

    Raises:
        BrokerUnavailableError: the broker did not answer, or the topics are still there after a while.
    """
    admin = admin_client(settings)

    def delete() -> list[str]:
        left = sorted({topic.name for topic in declared(settings)} & partition_counts(admin, settings).keys())
        for future in admin.delete_topics(left, operation_timeout=ANSWER_SECONDS).values() if left else ():
            _settle(future, settings, KafkaError.UNKNOWN_TOPIC_OR_PART)
        return left

    try:
        Retrying(stop=stop_after_delay(_GONE_SECONDS), wait=wait_fixed(0.05), retry=retry_if_result(bool))(delete)
    except RetryError as error:
        left = ", ".join(error.last_attempt.result())
        raise BrokerUnavailableError(f"{left} still exist {_GONE_SECONDS:.0f} s after their deletion") from error


def watermarks(settings: Settings, topics: Sequence[str] = BRONZE) -> dict[str, dict[int, tuple[int, int]]]:
    """First and next offset of each partition of some topics; without names, of each asset class's.

    Raises:
        BrokerUnavailableError: the broker did not answer.
        TopicMissingError: a topic does not exist.
    """
    admin = admin_client(settings)

    def ask() -> dict[str, dict[int, tuple[int, int]]]:
        asked = _led(admin, settings, topics)
        low = admin.list_offsets({one: OffsetSpec.earliest() for one in asked}, request_timeout=ANSWER_SECONDS)
        high = admin.list_offsets({one: OffsetSpec.latest() for one in asked}, request_timeout=ANSWER_SECONDS)
        marks: dict[str, dict[int, tuple[int, int]]] = {topic: {} for topic in topics}
        for one in asked:
            marks[one.topic][one.partition] = (_offset(low[one], settings), _offset(high[one], settings))
        return marks

    return once_led(ask)


def _led(admin: Admin, settings: Settings, topics: Sequence[str]) -> list[TopicPartition]:
    """The partitions of some topics, when each has a leader.

    Only then may ``list_offsets`` be called. Where librdkafka (2.15) does not know a leader, the calling thread and its
    own thread work on one request, and a leader that becomes known at that moment can end the process.

    Raises:
        BrokerUnavailableError: the broker did not answer, or a partition has no leader yet.
        TopicMissingError: a topic does not exist.
    """
    found = {name: topic for name, topic in metadata(admin, settings).topics.items() if topic.error is None}
    absent = [topic for topic in topics if topic not in found]
    if absent:
        raise _missing(absent, settings)
    if any(part.leader < 0 for topic in topics for part in found[topic].partitions.values()):
        failure = KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
        raise unavailable(settings, failure) from failure
    return [TopicPartition(topic, part) for topic in topics for part in sorted(found[topic].partitions)]


def offsets_at(settings: Settings, topic: str, milliseconds: int) -> dict[int, int]:
    """Per partition, the first offset of that time or later; partitions without one are left out.

    Raises:
        BrokerUnavailableError: the broker did not answer.
    """
    admin = admin_client(settings)

    def ask() -> dict[int, int]:
        asked = {one: OffsetSpec.for_timestamp(milliseconds) for one in _led(admin, settings, [topic])}
        answers = admin.list_offsets(asked, request_timeout=ANSWER_SECONDS)
        return {one.partition: _offset(future, settings) for one, future in answers.items()}

    try:
        found = once_led(ask)
    except TopicMissingError:
        return {}
    return {partition: offset for partition, offset in found.items() if offset >= 0}


def topic_ids(settings: Settings, admin: AdminClient | None = None, topics: Sequence[str] = BRONZE) -> dict[str, str]:
    """The broker's id of each topic; a topic that was deleted and made again has another.

    Args:
        settings: the lake.
        admin: an open client of its broker; without one, a new one is asked.
        topics: their names; without names, each asset class's.

    Raises:
        BrokerUnavailableError: the broker did not answer.
        TopicMissingError: a topic does not exist.
    """
    if admin is None:
        reach(settings)
        admin = admin_client(settings)
    described = admin.describe_topics(TopicCollection(list(topics)), request_timeout=ANSWER_SECONDS)
    ids = {}
    for topic, future in described.items():
        try:
            ids[topic] = str(answer(future, settings).topic_id)
        except BrokerUnavailableError as error:
            if code_of(error.__cause__) == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise _missing([topic], settings) from error
            raise
    return ids


def _offset(future: Future[ListOffsetsResultInfo], settings: Settings) -> int:
    """The offset that was asked for; librdkafka answers with one that is none where a partition's leader is silent."""
    offset = answer(future, settings).offset
    if offset == OFFSET_INVALID:
        raise unavailable(settings, "the leader of a partition did not say its offsets")
    return offset


def _settle(future: Future[None], settings: Settings, fine: int) -> None:
    """Wait for an admin request that may fail with one code, because what it asks for is already so."""
    try:
        answer(future, settings)
    except BrokerUnavailableError as error:
        if code_of(error.__cause__) != fine:
            raise


def _create(admin: AdminClient, settings: Settings, topics: list[Topic]) -> None:
    if not topics:
        return
    new = [NewTopic(topic.name, topic.partitions, topic.replication, config=dict(topic.config)) for topic in topics]
    for future in admin.create_topics(new, operation_timeout=ANSWER_SECONDS).values():
        # another process of the lake may have created it in between
        _settle(future, settings, KafkaError.TOPIC_ALREADY_EXISTS)
    _await_leaders(settings, [topic.name for topic in topics])


def _await_leaders(settings: Settings, topics: Sequence[str]) -> None:
    """Wait until new topics can be read and written; their creation is answered before their leaders know of it."""
    Retrying(
        stop=stop_after_delay(ANSWER_SECONDS),
        wait=wait_fixed(0.05),
        retry=retry_if_exception_type(BrokerUnavailableError),
        reraise=True,
    )(watermarks, settings, topics)


def _reconcile(
    admin: AdminClient, settings: Settings, topics: list[Topic], existing: Mapping[str, int]
) -> list[Reconciliation]:
    if not topics:
        return []
    resources = {topic.name: ConfigResource(ResourceType.TOPIC, topic.name) for topic in topics}
    described = admin.describe_configs(list(resources.values()), request_timeout=ANSWER_SECONDS)
    found = []
    for topic in topics:
        entries = answer(described[resources[topic.name]], settings)
        actual = {name: str(entries[name].value) for name in topic.config if name in entries}
        changed = {
            name: (actual.get(name, ""), value) for name, value in topic.config.items() if actual.get(name) != value
        }
        if changed:
            _alter(admin, settings, topic.name, {name: new for name, (_, new) in changed.items()})
        count, drift = existing[topic.name], tuple[str, ...]()
        if count < topic.partitions:
            grown = admin.create_partitions([NewPartitions(topic.name, topic.partitions)])
            answer(grown[topic.name], settings)
            changed["partitions"] = (str(count), str(topic.partitions))
        elif count > topic.partitions:
            drift = (f"{count} partitions where {topic.partitions} are declared; Kafka cannot take partitions away",)
        found.append(Reconciliation(topic.name, changed=changed, drift=drift))
    return found


def _alter(admin: AdminClient, settings: Settings, topic: str, values: Mapping[str, str]) -> None:
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in values.items()]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    for future in admin.incremental_alter_configs([resource]).values():
        answer(future, settings)


def _missing(topics: Sequence[str], settings: Settings) -> TopicMissingError:
    return TopicMissingError(
        f"{', '.join(topics)} do not exist on the broker at {settings.kafka_bootstrap}. "
        "`financelake up` creates them, as does materialising the bronze assets."
    )
