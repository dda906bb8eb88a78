"""Runs the clients' queries: so many at a time, within the lake's limits of time and memory, and none for nobody.

Input: a query and its values. Output: its batches, one by one as the client takes them. A query has a thread of its
own, so that the thread of the call can see whether the client is still there. It ends when it is read, when its time is
over, and when the client has gone.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import pyarrow as pa

from financelake_assets.config import Settings
from financelake_assets.query.engine import Described, answered, described, too_long
from financelake_assets.query.errors import QueryError

_LOOK_SECONDS = 0.2
"""How often a call that waits looks whether its client is still there."""
_AHEAD = 2
"""Batches that wait for the client; the engine makes no more meanwhile."""
_LEAST_MEMORY_MB = 64

Left = Callable[[], bool]
"""Whether a client has gone."""


class BusyError(QueryError):
    """As many queries run as may run."""


class GoneError(QueryError):
    """The client has gone, or the server ends."""


class Queries:
    """The queries of one server.

    Args:
        settings: the lake. Memory and disk are shared out among the queries that may run at a time.
    """

    def __init__(self, settings: Settings) -> None:
        most, limits = settings.sql_server.queries, settings.query
        memory = max(_LEAST_MEMORY_MB, limits.memory_mb // most)
        share = limits.model_copy(update={"memory_mb": memory, "spill_mb": limits.spill_mb // most})
        self._settings = settings.model_copy(update={"query": share})
        self._most, self._wait_seconds = most, settings.sql_server.wait_seconds
        self._places = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._runs: set[_Run] = set()
        self._ended = False

    @property
    def running(self) -> int:
        """How many queries run now."""
        with self._lock:
            return len(self._runs)

    def stop(self) -> None:
        """End all queries, and start no more."""
        with self._lock:
            self._ended = True
            for run in self._runs:
                run.leave()

    def describe(self, query: str, left: Left, parameters: Sequence[object] | None = None) -> Described:
        """What a query would answer, without running it; raises as ``read``."""
        self._take_place(left)
        try:
            return described(self._settings, query, parameters)
        finally:
            self._places.release()

    def read(self, query: str, parameters: Sequence[object], left: Left) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """Run a query: its columns, and its batches, which must be read or closed.

        Raises:
            BusyError: as many queries run as may run, and none has ended for a while.
            GoneError: the client has gone.
            QueryError: as ``answered``; the batches raise it too.
        """
        self._take_place(left)
        run = _Run(self._settings, query, parameters, self._end)
        with self._lock:
            self._runs.add(run)
        run.start()
        try:
            schema = run.next(left)
        except BaseException:
            run.leave()
            raise
        return schema, _batches(run, left)

    def _take_place(self, left: Left) -> None:
        until = time.monotonic() + self._wait_seconds
        while not self._places.acquire(timeout=_LOOK_SECONDS):
            if left() or self._ended:
                raise GoneError("The client has gone.")
            if time.monotonic() >= until:
                raise BusyError(
                    f"{self._most} queries run already, and none has ended for {self._wait_seconds:g} s.",
                    remedy="Try again later, or raise FINANCELAKE_SQL_SERVER__QUERIES.",
                )

    def _end(self, run: _Run) -> None:
        with self._lock:
            self._runs.discard(run)
        self._places.release()


class _Run(threading.Thread):
    """One query. ``next`` gives its columns first, then its batches, then ``None``."""

    def __init__(
        self, settings: Settings, query: str, parameters: Sequence[object], ended: Callable[[_Run], None]
    ) -> None:
        super().__init__(name="a query", daemon=True)
        self._settings, self._query, self._parameters, self._ended = settings, query, parameters, ended
        self._items: queue.Queue[object] = queue.Queue(_AHEAD)
        self._stop, self._left = threading.Event(), threading.Event()

    def leave(self) -> None:
        """End the query; nobody reads it any more."""
        self._left.set()
        self._stop.set()

    def next(self, left: Left) -> Any:
        """The next item, when it is there."""
        while not self._left.is_set():
            try:
                item = self._items.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                if left():
                    self.leave()
                continue
            if isinstance(item, Exception):
                raise item
            return item
        raise GoneError("The client has gone, or the server ends.")

    def run(self) -> None:
        """Run the query, and hand its rows over."""
        last: object = None
        try:
            self._answer()
        except Exception as error:  # the thread of the call raises it
            last = error
        self._ended(self)  # before the last item: a client that reads slowly holds no place
        self._hand_over(last, math.inf)

    def _answer(self) -> None:
        seconds = self._settings.query.timeout_seconds
        until = time.monotonic() + seconds
        with answered(self._settings, self._query, parameters=self._parameters, stop=self._stop) as answer:
            for item in chain([answer.schema], answer.batches):
                if not self._hand_over(item, until):
                    raise too_long(seconds)

    def _hand_over(self, item: object, until: float) -> bool:
        """Wait until the client takes an item; false where it has gone, or the time is over before."""
        while time.monotonic() < until and not self._left.is_set():
            try:
                self._items.put(item, timeout=_LOOK_SECONDS)
            except queue.Full:
                continue
            return True
        return False


def _batches(run: _Run, left: Left) -> Iterator[pa.RecordBatch]:
    try:
        while (batch := run.next(left)) is not None:
            yield batch
    finally:
        run.leave()
