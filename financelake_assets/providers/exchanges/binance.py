"""Binance, spot: the stream ``aggTrade`` of its public data, and ``aggTrades`` and ``klines`` of its REST interface.

Input: frames and answers. Output: trades, numbered by symbol without gaps, and candles. An aggregate trade is what one
order took at one price at one moment: prices and sums are those of the single trades, of which the public addresses
give no past ones. Made from https://developers.binance.com/docs/binance-spot-api-docs/faqs/market_data_only and
.../web-socket-streams. The stream says nothing of symbols that it does not know, and nothing while a market is quiet;
so the ticker of one busy market, which comes every second, is the sign of life.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from financelake_assets.providers.courtesy import PassingError
from financelake_assets.providers.exchanges.exchange import (
    Candle,
    Get,
    Heard,
    Page,
    UnknownPairError,
    positive,
    steps_of,
)
from financelake_assets.providers.exchanges.trade_ids import UNKNOWN, Hole, Trade

_AT_ONCE = 1_000
_CANDLES_AT_ONCE = 1_000
_SIGN_OF_LIFE = "btcusdt@miniTicker"
_NOTHING_TO_TAKE = ("24hrMiniTicker", "serverShutdown")
_MICROS = 1_000


class Binance:
    """How Binance is spoken to."""

    name = "binance"
    title = "Binance"
    steps = steps_of("1m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d", "1w")
    kept_candles: int | None = None

    def subscriptions(self, symbols: Sequence[str]) -> list[str]:
        """One frame, because Binance ends a connection that says more than five things a second."""
        wanted = [*(f"{symbol.lower()}@aggTrade" for symbol in symbols), _SIGN_OF_LIFE]
        return [orjson.dumps({"method": "SUBSCRIBE", "params": wanted, "id": 1}).decode()]

    def hear(self, text: str, heard: Heard) -> None:
        """Add what a frame says."""
        try:
            message = orjson.loads(text)
            kind = message.get("e")
            if kind == "aggTrade":
                heard.trades.append(_trade(str(message["s"]), message))
            elif "error" in message or "code" in message:
                heard.refused[""] = str(message.get("error") or message.get("msg"))
            elif kind not in _NOTHING_TO_TAKE and "result" not in message:
                heard.odd.append(text)
        except (ValueError, KeyError, TypeError, AttributeError):
            heard.odd.append(text)

    def page(self, symbol: str, hole: Hole, get: Get) -> Page:
        """Up to a thousand trades from the beginning of a hole on."""
        asked = {"symbol": symbol, "limit": str(_AT_ONCE)}
        if hole.after == UNKNOWN:
            asked["startTime"] = str(hole.since // _MICROS)
        else:
            asked["fromId"] = str(hole.after + 1)
        rows = _ask("/api/v3/aggTrades", asked, get)
        try:
            trades = [_trade(symbol, row) for row in rows]
        except (ValueError, KeyError, TypeError) as error:
            raise PassingError(f"Binance's trades of {symbol} cannot be read: {error}") from error
        return Page(trades, any(trade.id >= hole.before for trade in trades))

    def candles(self, symbol: str, interval: str, start: datetime | None, end: datetime, get: Get) -> Iterator[Candle]:
        """Candles from the start on, a thousand at once. Those without a trade are left out."""
        step, last = self.steps[interval] * 1_000, int(end.timestamp() * 1_000)
        first = int(start.timestamp() * 1_000) if start else 0
        while first < last:
            asked = {"symbol": symbol, "interval": interval, "limit": str(_CANDLES_AT_ONCE)}
            rows = _ask("/api/v3/klines", {**asked, "startTime": str(first), "endTime": str(last - 1)}, get)
            try:
                found = [
                    (Candle(int(row[0]) // 1_000, *(float(value) for value in row[1:6])), int(row[8])) for row in rows
                ]
            except (ValueError, TypeError, KeyError, IndexError) as error:
                raise PassingError(f"Binance's candles of {symbol} cannot be read: {error}") from error
            yield from (candle for candle, trades in found if trades)
            if len(found) < _CANDLES_AT_ONCE:
                return
            first = found[-1][0].time * 1_000 + step


def _ask(path: str, asked: Mapping[str, str], get: Get) -> Any:
    """Ask; the address of a question does not say which symbol is unknown.

    Raises:
        ProviderError: what the answer means.
    """
    try:
        return get(path, asked)
    except UnknownPairError as error:
        raise UnknownPairError(f"{asked['symbol']}: Binance has no such symbol; one is BTCUSDT") from error


def _trade(symbol: str, one: Mapping[str, Any]) -> Trade:
    return Trade(symbol, int(one["a"]), int(one["T"]) * _MICROS, positive(one["p"]), positive(one["q"]))
