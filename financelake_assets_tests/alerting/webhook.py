"""An address on loopback that answers as a test wants it to."""

from __future__ import annotations

import http.server
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SHORT = "rto=0.5&cto=0.5"
"""Apprise's time-outs, so that a test does not wait."""


class Webhook:
    """``received``: titles and texts by path. ``status``: the answers to come by path, then 200; 0 is none at all."""

    def __init__(self) -> None:
        self.received: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.status: dict[str, list[int]] = defaultdict(list)
        self.arrived = threading.Condition()
        self.released = threading.Event()
        self.port = 0

    def address(self, path: str, options: str = SHORT) -> str:
        """As Apprise reads it."""
        return f"json://127.0.0.1:{self.port}/{path}?{options}"

    def wait(self, path: str, count: int) -> list[dict[str, Any]]:
        """What a path has received, when it is so many."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.received[path]) >= count, 60)
            return list(self.received[path])


@contextmanager
def webhook() -> Iterator[Webhook]:
    """A server that runs meanwhile."""
    hook = Webhook()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            path = self.path.strip("/").split("?")[0]
            with hook.arrived:
                answer = hook.status[path].pop(0) if hook.status[path] else 200
                if answer == 200:
                    hook.received[path].append(body)
                hook.arrived.notify_all()
            if answer == 0:
                hook.released.wait(60)
                return
            self.send_response(answer)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hook.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield hook
        finally:
            hook.released.set()
            server.shutdown()
