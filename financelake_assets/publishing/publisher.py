"""The publisher: a process that brings each new row of gold.signals and gold.predictions to Kafka, once.

Input: Delta's commits. Output: the topics ``gold.signals`` and ``gold.predictions``, and ``run/publisher.json`` in the
data folder, which says how far it is. Run it with ``python -m financelake_assets.publishing.publisher``. It sleeps
until a table's log has a new file. It survives the broker's absence by waiting, and its own death by asking Kafka where
it was (``sender.py``). SIGTERM and SIGINT end it after the current transaction.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime

import structlog
from deltalake.exceptions import DeltaError

from financelake_assets.bronze.broker import BrokerUnavailableError
from financelake_assets.bronze.topics import GOLD, ensure_topics, topic_ids
from financelake_assets.config import Settings
from financelake_assets.gold.publisher_state import PublisherState, state_file
from financelake_assets.gold.schema import PREDICTIONS, SIGNALS
from financelake_assets.own_process import run_alone, say
from financelake_assets.publishing.pieces import PublishingGapError, pieces
from financelake_assets.publishing.sender import Sender
from financelake_assets.query.names import dotted
from financelake_assets.storage.delta import TableSpec
from financelake_assets.storage.log_events import LogFollower
from financelake_assets.storage.store import StoreError

TABLES = (SIGNALS, PREDICTIONS)
"""What is published, each on the topic of its name."""

log = structlog.get_logger()


class Publisher(LogFollower):
    """One run of the publisher."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(TABLES, settings)
        self._sender: Sender | None = None
        self._topic_ids: dict[str, str] = {}
        self._problems: dict[str, str] = {}

    def round(self) -> bool:
        """Publish everything that is committed now; false if it has to be tried again soon."""
        try:
            sender = self._opened()
            done = [self._publish(spec, sender) for spec in TABLES]
        except BrokerUnavailableError as error:
            self.close()
            for topic in GOLD:
                self._note(topic, str(error))
            return False
        return all(done)

    def _publish(self, spec: TableSpec, sender: Sender) -> bool:
        topic = dotted(spec)
        try:
            table = self._tables[spec.full_name].newest()
            if table is not None:
                known = sender.places.get(topic)
                for piece in pieces(spec, self._settings, table, self._topic_ids[topic], known):
                    sender.send(topic, piece)
                    if self._stopping.is_set():
                        break
        except PublishingGapError as error:  # the other table goes on
            self._note(topic, f"{error} {error.remedy}")
            return True
        except (DeltaError, OSError, StoreError) as error:
            if isinstance(error, BrokerUnavailableError):
                raise
            self._note(topic, f"{topic} cannot be read: {error}")
            return False
        self._problems.pop(topic, None)
        return True

    def _opened(self) -> Sender:
        if self._sender is None:
            ensure_topics(self._settings)
            self._topic_ids = topic_ids(self._settings, topics=GOLD)
            self._sender = Sender(self._settings)
            log.info("the publisher goes on", places={name: one.version for name, one in self._sender.places.items()})
        return self._sender

    def close(self) -> None:
        """Close the producer."""
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    def _note(self, topic: str, problem: str) -> None:
        if self._problems.get(topic) != problem:
            log.warning("the publisher waits", topic=topic, problem=problem)
        self._problems[topic] = problem

    def say(self) -> None:
        """Write how far it is."""
        places = {} if self._sender is None else self._sender.places
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        versions = {topic: place.version - 1 for topic, place in places.items()}
        say(state_file(self._settings), PublisherState(now, os.getpid(), versions, dict(self._problems)))


def main() -> int:
    """Run the lake's publisher; 3 when it runs already."""
    return run_alone("publisher", Publisher)


if __name__ == "__main__":
    sys.exit(main())
