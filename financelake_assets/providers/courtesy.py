"""How to ask somebody else's server: not too often, again after a passing failure, and not at all while it is down.

Input: a call. Output: its answer, or a ``ProviderError`` in bounded time. The limit holds for all of a user's
processes together, because the server sees one address; the circuit breaker is each process's own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import platformdirs
import structlog
from pybreaker import CircuitBreaker, CircuitBreakerError
from pyrate_limiter import Duration, Limiter, limiter_factory
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)
from tenacity.wait import wait_base

from financelake_assets.providers.base import ProviderError

T = TypeVar("T")

log = structlog.get_logger()


_LONGEST_WISH = 300.0


class PassingError(ProviderError):
    """A failure that may be over when one asks again: too many requests, a time-out, a page instead of data."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        """Say what failed, and after how many seconds the server wants to be asked again, where it says so."""
        super().__init__(message)
        self.retry_after = retry_after


class UnavailableError(ProviderError):
    """The server has failed so often that it is not asked for a while; asking for something else would fail too."""


class _Wait(wait_base):
    """As long as the server wishes, within reason; else with back-off."""

    def __init__(self, otherwise: wait_base) -> None:
        self._otherwise = otherwise

    def __call__(self, retry_state: RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        wish = error.retry_after if isinstance(error, PassingError) else None
        usual = self._otherwise(retry_state)
        return usual if wish is None else max(usual, min(wish, _LONGEST_WISH))


class Courtesy:
    """Limiter, back-off with jitter and circuit breaker around one server."""

    def __init__(
        self,
        name: str,
        *,
        per_minute: int = 60,
        attempts: int = 5,
        first_wait: float = 1.0,
        longest_wait: float = 60.0,
        failures: int = 10,
        pause: float = 120.0,
        sleep: Callable[[float], None] = time.sleep,
        folder: Path | None = None,
    ) -> None:
        """Set it up; nothing is written before the first call.

        Args:
            name: the server, for messages.
            per_minute: requests a minute at most, over all threads and processes that share ``folder``.
            attempts: how often one call is tried.
            first_wait: seconds before the second attempt; doubles, with jitter, up to ``longest_wait``.
            longest_wait: see above.
            failures: passing failures in a row after which the server is left alone for ``pause`` seconds.
            pause: see above.
            sleep: waits for so many seconds; it may raise to end the call.
            folder: where the requests of the last minute are noted; default: this user's cache.
        """
        self._name = name
        self._pause = pause
        self._per_minute = per_minute
        self._folder = folder or platformdirs.user_cache_path("financelake") / "courtesy"
        # the limiter's own lock is between processes, not threads
        self._turn = threading.Lock()
        # what is wrong with the question says nothing about the server
        self._breaker = CircuitBreaker(
            fail_max=failures,
            reset_timeout=pause,
            exclude=[lambda error: not isinstance(error, PassingError)],
            throw_new_error_on_trip=False,
        )
        self._retrying = Retrying(
            retry=retry_if_exception_type(PassingError),
            stop=stop_after_attempt(attempts),
            wait=_Wait(wait_exponential_jitter(multiplier=first_wait, max=longest_wait, jitter=first_wait)),
            before_sleep=self._tell,
            sleep=sleep,
            reraise=True,
        )

    def call(self, question: Callable[[], T]) -> T:
        """Ask, as often as it takes and courtesy allows.

        Raises:
            UnavailableError: it failed too often of late.
            ProviderError: what the last attempt raised.
        """
        try:
            return self._retrying(lambda: self._once(question))
        except CircuitBreakerError as error:
            raise UnavailableError(
                f"{self._name} has failed {self._breaker.fail_max} times in a row and is left alone for "
                f"{self._pause:.0f} s. Ask again later; what was published is kept."
            ) from error

    @cached_property
    def _limiter(self) -> Limiter:
        self._folder.mkdir(parents=True, exist_ok=True)
        return limiter_factory.create_sqlite_limiter(
            self._per_minute, Duration.MINUTE, str(self._folder / f"{self._name}.sqlite"), use_file_lock=True
        )

    def _once(self, question: Callable[[], T]) -> T:
        with self._turn:
            self._limiter.try_acquire(self._name)
        return self._breaker.call(question)

    def _tell(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("asked again later", server=self._name, attempt=state.attempt_number, problem=str(error))
