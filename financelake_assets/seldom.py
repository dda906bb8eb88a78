"""A value that takes long to compute and may be a little old: computed again in a small share of the time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")

_SHARE_OF_TIME = 0.05


class Seldom(Generic[T]):
    """The newest computed value. Thread-safe: one thread computes, and others wait for it."""

    def __init__(self) -> None:
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
                self._value = make()
                self._made_of = (must, may)
                ended = time.monotonic()
                self._again_at = ended + (ended - now) / _SHARE_OF_TIME
            return self._value  # type: ignore[return-value]
