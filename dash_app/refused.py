"""A message in quarantine as text: what silver refused, as it came.

Input: where it lay on Kafka. Output: plain text, which no browser takes for a page. Bytes that are no UTF-8 become
escapes.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import polars as pl
from flask import Flask, Response, abort, request

from financelake_assets.config import Settings
from financelake_assets.silver.schema import QUARANTINE

_PATH = "/refused.txt"
_NUMBERS = ("partition", "offset")
_PLACE = ("topic", *_NUMBERS, "topic_id")
_TOO_LARGE = 2**63


def href(row: Mapping[str, Any]) -> str:
    """The address of a row of silver/quarantine."""
    return f"{_PATH}?{urlencode({name: row[name] for name in _PLACE if row[name] is not None})}"


def add_refused_messages(server: Flask, settings: Settings) -> None:
    """Serve them at the addresses of ``href``, one at a time: each reads the table."""
    one_at_a_time = threading.Lock()

    @server.get(_PATH)
    def message() -> Response:
        place: dict[str, Any] = {name: request.args[name] for name in _PLACE if name in request.args}
        for name in _NUMBERS:
            place[name] = request.args.get(name, -1, int)
        if "topic" not in place or not all(0 <= place[name] < _TOO_LARGE for name in _NUMBERS):
            abort(404)
        with one_at_a_time:
            text = told(settings, place)
        if text is None:
            abort(404)
        return Response(text, mimetype="text/plain")


def told(settings: Settings, place: Mapping[str, Any]) -> str | None:
    """A message as text; ``None`` if none of this place is in quarantine.

    Of a message above 1 MiB quarantine keeps the beginning.

    Args:
        settings: the lake.
        place: topic, partition and offset; and the topic's id, which tells a topic from one that was made again.
    """
    here = [pl.col(name) == value for name, value in place.items()]
    found = QUARANTINE.scan(settings).filter(*here).select("raw", "quarantined_at").collect()
    if found.is_empty():
        return None
    raw: bytes = found.sort("quarantined_at")["raw"][-1] or b""
    return raw.decode(errors="backslashreplace")
