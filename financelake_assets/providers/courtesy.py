"""How to ask somebody else's server: not too often, again after a passing failure, and not at all while it is down.

Enters: a call. Leaves: its answer, or a ``ProviderError`` in bounded time. One ``Courtesy`` is shared by all who ask
the same server in this process, so that its limit holds for all of them together.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from pybreaker import CircuitBreaker, CircuitBreakerError
from pyrate_limiter import Duration, Limiter, Rate
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from financelake_assets.providers.base import ProviderError

T = TypeVar("T")

log = structlog.get_logger()


class PassingError(ProviderError):
    """A failure that may be over when one asks again: too many requests, a time-out, a page instead of data."""


class UnavailableError(ProviderError):
    """The server has failed so often that it is not asked for a while; asking for something else would fail too."""


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
    ) -> None:
        """Set it up.

        Args:
            name: the server, for messages.
            per_minute: requests a minute at most, over all threads.
            attempts: how often one call is tried.
            first_wait: seconds before the second attempt; doubles, with jitter, up to ``longest_wait``.
            longest_wait: see above.
            failures: passing failures in a row after which the server is left alone for ``pause`` seconds.
            pause: see above.
            sleep: waits for so many seconds; it may raise to end the call.
        """
        self._name = name
        self._pause = pause
        self._limiter = Limiter(Rate(per_minute, Duration.MINUTE))
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
            wait=wait_exponential_jitter(multiplier=first_wait, max=longest_wait, jitter=first_wait),
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

    def _once(self, question: Callable[[], T]) -> T:
        self._limiter.try_acquire(self._name)
        return self._breaker.call(question)

    def _tell(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("asked again later", server=self._name, attempt=state.attempt_number, problem=str(error))
