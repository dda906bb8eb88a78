"""How many messages wait on each topic for silver.

Input: what the silver query has committed, from its checkpoint, and what the broker holds. Output: one ``TopicLag`` a
topic. The broker is asked in a thread of its own: one that is away takes seconds to say so, and must not hold up pages.
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
    """One topic: messages that silver has consumed of it, that the broker holds, and that wait.

    The last two are ``None`` where the broker does not answer.
    """

    topic: str
    consumed: int
    held: int | None
    waiting: int | None


def by_topic(consumed: Offsets, marks: Watermarks | None) -> tuple[TopicLag, ...]:
    """The topics by name.

    Args:
        consumed: per topic and partition, the first offset that silver has not committed.
        marks: low and high watermarks; ``None`` where the broker does not answer.
    """
    waiting = {} if marks is None else {topic: sum(parts.values()) for topic, parts in lag(consumed, marks).items()}
    held = {topic: sum(high - low for low, high in parts.values()) for topic, parts in (marks or {}).items()}
    return tuple(
        TopicLag(topic, sum(consumed.get(topic, {}).values()), held.get(topic), waiting.get(topic))
        for topic in sorted({*consumed, *held})
    )


class BrokerWatcher:
    """Keeps the watermarks of the topics up to date; ``marks`` is ``None`` before an answer, and when there is none."""

    def __init__(self, settings: Settings, every_seconds: float = 5.0) -> None:
        self._settings, self._every = settings, every_seconds
        self._stopped = threading.Event()
        self.marks: Watermarks | None = None

    def start(self) -> None:
        """Ask in the background until ``stop``."""
        threading.Thread(target=self._run, name="broker-watcher", daemon=True).start()

    def stop(self) -> None:
        """End after the current question."""
        self._stopped.set()

    def look(self) -> None:
        """Ask once."""
        from financelake_assets.bronze.topics import watermarks  # a page of tables starts without a Kafka client

        try:
            self.marks = watermarks(self._settings)
        except Exception as error:  # away, or without topics yet; the page says that it does not know
            if self.marks is not None:
                _log.warning("the broker does not say what is on the topics: %s", error)
            self.marks = None

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.look()
            self._stopped.wait(self._every)
