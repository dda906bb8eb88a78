"""Slows down who guesses a login.

Input: wrong logins by address. Output: how long an address must wait.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from threading import Lock

_MOST_FAILURES = 10
_PAUSE_SECONDS = 60.0
_MOST_ADDRESSES = 10_000


class Attempts:
    """Wrong logins by address: after ten within a minute an address waits until the first of them is a minute old.

    Behind a proxy all clients share the proxy's address and wait together; this still slows down an attacker.

    Args:
        clock: seconds that never decrease.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = Lock()

    def note_failure(self, address: str | None) -> None:
        """Record a wrong login."""
        with self._lock:
            times = self._failures.setdefault(address or "", deque(maxlen=_MOST_FAILURES))
            times.append(self._clock())
            self._failures.move_to_end(address or "")
            if len(self._failures) > _MOST_ADDRESSES:
                self._failures.popitem(last=False)

    def wait_seconds(self, address: str | None) -> float:
        """How many seconds an address must wait; 0 if it may try."""
        with self._lock:
            times = self._failures.get(address or "")
            if times is None or len(times) < _MOST_FAILURES:
                return 0.0
            return max(0.0, times[0] + _PAUSE_SECONDS - self._clock())
