"""Asking the Kafka broker: how a client reaches it, and what its silence or its refusal is called.

Input: settings. Output: answers. Every call makes a client of its own, asks, and gives an answer or raises within
seconds: a broker that is silent is an error, never an empty lake.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata
from tenacity import Retrying, retry_if_exception, retry_if_exception_type, stop_after_delay, wait_fixed

from financelake_assets.bronze.access import client_options
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError

ANSWER_SECONDS = 5.0
"""How long an answer may take."""

_DENIED = (
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
)
_NO_LEADER_YET = (
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
)
_LOGIN_WANTED = (
    " If it takes connections and then ends them, it wants a login: that of a lake on this machine is in the folder "
    "`secrets` of its data folder, for its owner alone; for another broker see FINANCELAKE_KAFKA__SECURITY."
)

T = TypeVar("T")


class BrokerUnavailableError(FinanceLakeError, ConnectionError):
    """The Kafka broker did not answer in time, or its answer was incomplete."""


class AccessDeniedError(BrokerUnavailableError):
    """The broker does not know this lake's user, or does not allow it what was asked for."""


class TopicMissingError(BrokerUnavailableError):
    """The broker answers, but a bronze topic does not exist."""


def client_config(settings: Settings) -> dict[str, Any]:
    """What every Kafka client of a lake shares.

    Raises:
        AccessError: the settings for a secured broker are incomplete.
    """
    return {
        "bootstrap.servers": settings.kafka_bootstrap,
        "client.id": "financelake",
        "broker.address.family": "v4" if "[" not in settings.kafka_bootstrap else "any",
        # a broker that comes back is found at once, not after seconds of back-off
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1000,
        # librdkafka prints each refused connection; the callers say it once, in words
        "log_level": 2,
        **client_options(settings),
    }


def broker_count(settings: Settings) -> int:
    """How many brokers the cluster has now.

    Raises:
        BrokerUnavailableError: none of them answered.
    """
    return len(metadata(admin_client(settings), settings).brokers)


def unavailable(settings: Settings, error: object) -> BrokerUnavailableError:
    """The error that names the broker's address and what to do."""
    if code_of(error) in _DENIED:
        return AccessDeniedError(
            f"the Kafka broker at {settings.kafka_bootstrap} refuses the user {settings.kafka.username}: "
            f"{_words(error)}. Look at FINANCELAKE_KAFKA__USERNAME, FINANCELAKE_KAFKA__PASSWORD and "
            "FINANCELAKE_KAFKA__CA_FILE, and at the user's rights on the broker."
        )
    if code_of(error) == KafkaError.INVALID_REPLICATION_FACTOR:
        return BrokerUnavailableError(f"{_words(error)}: start more brokers, or lower FINANCELAKE_KAFKA__REPLICATION.")
    return BrokerUnavailableError(
        f"the Kafka broker at {settings.kafka_bootstrap} does not answer: {_words(error)}. "
        "Start the lake with `financelake up`, or set FINANCELAKE_KAFKA__BOOTSTRAP to a broker that runs."
        + (_LOGIN_WANTED if code_of(error) == KafkaError._TRANSPORT and settings.kafka.security == "PLAINTEXT" else "")
    )


class Admin(AdminClient):
    """A client that remembers why it was refused: to a request librdkafka then only says that nothing answers."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.refusal: KafkaError | None = None
        super().__init__({**config, "error_cb": self._on_error})  # type: ignore[dict-item]  # the stubs know no callbacks

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in _DENIED:
            self.refusal = error


def admin_client(settings: Settings) -> Admin:
    """A client for the requests of one call."""
    return Admin({**client_config(settings), "socket.timeout.ms": int(ANSWER_SECONDS * 1000)})


def partition_counts(admin: Admin, settings: Settings) -> dict[str, int]:
    """How many partitions each topic on the broker has.

    Raises:
        BrokerUnavailableError: it did not answer, or refused.
    """
    topics = metadata(admin, settings).topics
    return {name: len(topic.partitions) for name, topic in topics.items() if topic.error is None}


def metadata(admin: Admin, settings: Settings) -> ClusterMetadata:
    """What the cluster says of itself, or why it says nothing.

    Raises:
        BrokerUnavailableError: it did not answer, or refused.
    """
    reach(settings)
    asked = Retrying(stop=stop_after_delay(ANSWER_SECONDS), retry=retry_if_exception_type(KafkaException), reraise=True)
    try:
        return asked(_listed, admin, settings)
    except KafkaException as error:
        raise unavailable(settings, error) from error


def _listed(admin: Admin, settings: Settings) -> ClusterMetadata:
    try:
        return admin.list_topics(timeout=1.0)
    except KafkaException:
        admin.poll(0)
        if admin.refusal is not None:
            refused = KafkaException(admin.refusal)
            raise unavailable(settings, refused) from refused
        raise


def reach(settings: Settings) -> None:
    """Fail at once where nothing listens; librdkafka would go on trying until its time is up.

    Raises:
        BrokerUnavailableError: nothing listens.
    """
    failure: OSError | None = None
    for address in settings.kafka_bootstrap.split(","):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()
        except OSError as error:
            failure = error
        else:
            return
    raise unavailable(settings, failure) from failure


def answer(future: Future[T], settings: Settings) -> T:
    """The answer to an admin request.

    Raises:
        BrokerUnavailableError: it did not answer, or refused.
    """
    try:
        return future.result(timeout=ANSWER_SECONDS + 1)
    except KafkaException as error:
        raise unavailable(settings, error) from error
    except TimeoutError as error:
        raise unavailable(settings, f"no answer within {ANSWER_SECONDS:.0f} s") from error


def once_led(ask: Callable[[], T]) -> T:
    """Ask until the partitions have leaders that know it; after a broker's start they do not for a moment.

    Raises:
        BrokerUnavailableError: it did not answer, or its partitions had no leader for seconds.
    """
    return Retrying(
        stop=stop_after_delay(ANSWER_SECONDS),
        wait=wait_fixed(0.1),
        retry=retry_if_exception(_has_no_leader),
        reraise=True,
    )(ask)


def _has_no_leader(error: BaseException) -> bool:
    return isinstance(error, BrokerUnavailableError) and code_of(error.__cause__) in _NO_LEADER_YET


def code_of(error: object) -> int | None:
    """Kafka's code of an error; ``None`` where it is none of Kafka's."""
    return int(error.args[0].code()) if isinstance(error, KafkaException) else None


def _words(error: object) -> str:
    if isinstance(error, KafkaException) and error.args and isinstance(error.args[0], KafkaError):
        return error.args[0].str()
    return str(error)
