"""Kraken, Coinbase and Binance on loopback: their WebSockets and REST interfaces on one port, with faults on demand.

They speak what the exchanges' public documentation says; the trades are made up. ``/v2`` is Kraken's WebSocket,
``/feed`` Coinbase's, ``/ws`` Binance's; ``/0/public/…``, ``/products/…`` and ``/api/v3/…`` are their REST interfaces.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from financelake_assets.providers.exchanges.trade_ids import Trade
from financelake_assets.providers.pairs import pair

HTML = "<!DOCTYPE html><html><body>Checking your browser</body></html>"
Pair = tuple[str, str]
_KRAKEN_SNAPSHOT = 50
_PAGE = 1_000
_STREAMS = {"/v2": "kraken", "/feed": "coinbase", "/ws": "binance"}
_BINANCE_STEPS = {"1m": 60, "1h": 3_600, "1d": 86_400}
_OLD = {"XBT": "BTC", "XDG": "DOGE"}


@dataclass
class Client:
    """A connection and what it follows."""

    socket: ServerConnection
    exchange: str
    pairs: set[Pair] = field(default_factory=set)


@dataclass
class ExchangeServer:
    """The exchanges. Trades of a pair are numbered alike on all of them.

    ``rest_faults`` and ``handshake_faults`` are taken first, one a request: a status, or a text. ``silent``:
    connections stay and say nothing. ``away``: no connection is let in. ``behind``: so many of the newest trades are
    unknown to REST.
    """

    pairs: dict[Pair, list[Trade]] = field(default_factory=dict)
    candles: dict[tuple[Pair, int], list[tuple[float, ...]]] = field(default_factory=dict)
    rest_faults: deque[int | str] = field(default_factory=deque)
    handshake_faults: deque[int | str] = field(default_factory=deque)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    handshakes: int = 0
    silent: bool = False
    away: bool = False
    behind: int = 0
    beat: float = 0.2
    retry_after: str = "1"
    port: int = 0
    first: int = 1_000
    clients: list[Client] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    @property
    def kraken_stream(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v2"

    @property
    def coinbase_stream(self) -> str:
        return f"ws://127.0.0.1:{self.port}/feed"

    @property
    def binance_stream(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def rest(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # -- what happens on the market ----------------------------------------------------------------
    def list_pairs(self, *names: str, first: int = 1_000) -> None:
        """Trade these pairs; the first trade gets this number."""
        for name in names:
            found = pair(name)
            assert found is not None
            self.pairs[found] = []
            self.first = first

    def trade(self, name: str, count: int = 1, *, tell: bool = True, at: float | None = None) -> list[Trade]:
        """New trades of a pair; they are told to whoever follows it, unless nobody shall hear of them yet."""
        found = pair(name)
        assert found is not None
        known, made = self.pairs[found], []
        for _ in range(count):
            micros = int((at or time.time()) * 1e6)
            number = known[-1].id + 1 if known else self.first
            made.append(
                Trade(name, number, micros, round(100 + number % 977 / 7, 4), round(0.01 + number % 13 / 10, 4))
            )
            known.append(made[-1])
        if tell:
            self.tell(name, made)
        return made

    def tell(self, name: str, trades: Sequence[Trade]) -> None:
        """Tell trades to whoever follows the pair, in this order, as often as they are in it."""
        found = pair(name)
        assert found is not None
        self.loop.call_soon_threadsafe(self._broadcast, found, list(trades))

    def say(self, text: str | bytes) -> None:
        """Send a frame to everybody."""
        self.loop.call_soon_threadsafe(lambda: [self._send(client, text) for client in self.clients])

    def cut(self) -> None:
        """Break every connection without a word."""
        self.loop.call_soon_threadsafe(lambda: [one.socket.transport.abort() for one in list(self.clients)])

    # -- the WebSockets ----------------------------------------------------------------------------
    def _broadcast(self, found: Pair, trades: list[Trade]) -> None:
        for client in list(self.clients):
            if found not in client.pairs or self.silent:
                continue
            if client.exchange == "kraken":
                self._send(client, kraken_trades("update", found, trades))
                continue
            for trade in trades:
                coinbase = client.exchange == "coinbase"
                self._send(client, coinbase_match("match", found, trade) if coinbase else binance_trade(found, trade))

    def _send(self, client: Client, text: str | bytes) -> None:
        task = self.loop.create_task(_sent(client.socket, text))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def serve_client(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        client = Client(socket, _STREAMS[socket.request.path])
        self.clients.append(client)
        beating = self.loop.create_task(self._beat(client))
        try:
            if client.exchange == "kraken":
                await socket.send(json.dumps({"channel": "status", "type": "update", "data": [{"system": "online"}]}))
            async for text in socket:
                self._subscribe(client, json.loads(text))
        except ConnectionClosed:
            pass
        finally:
            beating.cancel()
            self.clients.remove(client)

    async def _beat(self, client: Client) -> None:
        while True:
            await asyncio.sleep(self.beat)
            if self.silent:
                continue
            if client.exchange != "coinbase":
                kraken = client.exchange == "kraken"
                sign = {"channel": "heartbeat"} if kraken else {"e": "24hrMiniTicker", "s": "BTCUSDT", "c": "1.0"}
                self._send(client, json.dumps(sign))
                continue
            for found in client.pairs:
                last = self.pairs[found][-1].id if self.pairs[found] else 0
                told = {"type": "heartbeat", "sequence": 90, "last_trade_id": last, "product_id": "-".join(found)}
                self._send(client, json.dumps({**told, "time": iso(int(time.time() * 1e6))}))

    def _subscribe(self, client: Client, asked: dict[str, Any]) -> None:
        if client.exchange == "kraken":
            for name in asked["params"]["symbol"]:
                self._subscribe_kraken(client, name)
            return
        if client.exchange == "binance":  # it says nothing of symbols that it does not know
            wanted = {name.removesuffix("@aggTrade").upper() for name in asked["params"]}
            client.pairs |= {found for found in self.pairs if "".join(found) in wanted}
            self._send(client, json.dumps({"result": None, "id": asked["id"]}))
            return
        for product in asked["product_ids"]:
            found = tuple(product.split("-"))
            if found not in self.pairs:
                reason = {"message": "Failed to subscribe", "reason": f"{product} is not a valid product"}
                self._send(client, json.dumps({"type": "error", **reason}))
                continue
            client.pairs.add(found)
            self._send(client, json.dumps({"type": "subscriptions", "channels": [{"name": "matches"}]}))
            if self.pairs[found]:
                self._send(client, coinbase_match("last_match", found, self.pairs[found][-1]))

    def _subscribe_kraken(self, client: Client, name: str) -> None:
        found = tuple(name.split("/"))
        answer: dict[str, Any] = {"method": "subscribe", "success": found in self.pairs}
        if found not in self.pairs:
            answer |= {"error": f"Currency pair not supported {name}", "symbol": name}
            self._send(client, json.dumps(answer))
            return
        client.pairs.add(found)
        self._send(client, json.dumps(answer | {"result": {"channel": "trade", "symbol": name, "snapshot": True}}))
        if self.pairs[found]:
            self._send(client, kraken_trades("snapshot", found, self.pairs[found][-_KRAKEN_SNAPSHOT:]))

    # -- REST, and what may go wrong before a connection stands --------------------------------------
    async def process(self, socket: ServerConnection, request: Request) -> Response | None:
        place = urlsplit(request.path)
        if place.path in _STREAMS:
            self.handshakes += 1
            if self.away:
                socket.transport.abort()
            return self._fault(socket, self.handshake_faults)
        query = {name: values[-1] for name, values in parse_qs(place.query).items()}
        self.asked.append((place.path, query))
        if (fault := self._fault(socket, self.rest_faults)) is not None:
            return fault
        parts = place.path.strip("/").split("/")
        if parts[0] == "0":
            return _json(socket, self._kraken(parts[-1], query))
        if parts[0] == "api":
            return self._binance(socket, parts[-1], query)
        found = tuple(parts[1].split("-"))
        if found not in self.pairs:
            return socket.respond(HTTPStatus.NOT_FOUND, json.dumps({"message": "NotFound"}))
        return _json(socket, self._coinbase(found, parts[2], query))

    def _fault(self, socket: ServerConnection, faults: deque[int | str]) -> Response | None:
        if not faults:
            return None
        fault = faults.popleft()
        if isinstance(fault, str):
            return socket.respond(HTTPStatus.OK, fault)
        response = socket.respond(HTTPStatus(fault), "no")
        response.headers["Retry-After"] = self.retry_after
        return response

    def _kraken(self, what: str, query: dict[str, str]) -> dict[str, Any] | str:
        name = query["pair"]
        found = next((one for one in self.pairs if name == "".join(_new_to_old(part) for part in one)), None)
        if found is None:
            return {"error": ["EQuery:Unknown asset pair"]}
        own = f"X{name[:3]}Z{name[3:]}"
        if what == "OHLC":
            rows = self.candles.get((found, int(query["interval"]) * 60), [])[-720:]
            wanted = [row for row in rows if row[0] > int(query.get("since", "0"))]
            shown = [[int(row[0]), *(str(value) for value in row[1:5]), "0", str(row[5]), 7] for row in wanted]
            return {"error": [], "result": {own: shown, "last": int(rows[-1][0]) if rows else 0}}
        behind = [trade for trade in self._told_by_rest(found) if trade.time * 1_000 > int(query["since"])][:_PAGE]
        # REST tells a tenth of a microsecond more than the WebSocket, as a number of more digits than a float keeps
        shown = ",".join(
            f'["{one.price:.5f}","{one.size:.8f}",{seconds}.{micros:06d}7,"b","l","",{one.id}]'
            for one in behind
            for seconds, micros in [divmod(one.time, 1_000_000)]
        )
        last = behind[-1].time * 1_000 + 700 if behind else int(query["since"])
        return f'{{"error":[],"result":{{"{own}":[{shown}],"last":"{last}"}}}}'

    def _binance(self, socket: ServerConnection, what: str, query: dict[str, str]) -> Response:
        found = next((one for one in self.pairs if "".join(one) == query["symbol"]), None)
        if found is None:
            return socket.respond(HTTPStatus.BAD_REQUEST, json.dumps({"code": -1121, "msg": "Invalid symbol."}))
        if what == "klines":
            begin, end = int(query["startTime"]), int(query["endTime"])
            rows = self.candles.get((found, _BINANCE_STEPS[query["interval"]]), [])
            wanted = [row for row in rows if begin <= row[0] * 1_000 <= end][: int(query["limit"])]
            shown = [
                [int(row[0]) * 1_000, *(str(value) for value in row[1:6]), 0, "0", int(row[5] > 0), "0", "0", "0"]
                for row in wanted
            ]
            return _json(socket, shown)
        known = self._told_by_rest(found)
        if "fromId" in query:
            known = [one for one in known if one.id >= int(query["fromId"])]
        else:
            known = [one for one in known if one.time // 1_000 >= int(query["startTime"])]
        return _json(socket, [json.loads(binance_trade(found, one)) for one in known[: int(query["limit"])]])

    def _told_by_rest(self, found: Pair) -> list[Trade]:
        known = self.pairs[found]
        return known[: len(known) - self.behind]

    def _coinbase(self, found: Pair, what: str, query: dict[str, str]) -> list[Any]:
        if what == "candles":
            begin, end = (datetime.fromisoformat(query[name]).timestamp() for name in ("start", "end"))
            rows = self.candles.get((found, int(query["granularity"])), [])
            wanted = [row for row in rows if begin <= row[0] <= end]
            assert len(wanted) <= 300, "Coinbase refuses more than 300 candles"
            return [[int(row[0]), row[3], row[2], row[1], row[4], row[5]] for row in reversed(wanted)]
        trades = [one for one in self._told_by_rest(found) if one.id < int(query["after"])]
        newest_first = trades[-min(_PAGE, int(query["limit"])) :][::-1]
        return [
            {"trade_id": one.id, "side": "buy", "size": str(one.size), "price": str(one.price), "time": iso(one.time)}
            for one in newest_first
        ]


def _json(socket: ServerConnection, value: object) -> Response:
    response = socket.respond(HTTPStatus.OK, value if isinstance(value, str) else json.dumps(value))
    response.headers["Content-Type"] = "application/json"
    return response


async def _sent(socket: ServerConnection, text: str | bytes) -> None:
    with suppress(ConnectionClosed):
        await socket.send(text)


def _new_to_old(currency: str) -> str:
    return next((old for old, new in _OLD.items() if new == currency), currency)


def iso(micros: int) -> str:
    """A time as the exchanges write it."""
    return (
        datetime.fromtimestamp(micros // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{micros % 1_000_000:06d}Z"
    )


def kraken_trades(kind: str, found: Pair, trades: Sequence[Trade]) -> str:
    """A frame of Kraken's channel ``trade``."""
    data = [
        {
            "symbol": "/".join(found),
            "side": "buy",
            "price": one.price,
            "qty": one.size,
            "ord_type": "limit",
            "trade_id": one.id,
            "timestamp": iso(one.time),
        }
        for one in trades
    ]
    return json.dumps({"channel": "trade", "type": kind, "data": data})


