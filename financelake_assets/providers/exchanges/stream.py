"""The network's edge of an exchange's WebSocket: connected, watched for silence, and connected again.

Input: an exchange and symbols. Output: what it says, without end. A connection that drops is made anew within two
seconds while the outage is young, then with growing back-off; one that says nothing for half a minute is dead, because
exchanges send a sign of life every second.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import structlog
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from financelake_assets.providers.base import ProviderError
from financelake_assets.providers.courtesy import PassingError
from financelake_assets.providers.exchanges.exchange import Exchange, Heard
from financelake_assets.providers.exchanges.rest import raise_for_status
from financelake_assets.providers.web_socket import Patience, receive

YOUNG = Patience(silence=30.0, look=0.25, first_wait=0.2, longest_wait=1.5)
_YOUNG_FAILURES = 20
_OLD_FIRST_WAIT, _OLD_LONGEST_WAIT = 3.0, 60.0
_REFUSED_WAIT = 300.0
_OPEN_TIMEOUT = 10.0
_MOST_FRAMES = 20_000
_GATHER_SECONDS = 0.01
"""Trades of so many seconds go on together: a chunk of one costs as much time as a chunk of fifty."""

log = structlog.get_logger()


@dataclass
class Connection:
    """How the connection does. ``problem``: why there is none; ``silences``: how often one fell silent."""

    connected: bool = False
    connections: int = 0
    silences: int = 0
    problem: str | None = None
    remedy: str | None = None


class TradeStream:
    """Trades of some symbols. Something comes at least every quarter of a second, so that the reader can stop."""

    def __init__(self, exchange: Exchange, url: str, symbols: Sequence[str], patience: Patience = YOUNG) -> None:
        """Set it up; nothing is sent.

        Args:
            exchange: how it is spoken to.
            url: the server.
            symbols: what to subscribe to.
            patience: how long to wait for what, while an outage is young.
        """
        self.connection = Connection()
        self._exchange, self._url, self._symbols, self._patience = exchange, url, sorted(symbols), patience

    def read(self) -> Iterator[Heard]:
        """Connect, read, and connect again; never ends by itself."""
        failures = 0
        while True:
            try:
                with connect(
                    self._url, open_timeout=_OPEN_TIMEOUT, close_timeout=1, max_queue=_MOST_FRAMES, compression=None
                ) as socket:
                    for frame in self._exchange.subscriptions(self._symbols):
                        socket.send(frame)
                    self._is_connected()
                    for heard in self._listen(socket):
                        failures = 0 if heard.frames else failures
                        yield heard
            except (OSError, WebSocketException) as error:
                failures += 1
                delay = self._lost(error, failures)
                yield from self._pause(delay)

    def _listen(self, socket: ClientConnection) -> Iterator[Heard]:
        """What is heard until the connection is lost (raises), or silent for too long."""
        spoke = time.monotonic()
        while True:
            texts = receive(socket, self._patience.look, _GATHER_SECONDS)
            now = time.monotonic()
            if texts:
                spoke = now
            elif now - spoke > self._patience.silence:
                self.connection.silences += 1
                raise TimeoutError(f"nothing came for {self._patience.silence:.0f} s")
            heard = Heard(frames=len(texts))
            for text in texts:
                self._exchange.hear(text, heard)
            yield heard

    def _is_connected(self) -> None:
        connection = self.connection
        connection.connected, connection.problem, connection.remedy = True, None, None
        connection.connections += 1
        log.info("trades: connected", exchange=self._exchange.name, symbols=len(self._symbols))

    def _lost(self, error: Exception, failures: int) -> float:
        """Note why, and tell after how many seconds to try again."""
        refusal = _refusal(self._exchange.title, error)
        self.connection.connected = False
        self.connection.problem = str(refusal or error) or type(error).__name__
        self.connection.remedy = refusal.remedy if refusal else None
        if isinstance(refusal, PassingError) and refusal.retry_after is not None:
            delay = refusal.retry_after
        elif refusal is not None and not isinstance(refusal, PassingError):
            delay = _REFUSED_WAIT
        else:
            delay = self._back_off(failures)
        log.warning("trades: connection lost", problem=self.connection.problem, again_in=round(delay, 2))
        return delay

    def _back_off(self, failures: int) -> float:
        patience, old = self._patience, failures - _YOUNG_FAILURES
        if old <= 0:
            longest = min(patience.longest_wait, patience.first_wait * 2.0 ** min(failures - 1, 10))
        else:
            longest = min(_OLD_LONGEST_WAIT, _OLD_FIRST_WAIT * 2.0 ** min(old - 1, 10))
        return random.uniform(longest / 2, longest)  # noqa: S311  # jitter, not a secret

    def _pause(self, seconds: float) -> Iterator[Heard]:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            yield Heard()
            time.sleep(min(left, self._patience.look))


def _refusal(title: str, error: Exception) -> ProviderError | None:
    """What an answer to the handshake means that is no connection; ``None`` where there was none."""
    if not isinstance(error, InvalidStatus):
        return None
    response = error.response
    try:
        body = (response.body or b"").decode(errors="replace")
        raise_for_status(title, response.status_code, body, response.headers.get("Retry-After"))
    except ProviderError as refusal:
        return refusal
    return None
