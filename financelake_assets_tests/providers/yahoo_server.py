"""Yahoo's servers on loopback: charts by HTTPS, behind a proxy that leads every address there; quotes by WebSocket.

What they answer is constructed in the form of recorded answers; faults are queued in front of it.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trustme
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve
from yfinance.pricing_pb2 import PricingData

HTML = "<!DOCTYPE html><html><body>Will be back soon</body></html>"


@dataclass
class Listing:
    """A symbol: its bars by start in seconds, each (open, high, low, close, adjclose, volume)."""

    kind: str = "EQUITY"
    zone: str = "America/New_York"
    currency: str | None = "USD"
    offset: int = -18_000
    name: str | None = None
    bars: dict[int, tuple[float | None, ...]] = field(default_factory=dict)
    dividends: dict[int, float] = field(default_factory=dict)
    splits: dict[int, tuple[int, int]] = field(default_factory=dict)


@dataclass
class ChartServer:
    """What ``serve_charts`` serves. ``faults`` are taken first, one a request: a status, text, or "hang"."""

    listings: dict[str, Listing] = field(default_factory=dict)
    faults: deque[int | str] = field(default_factory=deque)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    port: int = 0
    authority: Path = Path()
    over: threading.Event = field(default_factory=threading.Event)

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, str]:
        if path == "/v1/test/getcrumb":
            return 200, "crumb"
        if not path.startswith("/v8/finance/chart/"):
            return 404, "{}"
        symbol = path.rsplit("/", 1)[1]
        self.asked.append((symbol, query))
        if self.faults:
            fault = self.faults.popleft()
            if fault == "hang":
                self.over.wait(30)
                return 504, ""
            return (fault, "Too Many Requests") if isinstance(fault, int) else (200, fault)
        listing = self.listings.get(symbol)
        if listing is None:
            return 404, json.dumps(_error("Not Found", "No data found, symbol may be delisted"))
        return 200, json.dumps(chart(symbol, listing, query))


def _error(code: str, words: str) -> dict[str, Any]:
    return {"chart": {"result": None, "error": {"code": code, "description": words}}}


def chart(symbol: str, listing: Listing, query: dict[str, str]) -> dict[str, Any]:
    """The JSON of /v8/finance/chart."""
    first, last = int(query.get("period1", 0)), int(query.get("period2", 1 << 32))
    starts = [start for start in sorted(listing.bars) if first <= start < last]
    columns = list(zip(*(listing.bars[start] for start in starts), strict=True)) or [()] * 6
    names = ("open", "high", "low", "close")
    intraday = query.get("interval", "1d")[-1] in "mh"
    adjusted = {} if intraday else {"adjclose": [{"adjclose": list(columns[4])}]}
    period = {"timezone": "EST", "start": 0, "end": 1 << 32, "gmtoffset": listing.offset}
    dividends = {str(day): {"amount": cash, "date": day} for day, cash in listing.dividends.items() if first <= day}
    splits = {
        str(day): {"date": day, "numerator": new, "denominator": old, "splitRatio": f"{new}:{old}"}
        for day, (new, old) in listing.splits.items()
        if first <= day
    }
    result = {
        "meta": {
            "symbol": listing.name or symbol,
            "currency": listing.currency,
            "instrumentType": listing.kind,
            "exchangeTimezoneName": listing.zone,
            "gmtoffset": listing.offset,
            "validRanges": ["1d", "max"],
            "currentTradingPeriod": {"pre": period, "regular": period, "post": period},
            **({"tradingPeriods": [[dict(period)]]} if intraday else {}),
        },
        "timestamp": starts,
        "events": {"dividends": dividends, "splits": splits},
        "indicators": {
            "quote": [
                {**{name: list(columns[at]) for at, name in enumerate(names)}, "volume": list(columns[5])}
                if starts
                else {}
            ],
            **adjusted,
        },
    }
    return {"chart": {"result": [result], "error": None}}


@contextmanager
def serve_charts(folder: Path) -> Iterator[ChartServer]:
    """A proxy on loopback behind which every address of Yahoo's is this server, with a certificate for it."""
    served = ChartServer()

    authority = trustme.CA()
    served.authority = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(served.authority))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("*.yahoo.com", "*.finance.yahoo.com").configure_cert(context)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_CONNECT(self) -> None:
            """Whatever machine is asked for, it is this one that answers."""
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.connection = context.wrap_socket(self.connection, server_side=True)
            self.setup_streams()

        def setup_streams(self) -> None:
            self.rfile = self.connection.makefile("rb", -1)
            self.wfile = self.connection.makefile("wb", 0)
            self.close_connection = False

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            status, text = served.answer(parts.path, query)
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.over.set()
        server.shutdown()
        server.server_close()


# -- quotes ---------------------------------------------------------------------------------------------


def quote(symbol: str, price: float, at: datetime, kind: int = 8, **more: Any) -> str:
    """A message of the stream: a protobuf in base64 in JSON."""
    data = PricingData(id=symbol, price=price, time=int(at.timestamp() * 1000), quote_type=kind, **more)
    return json.dumps({"type": "pricing", "message": base64.b64encode(data.SerializeToString()).decode()})


@dataclass
class QuoteServer:
    """What each connection does, one after the other: texts to send, then "drop", "cut" or "silent"."""

    url: str = ""
    script: deque[list[str]] = field(default_factory=deque)
    subscriptions: list[list[str]] = field(default_factory=list)
    connections: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def connected(self, socket: ServerConnection) -> None:
        self.connections += 1
        try:
            self.subscriptions.append(json.loads(socket.recv(timeout=10))["subscribe"])
            for act in self.script.popleft() if self.script else ["silent"]:
                if act == "drop":
                    socket.close()
                    return
                if act == "cut":  # no goodbye, as when a cable is pulled
                    socket.socket.shutdown(2)
                    return
                if act == "silent":
                    while not self.over.is_set():
                        try:
                            message = json.loads(socket.recv(timeout=0.1))
                            self.subscriptions.append(message["subscribe"])
                        except TimeoutError:
                            continue
                else:
                    socket.send(act)
                    time.sleep(0.01)
        except ConnectionClosed:
            pass


@contextmanager
def serve_quotes() -> Iterator[QuoteServer]:
    """A WebSocket on loopback."""
    served = QuoteServer()
    with serve(served.connected, "127.0.0.1", 0) as server:
        served.url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/?version=2"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield served
        finally:
            served.over.set()
            server.shutdown()


def seconds(text: str) -> int:
    """A time in UTC as Yahoo writes it."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
