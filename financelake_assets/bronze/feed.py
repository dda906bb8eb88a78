"""The lake's own feed: a process that loads history, plays the live part, and then stays up.

Input: settings. Output: the replay's rows on bronze, each once, and ``<data_dir>/run/feed.json``, which says how far
it is. Run it with ``python -m financelake_assets.bronze.feed``. It survives the broker's absence by waiting, and its
own death by asking Kafka where it was (``positions.py``). SIGTERM and SIGINT end it when its messages are delivered.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import structlog

from financelake_assets.bronze import feed_choice
from financelake_assets.bronze.broker import BrokerUnavailableError
from financelake_assets.bronze.feed_state import FeedState, Phase, state_file
from financelake_assets.bronze.load import Load
from financelake_assets.bronze.producer import DeliveryError, Stopped
from financelake_assets.bronze.topics import ensure_topics
from financelake_assets.config import Settings
from financelake_assets.own_process import run_alone, say
from financelake_assets.providers.base import Chunk, skip_rows
from financelake_assets.providers.replay import ReplayProvider

_RETRY_SECONDS = 1.0
_HEARTBEAT_SECONDS = 2.0

log = structlog.get_logger()


class Feed:
    """One run of the feed. ``stop`` may be called from a signal handler or another thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._provider = ReplayProvider(settings.feed.live_days, settings.feed.bars_per_second, self._stopping.wait)
        enabled = feed_choice.chosen(settings) == "replay"
        self._total = self._provider.total if enabled else 0
        self._published = 0
        self._load: Load | None = None

    def stop(self) -> None:
        """Ask the feed to end."""
        self._stopping.set()

    def run(self) -> None:
        """Publish until the data ends, then stay until told to stop."""
        finished = self._total == 0
        while not finished and not self._stopping.is_set():
            try:
                finished = self._publish()
            except Stopped:
                break
            except (BrokerUnavailableError, DeliveryError) as error:
                log.warning("the feed waits for the broker", problem=str(error))
                self._say("waiting", str(error))
                self._stopping.wait(_RETRY_SECONDS)
        while not self._stopping.is_set():
            self._say("idle")
            self._stopping.wait(_HEARTBEAT_SECONDS)

    def _publish(self) -> bool:
        """Go on from where Kafka says that the feed was; true at the end of the data."""
        self._say("waiting")
        ensure_topics(self._settings)
        (history,) = self._provider.history()
        past = self._total - self._provider.live_rows
        with Load(self._settings, history.identity, self._provider.name, stopping=self._stopping.is_set) as load:
            self._load = load
            self._published = load.published
            log.info("the feed goes on", load=history.identity, published=load.published)
            if load.published < past:
                self._play("history", load, skip_rows(history.chunks, load.published))
            if not self._stopping.is_set():
                self._play("live", load, self._provider.live(load.published - past))
        return not self._stopping.is_set()

    def _play(self, phase: Phase, load: Load, chunks: Iterator[Chunk]) -> None:
        heartbeat = threading.Thread(target=self._beat, args=(phase, over := threading.Event()), daemon=True)
        heartbeat.start()
        try:
            for chunk in chunks:
                if self._stopping.is_set():
                    break
                load.publish(chunk)
                self._published = load.published
            load.record()
        finally:
            over.set()
            heartbeat.join()

    def _beat(self, phase: Phase, over: threading.Event) -> None:
        """Say how far the feed is while the main thread publishes, or waits for a broker that is gone."""
        while True:
            self._say(phase, self._load.problem if self._load else None)
            if over.wait(min(_HEARTBEAT_SECONDS, 0.5)):
                return

    def _say(self, phase: Phase, problem: str | None = None) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        state = FeedState(
            phase, feed_choice.chosen(self._settings), self._published, self._total, now, os.getpid(), problem
        )
        say(state_file(self._settings), state)


def main() -> int:
    """Run the lake's feed; 3 when it runs already."""
    return run_alone("feed", Feed)


if __name__ == "__main__":
    sys.exit(main())
