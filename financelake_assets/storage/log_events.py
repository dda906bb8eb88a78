"""Tells of new commits: sleeps until the system says that a table's log has a new file.

Input: tables. Output: a wait that ends at a commit, or after a while, in case the system says nothing (a network's file
system). In an object store nobody tells; there each look is a request, once a second. ``LogFollower`` is a process that
works so: in rounds, one after each commit.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self

from watchdog.events import FileCreatedEvent, FileMovedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from financelake_assets.config import Settings
from financelake_assets.storage.delta import TableSpec
from financelake_assets.storage.followed import FollowedTable

_log = logging.getLogger(__name__)

_LOOK_SECONDS, _LOOK_STORE_SECONDS = 10.0, 1.0
_RETRY_SECONDS = 1.0
_AGAIN_SECONDS = 60.0
_EVENTS: list[type[FileSystemEvent]] = [FileCreatedEvent, FileMovedEvent]  # each read of a file is an event too


class LogEvents(FileSystemEventHandler):
    """Watches the logs of some tables. Use it in a ``with``."""

    def __init__(self, specs: Collection[TableSpec], settings: Settings) -> None:
        self._folders = {Path(spec.path(settings), "_delta_log") for spec in specs}
        self._changed = threading.Event()
        self._observer: BaseObserver | None = None
        self._again_at = math.inf if settings.store.url is not None else 0.0

    def __enter__(self) -> Self:
        self._begin()
        return self

    def _begin(self) -> None:
        """Ask the system to tell; where it cannot, ask again later, because a table may not exist yet."""
        now = time.monotonic()
        if self._observer is not None or now < self._again_at:
            return
        observer = Observer()
        try:
            for folder in {log.parent.parent for log in self._folders}:
                folder.mkdir(parents=True, exist_ok=True)
                observer.schedule(self, str(folder), recursive=True, event_filter=_EVENTS)
            observer.start()
        except OSError as error:  # a file system that this process cannot write, or no more watches for this user
            if not self._again_at:
                _log.warning("the system does not tell of commits, so the tables are looked at: %s", error)
            self._again_at = now + _AGAIN_SECONDS
        else:
            self._observer = observer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()

    def wait(self, seconds: float | None = None) -> None:
        """Sleep until there may be a new commit, or ``wake`` was called."""
        self._begin()
        usual = _LOOK_STORE_SECONDS if self._observer is None else _LOOK_SECONDS
        self._changed.wait(usual if seconds is None else seconds)
        self._changed.clear()

    def wake(self) -> None:
        """End the wait."""
        self._changed.set()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """The system saw something in the folders."""
        for path in (event.src_path, event.dest_path):
            name = Path(str(path))
            if name.suffix == ".json" and name.parent in self._folders:
                self._changed.set()


class LogFollower(ABC):
    """Works in rounds, one after each commit of some tables. ``stop`` may be called from a signal handler or a thread.

    Args:
        specs: of the tables.
        settings: the lake.
    """

    def __init__(self, specs: Collection[TableSpec], settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._watch = LogEvents(specs, settings)
        self._tables = {spec.full_name: FollowedTable(spec, settings) for spec in specs}

    def stop(self) -> None:
        """Ask it to end."""
        self._stopping.set()
        self._watch.wake()

    def run(self) -> None:
        """Follow the tables until told to stop."""
        with self._watch:
            while not self._stopping.is_set():
                done = self.round()
                self.say()
                self._watch.wait(None if done else _RETRY_SECONDS)
        self.close()

    @abstractmethod
    def round(self) -> bool:
        """Do everything that is committed now; false if it has to be tried again soon."""

    @abstractmethod
    def say(self) -> None:
        """Write how far it is."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything, after the last round."""
