"""Reading a WebSocket that must not fall silent: how long to wait for what, and what comes within a time.

Input: a connection. Output: the texts that are there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection

_MOST_AT_ONCE = 500


@dataclass(frozen=True)
class Patience:
    """Seconds. ``silence``: without a message for this long, in trading hours, the connection counts as dead."""

    silence: float = 120.0
    resubscribe: float = 15.0
    look: float = 1.0
    first_wait: float = 1.0
    longest_wait: float = 60.0


def receive(socket: ClientConnection, seconds: float, gather: float = 0.0) -> list[str]:
    """What comes within some seconds: the first message, and those that are there by then.

    Args:
        socket: the connection.
        seconds: how long to wait for the first message.
        gather: how long to wait for others after it. What a handful of messages costs is nearly what one costs.

    Raises:
        WebSocketException: the connection is lost, and nothing came before that.
    """
    texts: list[str] = []
    until = 0.0
    try:
        while len(texts) < _MOST_AT_ONCE:
            message = socket.recv(timeout=max(0.0, until - time.monotonic()) if texts else seconds)
            until = until or time.monotonic() + gather
            texts.append(message if isinstance(message, str) else message.decode(errors="replace"))
    except TimeoutError:
        pass
    except WebSocketException:
        if not texts:  # what came before the end comes first; the next look meets the end again
            raise
    return texts
