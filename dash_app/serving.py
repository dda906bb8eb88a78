"""How the page's application is served: threads of waitress, and turns of the requests that compute.

A page's requests, its waiting pulses, the API's reads and its streams share one pool of threads. All but the first are
bounded, and there are so many threads that the page always has its own.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from dash_app.api.events import MOST_LISTENERS
from dash_app.api.routes import MOST_READS
from dash_app.server import MOST_WAITING

PAGE_THREADS = 8

OPTIONS: dict[str, Any] = {
    "threads": PAGE_THREADS + MOST_WAITING + MOST_READS + MOST_LISTENERS,
    "channel_request_lookahead": 1,  # so that a listener who leaves is noticed before the next write to it
    "ident": "FinanceLake",
}
"""Options for waitress."""

_AT_ONCE = 2
_CALLBACKS = "/_dash-update-component"
_LONGEST_WAIT = 1.0


class Turns:
    """An application whose callbacks take turns, the one that came first at first.

    They compute, and Python computes in one thread at a time: many at once only take the processor from each other, and
    all of them end late. A callback that waits for something else does not hold up the next for longer than a second.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application
        self._lock = threading.Lock()
        self._free = _AT_ONCE
        self._waiting: deque[threading.Event] = deque()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request when it is its turn."""
        if environ["PATH_INFO"] != _CALLBACKS:
            return self._application(environ, start_response)
        mine = self._take()
        try:
            return self._application(environ, start_response)
        finally:
            if mine:
                self._give()

    def _take(self) -> bool:
        """Wait for a turn; false if it took too long."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            turn = threading.Event()
            self._waiting.append(turn)
        if turn.wait(_LONGEST_WAIT):
            return True
        with self._lock:
            if turn.is_set():  # it came at the last moment
                return True
            self._waiting.remove(turn)
            return False

    def _give(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()  # a newcomer cannot take it
            else:
                self._free += 1
