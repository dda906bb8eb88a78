"""A load: the rows of one source published in order, each once, whatever is killed in between.

Input: a provider's chunks from the first row that is not on the topics. Output: messages, and records of where the
load stands (``positions.py``). Rows of a symbol follow the symbol's entry in the universe.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from financelake_assets.bronze import positions
from financelake_assets.bronze.broker import BrokerUnavailableError
from financelake_assets.bronze.message import encode, headers
from financelake_assets.bronze.producer import BronzeProducer, Publishing
from financelake_assets.bronze.topics import POSITIONS, topic_ids
from financelake_assets.bronze.universe import Universe
from financelake_assets.config import Settings
from financelake_assets.providers.base import Chunk

RECORD_EVERY_SECONDS = 5.0
"""So often at most a load writes down where it stands."""

log = structlog.get_logger()


class Load(Publishing):
    """Publishes one source."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        provider: str,
        *,
        give_up_seconds: float | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """Find out where the load stands.

        Args:
            settings: the lake; its topics must exist.
            name: tells this load from any other; the same name means the same rows in the same order.
            provider: goes into the messages' headers.
            give_up_seconds: after how long without an acknowledgement a message has failed; ``None`` is never.
            stopping: asked while waiting for the broker; true ends the wait with ``Stopped``.

        Raises:
            BrokerUnavailableError: the broker could not be asked.
        """
        super().__init__(BronzeProducer(settings, give_up_seconds=give_up_seconds, stopping=stopping))
        self.name = name
        self._provider = provider
        self._ids = topic_ids(settings)
        self._universe = Universe(settings, provider)
        self._settings = settings
        found = positions.find(settings, name)
        self._beyond = found.beyond if found else frozenset()
        self._next = found.published if found else 0
        self._recorded, self._recorded_at = self._next, time.monotonic()
        if found is None:
            # without a record nothing is on the topics, so the first must be there before the first message
            self._write_record(positions.ends(settings))
            self._producer.flush()

    @property
    def published(self) -> int:
        """How many rows of the source are on the topics or on their way: where to go on from."""
        return self._next

    def publish(self, chunk: Chunk) -> int:
        """Publish the rows that follow; returns how many were not on the topics before.

        Raises:
            DeliveryError: a message was not acknowledged.
            Stopped: the caller asked to stop.
        """
        self._universe.add(chunk.instruments())
        common = headers(self._provider, self.name)
        send, beyond, row, sent = self._producer.send, self._beyond, self._next, 0
        for topic, key, value in encode(chunk):
            if row not in beyond:
                send(topic, key, value, [*common, ("sequence", b"%d" % row)])
                sent += 1
            row += 1
        self._next = row
        self._producer.poll()
        if time.monotonic() - self._recorded_at > RECORD_EVERY_SECONDS:
            self.record()
        return sent

    def record(self) -> None:
        """Wait for the acknowledgements, then write down where the load stands; raises as ``publish`` does."""
        self._producer.flush()
        # a record speaks for all rows before it; those found beyond it must not fall between it and the topics' ends
        if self._next > max(self._recorded, max(self._beyond, default=-1)):
            try:
                self._write_record(positions.ends(self._settings))
            except BrokerUnavailableError:
                # gone again since the last acknowledgement: the record before this one still holds
                log.warning("a load's position was not recorded", load=self.name, published=self._next)

    def _write_record(self, ends: positions.Ends) -> None:
        # the caller need not wait for it: if this record is lost, the one before it still holds
        self._producer.send(POSITIONS, self.name, positions.encode_record(self._next, ends, self._ids), [])
        self._recorded, self._recorded_at = self._next, time.monotonic()
