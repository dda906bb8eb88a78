"""Kraken, spot: the channel ``trade`` of its WebSocket v2, and ``Trades`` and ``OHLC`` of its REST interface.

Input: frames and answers. Output: trades, numbered by pair without gaps, and candles. REST knows old names of
currencies (XBT for BTC) and gives a pair another name in the answer; the WebSocket uses the usual ones. Made from
https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/trade and .../guides/general/historical-data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from financelake_assets.providers.base import ProviderError
from financelake_assets.providers.courtesy import PassingError
from financelake_assets.providers.exchanges.exchange import (
    Candle,
    Get,
    Heard,
    Page,
    UnknownPairError,
    micros,
    micros_of,
    positive,
    steps_of,
)
from financelake_assets.providers.exchanges.trade_ids import Hole, Trade

_REST_NAMES = {"BTC": "XBT", "DOGE": "XDG"}
_SIGNS_OF_LIFE = ("heartbeat", "status", "ping")
_PASSING = ("EGeneral:Too many requests", "EAPI:Rate limit", "EService:", "EGeneral:Temporary", "EGeneral:Internal")
_UNKNOWN = ("EQuery:Unknown asset pair", "EGeneral:Invalid arguments")
_NANOS = 1_000
_AT_ONCE = 1_000


class Kraken:
    """How Kraken is spoken to."""

    name = "kraken"
    title = "Kraken"
    steps = steps_of("1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w")
    kept_candles: int | None = 720

    def subscriptions(self, symbols: Sequence[str]) -> list[str]:
        """One frame; with it come the last fifty trades, which often are all that was missed."""
        wanted = {"channel": "trade", "symbol": list(symbols), "snapshot": True}
        return [orjson.dumps({"method": "subscribe", "params": wanted}).decode()]

    def hear(self, text: str, heard: Heard) -> None:
        """Add what a frame says."""
        try:
            message = orjson.loads(text)
            if message.get("channel") == "trade":
                heard.trades += [_live(one) for one in message["data"]]
            elif message.get("method") == "subscribe":
                if not message["success"]:
                    heard.refused[str(message.get("symbol", ""))] = str(message.get("error", "refused"))
            elif message.get("channel") not in _SIGNS_OF_LIFE and message.get("method") not in (
                *_SIGNS_OF_LIFE,
                "pong",
            ):
                heard.odd.append(text)
        except (ValueError, KeyError, TypeError, AttributeError):
            heard.odd.append(text)

    def page(self, symbol: str, hole: Hole, get: Get) -> Page:
        """Up to a thousand trades from the beginning of a hole on."""
        asked = {"pair": rest_name(symbol), "since": str(hole.since * _NANOS - 1), "count": str(_AT_ONCE)}
        rows = _rows(symbol, get("/0/public/Trades", asked))
        try:
            trades = [Trade(symbol, int(row[6]), micros(row[2]), positive(row[0]), positive(row[1])) for row in rows]
        except (ValueError, TypeError, IndexError, ArithmeticError) as error:
            raise PassingError(f"Kraken's trades of {symbol} cannot be read: {error}") from error
        return Page(trades, any(trade.id >= hole.before for trade in trades))

    def candles(self, symbol: str, interval: str, start: datetime | None, end: datetime, get: Get) -> Iterator[Candle]:
        """The newest 720 candles: Kraken keeps no more of any interval."""
        asked = {"pair": rest_name(symbol), "interval": str(self.steps[interval] // 60)}
        if start is not None:
            asked["since"] = str(int(start.timestamp()) - self.steps[interval])
        for row in _rows(symbol, get("/0/public/OHLC", asked)):
            try:
                when, first, high, low, last, _, volume, *_ = row
                candle = Candle(int(when), float(first), float(high), float(low), float(last), float(volume))
            except (ValueError, TypeError) as error:
                raise PassingError(f"Kraken's candles of {symbol} cannot be read: {error}") from error
            if candle.time < end.timestamp() and (start is None or candle.time >= start.timestamp()):
                yield candle


def rest_name(symbol: str) -> str:
    """A pair as REST wants it: BTC/USD is XBTUSD."""
    return "".join(_REST_NAMES.get(currency, currency) for currency in symbol.split("/"))


def _live(one: Mapping[str, Any]) -> Trade:
    price, size = positive(one["price"]), positive(one["qty"])
    return Trade(str(one["symbol"]), int(one["trade_id"]), micros_of(one["timestamp"]), price, size)


def _rows(symbol: str, answer: Any) -> list[Any]:
    """The one list of an answer, which has Kraken's own name of the pair.

    Raises:
        UnknownPairError, PassingError, ProviderError: the answer is an error, or none at all.
    """
    if not isinstance(answer, dict):
        raise PassingError("Kraken's answer is no object")
    errors = [str(error) for error in answer.get("error") or []]
    if any(error.startswith(_PASSING) for error in errors):
        raise PassingError(f"Kraken: {'; '.join(errors)}")
    if any(error.startswith(_UNKNOWN) for error in errors):
        raise UnknownPairError(f"{symbol}: Kraken has no such pair ({'; '.join(errors)}); one is BTC/USD")
    if errors:
        raise ProviderError(f"{symbol}: Kraken: {'; '.join(errors)}")
    for name, rows in (answer.get("result") or {}).items():
        if name != "last" and isinstance(rows, list):
            return rows
    raise PassingError(f"Kraken's answer of {symbol} has no rows")
