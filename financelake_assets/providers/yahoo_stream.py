"""Yahoo's live quotes: its WebSocket, watched by a supervisor of our own.

Input: symbols. Output: ticks as they come, and times from which something may be missing. yfinance's own client keeps
the dead connection after a drop and "reconnects" to it, its listener ends without a word, and it waits for ever for a
server that has gone silent. So the connection is ours, and only yfinance's definition of the messages is used.
"""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import structlog
from google.protobuf.message import DecodeError
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect
from yfinance.pricing_pb2 import PricingData

from financelake_assets.config import AssetClass
from financelake_assets.intervals import TICK
from financelake_assets.providers.base import COLUMNS, Chunk, OddRow
from financelake_assets.providers.formats.symbols import guess_class
from financelake_assets.providers.web_socket import Patience, receive

URL = "wss://streamer.finance.yahoo.com/?version=2"

QUOTE_TYPES: dict[int, AssetClass] = {8: "stock", 9: "stock", 11: "stock", 20: "stock", 18: "commodity", 41: "crypto"}
"""Numbers of Yahoo's quote types: equity, index, fund, ETF, future, cryptocurrency."""
_HEARTBEAT = 7

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

log = structlog.get_logger()


@dataclass(frozen=True)
class Interrupted:
    """Quotes may be missing since then; said when the connection stands again."""

    since: datetime


class QuoteStream:
    """Quotes of some symbols, without end. An empty chunk comes at least every second, so that the reader can stop."""

    def __init__(
        self,
        symbols: Sequence[str],
        trading: Callable[[datetime], bool],
        given: AssetClass | None = None,
        url: str = URL,
        patience: Patience | None = None,
    ) -> None:
        """Set it up.

        Args:
            symbols: what to subscribe to.
            trading: whether any of their markets is open at a moment; silence is suspicious then only.
            given: the class of symbols whose quotes do not say what they are.
            url: the server.
            patience: how long to wait for what.
        """
        self._symbols = sorted(symbols)
        self._trading = trading
        self._given = given
        self._url = url
        self._patience = patience or Patience()

    def read(self) -> Iterator[Chunk | Interrupted]:
        """Connect, read, and connect again; never ends by itself."""
        since: datetime | None = None
        failures = 0
        while True:
            try:
                with connect(self._url, open_timeout=10, close_timeout=1, max_queue=10_000) as socket:
                    self._subscribe(socket)
                    log.info("quotes: connected", symbols=len(self._symbols))
                    if since is not None:
                        yield Interrupted(since)
                    for chunk in self._listen(socket):
                        if len(chunk):
                            failures = 0
                        # what is missing begins where reading was known to work, not where the loss was noticed
                        since = datetime.now(UTC) if len(chunk) or since is None else since
                        yield chunk
            except (OSError, WebSocketException) as error:
                since = since or datetime.now(UTC)
                failures += 1
                delay = self._delay(failures)
                log.warning("quotes: connection lost", problem=str(error) or type(error).__name__, again_in=delay)
                yield from self._pause(delay)

    def _listen(self, socket: ClientConnection) -> Iterator[Chunk]:
        """Chunks until the connection is lost (raises), or silent for too long."""
        patience = self._patience
        heard = subscribed = time.monotonic()
        while True:
            texts = receive(socket, patience.look)
            now = time.monotonic()
            if texts or not self._trading(datetime.now(UTC)):
                heard = now
            elif now - heard > patience.silence:
                raise TimeoutError(f"nothing came for {patience.silence:.0f} s")
            if now - subscribed > patience.resubscribe:
                self._subscribe(socket)
                subscribed = now
            yield decode(texts, self._given)

    def _subscribe(self, socket: ClientConnection) -> None:
        socket.send(json.dumps({"subscribe": self._symbols}))

    def _delay(self, failures: int) -> float:
        longest = min(self._patience.longest_wait, self._patience.first_wait * 2.0 ** min(failures - 1, 10))
        return random.uniform(longest / 2, longest)  # noqa: S311  # jitter, not a secret

    def _pause(self, seconds: float) -> Iterator[Chunk]:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            yield decode([], None)
            time.sleep(min(left, self._patience.look))


def decode(texts: Sequence[str], given: AssetClass | None) -> Chunk:
    """Messages of the stream as ticks; what is no quote and no sign of life is passed on as it came."""
    ticks: list[dict[str, object]] = []
    odd: list[OddRow] = []
    for text in texts:
        try:
            quote = parse(text)
            if quote.quote_type != _HEARTBEAT and quote.id:
                ticks.append(tick(quote, given))
        except (ValueError, DecodeError, OverflowError):
            odd.append({"symbol": None, "provider_message": text[:10_000]})
    return Chunk(pl.DataFrame(ticks, schema=dict(COLUMNS)), tuple(odd))


def parse(text: str) -> PricingData:
    """One message: JSON with a base64 protobuf in it.

    Raises:
        ValueError, DecodeError: it is something else.
    """
    message = json.loads(text)
    if not isinstance(message, dict) or not isinstance(message.get("message"), str):
        raise ValueError("no message in it")  # noqa: TRY004  # what came, not how we were called
    quote = PricingData()
    quote.ParseFromString(base64.b64decode(message["message"], validate=True))
    return quote


def tick(quote: PricingData, given: AssetClass | None) -> dict[str, object]:
    """A quote as a tick. Its identity is its content, because Yahoo repeats the last quote after a new subscription."""
    # a price is sent as float32: the shortest decimal that is it, not the float64 nearest to it
    price = float(str(np.float32(quote.price)))
    return {
        "symbol": quote.id,
        "asset_class": QUOTE_TYPES.get(quote.quote_type) or given or guess_class(quote.id),
        "interval": TICK,
        "event_time": _EPOCH + timedelta(milliseconds=quote.time),
        "close": price,
        "volume": float(quote.last_size) if quote.last_size else None,
        "trade_id": f"{quote.time}:{price}:{quote.day_volume or quote.vol_24hr}",
    }
