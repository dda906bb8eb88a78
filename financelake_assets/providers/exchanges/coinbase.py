"""Coinbase Exchange: the channels ``matches`` and ``heartbeat`` of its WebSocket, and its products' trades and candles.

Input: frames and answers. Output: trades, numbered by product without gaps, and candles. Made from
https://docs.cdp.coinbase.com/exchange/websocket-feed/channels and .../rest-api/pagination. The heartbeat tells the
number of a product's last trade, so that a missed one is noticed though no other follows; it is 0 where Coinbase does
not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from financelake_assets.providers.courtesy import PassingError
from financelake_assets.providers.exchanges.exchange import Candle, Get, Heard, Page, micros_of, positive, steps_of
from financelake_assets.providers.exchanges.trade_ids import UNKNOWN, Hole, Trade

_AT_ONCE = 1_000
_CANDLES_AT_ONCE = 300
_FIRST_DAY = datetime(2015, 1, 1, tzinfo=UTC)
_SIGNS_OF_LIFE = ("subscriptions",)
_EMPTY_PAGES = 12
"""Pages without a candle, one after the other, that end a way back through a product's history."""


class Coinbase:
    """How Coinbase Exchange is spoken to."""

    name = "coinbase"
    title = "Coinbase"
    steps = steps_of("1m", "5m", "15m", "1h", "6h", "1d")
    kept_candles: int | None = None

    def subscriptions(self, symbols: Sequence[str]) -> list[str]:
        """A frame for each product: one that Coinbase does not know fails the whole frame that names it."""
        frames = [
            {"type": "subscribe", "product_ids": [symbol], "channels": ["matches", "heartbeat"]} for symbol in symbols
        ]
        return [orjson.dumps(frame).decode() for frame in frames]

    def hear(self, text: str, heard: Heard) -> None:
        """Add what a frame says."""
        try:
            message = orjson.loads(text)
            kind = message["type"]
            if kind in ("match", "last_match"):
                heard.trades.append(_trade(message["product_id"], message))
            elif kind == "heartbeat":
                if newest := int(message["last_trade_id"]):
                    heard.newest[str(message["product_id"])] = newest
            elif kind == "error":
                reason = str(message.get("reason") or message.get("message"))
                heard.refused[reason.split(" ", 1)[0] if " is not " in reason else ""] = reason
            elif kind not in _SIGNS_OF_LIFE:
                heard.odd.append(text)
        except (ValueError, KeyError, TypeError, AttributeError):
            heard.odd.append(text)

    def page(self, symbol: str, hole: Hole, get: Get) -> Page:
        """Up to a thousand trades from the end of a hole back."""
        rows = get(f"/products/{symbol}/trades", {"after": str(hole.before), "limit": str(_AT_ONCE)})
        try:
            trades = [_trade(symbol, row) for row in rows]
        except (ValueError, KeyError, TypeError) as error:
            raise PassingError(f"Coinbase's trades of {symbol} cannot be read: {error}") from error
        trades.reverse()
        if not trades:
            return Page([], True)
        first = trades[0]
        return Page(trades, first.time < hole.since if hole.after == UNKNOWN else first.id <= hole.after + 1)

    def candles(self, symbol: str, interval: str, start: datetime | None, end: datetime, get: Get) -> Iterator[Candle]:
        """Candles from the end back, 300 at once; without a start until the product had no trades."""
        step = self.steps[interval]
        first, last, empty = start or _FIRST_DAY, end, 0
        while last > first and empty < _EMPTY_PAGES:
            # both ends are included, and no more than 300 are given
            begin = max(first, last - timedelta(seconds=step * (_CANDLES_AT_ONCE - 1)))
            asked = {"granularity": str(step), "start": begin.isoformat(), "end": last.isoformat()}
            rows = get(f"/products/{symbol}/candles", asked)
            try:
                found = [
                    Candle(int(when), *(float(value) for value in (first_, high, low, close, volume)))
                    for when, low, high, first_, close, volume in rows
                ]
            except (ValueError, TypeError) as error:
                raise PassingError(f"Coinbase's candles of {symbol} cannot be read: {error}") from error
            yield from (one for one in found if first.timestamp() <= one.time < end.timestamp())
            empty = 0 if found or start is not None else empty + 1
            last = begin


def _trade(symbol: object, one: Mapping[str, Any]) -> Trade:
    price, size = positive(one["price"]), positive(one["size"])
    return Trade(str(symbol), int(one["trade_id"]), micros_of(str(one["time"])), price, size)
