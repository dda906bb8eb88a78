"""The producer: bounded and idempotent; it knows for each message whether it was acknowledged.

Input: messages. Output: each of them on its topic once and in order, or an error that says so. The queue is bounded:
a caller that is faster than the broker waits. What is too large for a topic goes to the dead letters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from financelake_assets.bronze.broker import client_config
from financelake_assets.bronze.topics import COMPRESSION, DEAD_LETTERS
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError

Headers = list[tuple[str, str | bytes | None]]

_MOST_BYTES = 1_000_000
_QUEUE_MESSAGES = 100_000
_QUEUE_KILOBYTES = 65_536
_POLL_EVERY = 1_000
_POLL_SECONDS = 0.1
_CUT_BYTES = 64 * 1024


class DeliveryError(FinanceLakeError, RuntimeError):
    """A message was not acknowledged and will not be by this producer."""


class Stopped(Exception):  # noqa: N818  # a request, not a failure
    """The caller asked to stop while the producer was waiting for the broker."""


@dataclass(frozen=True, slots=True)
class Deliveries:
    """What became of the messages so far; the rest of them is on its way."""

    acknowledged: int = 0
    failed: int = 0
    dead: int = 0


class BronzeProducer:
    """A producer of one lake. Close it, or use it in a ``with``: closing waits for what is on its way."""

    def __init__(
        self,
        settings: Settings,
        *,
        give_up_seconds: float | None = None,
        linger_ms: float = 5.0,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """Connect lazily; nothing fails here when the broker is down.

        Args:
            settings: the lake.
            give_up_seconds: after how long without an acknowledgement a message has failed; ``None`` is never.
            linger_ms: how long a message may wait for others to share its batch.
            stopping: asked while waiting for the broker; true ends the wait with ``Stopped``.
        """
        self.problem: str | None = None
        self._queued = self._failed = self._dead = self._acknowledged = 0
        self._stopping = stopping
        self._failure: KafkaError | None = None
        self._producer = Producer(
            {
                **client_config(settings),
                "enable.idempotence": True,
                "enable.gapless.guarantee": True,
                "acks": "all",
                "compression.type": COMPRESSION,
                "partitioner": "murmur2_random",  # as Java clients: a symbol's partition depends on nobody's client
                "linger.ms": linger_ms,
                "batch.size": _MOST_BYTES,
                "message.max.bytes": _MOST_BYTES,
                "queue.buffering.max.messages": _QUEUE_MESSAGES,
                "queue.buffering.max.kbytes": _QUEUE_KILOBYTES,
                "message.timeout.ms": 0 if give_up_seconds is None else int(give_up_seconds * 1000),
                # what is no longer on its way has arrived or failed; a report of each message costs as much as its JSON
                "delivery.report.only.error": True,
                # a topic that is gone is an error after this, and the load makes it again
                "topic.metadata.propagation.max.ms": 10_000,
                "error_cb": self._on_error,
            }
        )

    @property
    def deliveries(self) -> Deliveries:
        """What became of the messages so far."""
        return Deliveries(self._queued - self._failed - len(self._producer), self._failed, self._dead)

    def send(self, topic: str, key: str | bytes, value: str | bytes, headers: Headers) -> None:
        """Queue a message; waits while the queue is full.

        Raises:
            DeliveryError: an earlier message has failed.
            Stopped: the caller asked to stop during the wait.
        """
        while True:
            try:
                self._producer.produce(topic, value, key, headers=headers, on_delivery=self._on_delivery)
            except BufferError:
                self._wait()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
                    raise DeliveryError(error.args[0].str()) from error
                self._bury(topic, key, value, headers)
                return
            else:
                break
        self._queued += 1
        if self._queued % _POLL_EVERY == 0:
            self.poll()

    def poll(self) -> None:
        """Take the delivery reports that are there; raises as ``send`` does."""
        self._producer.poll(0)
        self._notice()

    def flush(self) -> None:
        """Wait until every message is acknowledged; raises as ``send`` does."""
        while self._producer.flush(_POLL_SECONDS):
            self._check()
        self._notice()

    def close(self, seconds: float = 10.0) -> int:
        """Wait a bounded time for what is on its way, then let go; returns how many messages were given up."""
        left = int(self._producer.flush(seconds))
        if left:
            self._producer.purge()
            self._producer.flush(1.0)
        return left

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _bury(self, topic: str, key: str | bytes, value: str | bytes, headers: Headers) -> None:
        """Keep the beginning of a message that no topic takes, with where it should have gone."""
        plain = value.encode() if isinstance(value, str) else value
        why = [("dead_reason", b"too_large"), ("dead_topic", topic.encode()), ("dead_bytes", str(len(plain)).encode())]
        self.send(DEAD_LETTERS, key, plain[:_CUT_BYTES], [*headers, *why])
        self._dead += 1

    def _wait(self) -> None:
        self._producer.poll(_POLL_SECONDS)
        self._check()

    def _check(self) -> None:
        self._notice()
        if self._stopping():
            raise Stopped

    def _notice(self) -> None:
        """Take note of failures, which are raised, and of a broker that takes messages again."""
        if self._failure is not None:
            raise DeliveryError(f"{self._failed} messages were not delivered: {self._failure.str()}")
        acknowledged = self.deliveries.acknowledged
        if acknowledged > self._acknowledged:
            self._acknowledged, self.problem = acknowledged, None

    def _on_delivery(self, error: KafkaError | None, _: Message) -> None:
        """Of messages that failed only."""
        self._failed += 1
        self._failure = self._failure or error

    def _on_error(self, error: Any) -> None:
        """What librdkafka says of its connections; it goes on by itself unless the error is fatal."""
        self.problem = error.str()
        if error.fatal():
            self._failure = self._failure or error


class Publishing:
    """What publishes by its own producer. Use it in a ``with``; what is on its way when it closes is waited for."""

    def __init__(self, producer: BronzeProducer) -> None:
        self._producer = producer

    @property
    def deliveries(self) -> Deliveries:
        """What became of the messages of this run."""
        return self._producer.deliveries

    @property
    def problem(self) -> str | None:
        """What keeps the producer from its broker at the moment, if anything."""
        return self._producer.problem

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._producer.close()