def coinbase_match(kind: str, found: Pair, one: Trade) -> str:
    """A frame of Coinbase's channel ``matches``."""
    told = {"type": kind, "trade_id": one.id, "sequence": one.id * 3, "maker_order_id": "m", "taker_order_id": "t"}
    return json.dumps(
        {
            **told,
            "time": iso(one.time),
            "product_id": "-".join(found),
            "size": str(one.size),
            "price": str(one.price),
            "side": "sell",
        }
    )


def binance_trade(found: Pair, one: Trade) -> str:
    """A frame of Binance's stream ``aggTrade``; REST tells the same of a trade, but for two fields."""
    told = {"e": "aggTrade", "s": "".join(found), "a": one.id, "p": f"{one.price:.8f}", "q": f"{one.size:.8f}"}
    return json.dumps({**told, "f": one.id, "l": one.id, "T": one.time // 1_000, "m": True, "M": True})


@contextmanager
def serve_exchanges(*pairs: str) -> Iterator[ExchangeServer]:
    """The exchanges in a thread, with some pairs that have not traded yet."""
    served = ExchangeServer()
    served.list_pairs(*pairs)
    ready = threading.Event()
    over: list[asyncio.Event] = []

    async def run() -> None:
        server: Server
        over.append(asyncio.Event())
        async with serve(
            served.serve_client, "127.0.0.1", 0, process_request=served.process, compression=None
        ) as server:
            served.port = next(iter(server.sockets)).getsockname()[1]
            ready.set()
            await over[0].wait()

    thread = threading.Thread(target=served.loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield served
    finally:
        served.loop.call_soon_threadsafe(over[0].set)
        thread.join(10)


def random_walk(seed: int, start: int, count: int, step: int) -> list[tuple[float, ...]]:
    """Candles one after the other: start in seconds, open, high, low, close, volume."""
    draw, price, rows = random.Random(seed), 100.0, []  # noqa: S311  # a market, not a secret
    for number in range(count):
        before, price = price, round(price * (1 + draw.gauss(0, 0.01)), 2)
        rows.append((start + number * step, before, max(before, price), min(before, price), price, 5.0))
    return rows
