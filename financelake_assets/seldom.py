"""A value that takes long to compute and may be a little old: computed again in a small share of the time."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")

_log = logging.getLogger(__name__)

_SHARE_OF_TIME = 0.05


class Seldom(Generic[T]):
    """The newest computed value. Thread-safe: one thread computes, and others wait for it.

    Args:
        beside: nobody waits for a value that is only a little old: a thread computes it again, and all get the old one
            meanwhile.
    """

    def __init__(self, *, beside: bool = False) -> None:
        self._beside = beside
        self._lock = threading.Lock()
        self._value: T | None = None
        self._made_of: tuple[Hashable, Hashable] | None = None
        self._again_at = 0.0

    def of(self, must: Hashable, may: Hashable, make: Callable[[], T]) -> T:
        """The value, computed again where its inputs changed.

        Args:
            must: if it changed, the value is computed at once.
            may: if it changed, the value is computed as soon as this costs no more than a twentieth of the time.
            make: computes it.
        """
        with self._lock:
            now = time.monotonic()
            at_once = self._made_of is None or self._made_of[0] != must
            if at_once or (self._made_of != (must, may) and now >= self._again_at):
                if self._beside and not at_once:
                    self._again_at = math.inf  # one thread is enough
                    threading.Thread(target=self._again, args=(must, may, make), name="seldom", daemon=True).start()
                else:
                    self._keep(make(), (must, may), now)
            return self._value  # type: ignore[return-value]

    def _again(self, must: Hashable, may: Hashable, make: Callable[[], T]) -> None:
        begun = time.monotonic()
        try:
            value = make()
        except Exception:  # whoever asks gets the last value; the next one who asks later tries again
            _log.exception("a value could not be computed again")
            with self._lock:
                self._again_at = _next(begun)
            return
        with self._lock:
            if self._made_of is not None and self._made_of[0] == must:  # else it is older than what there is now
                self._keep(value, (must, may), begun)

    def _keep(self, value: T, made_of: tuple[Hashable, Hashable], begun: float) -> None:
        self._value, self._made_of, self._again_at = value, made_of, _next(begun)


def _next(begun: float) -> float:
    """When to compute again what was begun then and has ended now."""
    ended = time.monotonic()
    return ended + (ended - begun) / _SHARE_OF_TIME
