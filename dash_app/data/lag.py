"""The lag of silver on each topic.

Input: silver's committed offsets, from its checkpoint, and the broker's watermarks. Output: one ``TopicLag`` for each
topic. A separate thread asks the broker: if the broker is down, a request takes seconds, and pages must not wait.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from financelake_assets.bronze.offsets import Offsets, Watermarks, lag
from financelake_assets.config import Settings

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TopicLag:
    """One topic: how many messages silver has consumed, how many the broker has, and how many wait.

    The last two are ``None`` if the broker does not answer.
    """

    topic: str
    consumed: int
    held: int | None
    waiting: int | None


def by_topic(consumed: Offsets, marks: Watermarks | None) -> tuple[TopicLag, ...]:
    """The topics by name.

    Args:
        consumed: by topic and partition, the first offset that silver has not committed.
        marks: low and high watermarks; ``None`` if the broker does not answer.
    """
    waiting = {} if marks is None else {topic: sum(parts.values()) for topic, parts in lag(consumed, marks).items()}
    held = {topic: sum(high - low for low, high in parts.values()) for topic, parts in (marks or {}).items()}
    return tuple(
        TopicLag(topic, sum(consumed.get(topic, {}).values()), held.get(topic), waiting.get(topic))
        for topic in sorted({*consumed, *held})
    )


class BrokerWatcher:
    """Keeps the topics' watermarks up to date; ``marks`` is ``None`` before the first answer and after a failure."""

    def __init__(self, settings: Settings, every_seconds: float = 5.0) -> None:
        self._settings, self._every = settings, every_seconds
        self._stopped = threading.Event()
        self.marks: Watermarks | None = None

    def start(self) -> None:
        """Ask the broker in the background until ``stop``."""
        threading.Thread(target=self._run, name="broker-watcher", daemon=True).start()

    def stop(self) -> None:
        """End after the current request."""
        self._stopped.set()

    def look(self) -> None:
        """Ask the broker once."""
        from financelake_assets.bronze.topics import watermarks  # a page of tables starts without a Kafka client

        try:
            self.marks = watermarks(self._settings)
        except Exception as error:  # down, or without topics; the page then shows that the lag is unknown
            if self.marks is not None:
                _log.warning("the broker does not give the watermarks of the topics: %s", error)
            self.marks = None

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.look()
            self._stopped.wait(self._every)
