"""Lets a sensor's tick wait while nothing that the sensor looks at changes.

A tick costs a quarter of a second of processor time in the daemon and the code location, before the sensor does
anything. A lake that stands still has a tick of each sensor every half a minute, and not every five seconds; and what
arrives during a tick is seen at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

import dagster as dg

from financelake_assets.bronze.feed_choice import loads_history
from financelake_assets.bronze.feed_state import read_state
from financelake_assets.catalogue import TABLES
from financelake_assets.config import Settings, get_settings
from financelake_assets.storage.log_watch import LogWatch
from financelake_assets.streams.progress import PROGRESS

WAIT_SECONDS = 25.0
"""A tick that takes a minute fails."""
_LOOK_SECONDS = 0.5
_ASK_SECONDS = 5.0
"""Between two questions to a server; a look at a table's log is a ``stat``."""


class News:
    """What has changed since the last look: the tables, but for the queries' progress, and how far the feeds are."""

    def __init__(self, settings: Settings) -> None:
        self._watched = settings.store.url is None
        self._logs = [LogWatch(spec, settings) for spec in TABLES if spec is not PROGRESS]
        self._settings = settings
        self._phase: Hashable = None
        self._answer: Hashable = None

    def arrived(self) -> bool:
        """Whether a table or the feed may have changed since the last call; in a store always."""
        if not self._watched:
            return True
        folders = [log.folder for log in self._logs]
        changed = [log.may_have_changed() for log in self._logs]
        # a table that is still missing is no news
        new = any(now and (log.folder or was) for now, log, was in zip(changed, self._logs, folders, strict=True))
        before, self._phase = self._phase, self._of_feed()
        return new or before != self._phase

    def _of_feed(self) -> Hashable:
        state = read_state(self._settings)  # which it writes every second
        return None if state is None else state.phase, loads_history(self._settings)

    def answered(self, answer: Hashable) -> bool:
        """Whether a server's answer differs from the last one."""
        before, self._answer = self._answer, answer
        return before != answer


_NEWS: dict[str, News] = {}
"""By sensor: Dagster makes new resources for every tick."""


class NewsResource(dg.ConfigurableResource[None]):
    """How long a tick waits for news; zero is not at all."""

    wait_seconds: float = 0.0

    def wait(self, sensor: str, calm: Callable[[], bool], ask: Callable[[], Hashable] = lambda: None) -> None:
        """Return when something has changed since this sensor's last tick, or when the time is over.

        Args:
            sensor: its name.
            calm: whether all is as it should be; where it is not, or cannot be told, the tick goes on at once.
            ask: a server's answer that the sensor looks at, such as a topic's offsets.
        """
        news = _NEWS.setdefault(sensor, News(get_settings()))
        until, next_ask = time.monotonic() + self.wait_seconds, 0.0
        while not news.arrived() and (now := time.monotonic()) < until:
            if now >= next_ask:
                next_ask = now + _ASK_SECONDS
                try:
                    if not calm() or news.answered(ask()):
                        return
                except Exception:  # the tick meets the same error, and says it
                    return
            time.sleep(_LOOK_SECONDS)
