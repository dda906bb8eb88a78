"""The page's scripts in few bytes: a small build of Plotly, and each script compressed once.

Input: a Flask server with Dash's routes. Output: the same routes, with a third of the bytes. A first visit on a slow
line waits for little else.
"""

from __future__ import annotations

import threading
from pathlib import Path

import brotli
from cachetools import LRUCache, cached
from flask import Flask, Response, request
from flask_compress import Compress

CHARTS = Path(__file__).with_name("vendored") / "plotly-finance.min.js"
"""Lines, bars and candles of Plotly: all that the page draws."""

_SCRIPTS = "/_dash-component-suites/"
_WHOLE_PLOTLY = f"{_SCRIPTS}plotly/package_data/plotly.min.js"
_TYPES = ("text/javascript", "application/javascript")
_QUALITY = 6  # 2 % more bytes than the best, in a third of the time


def send_few_bytes(server: Flask) -> None:
    """Compress all answers, and send the small build where Dash's renderer asks for Plotly."""
    server.config["COMPRESS_MIMETYPES"] = ["text/html", "text/css", "application/json", "image/svg+xml", *_TYPES]
    server.config["COMPRESS_LEVEL"] = 3  # a refresh is small: time matters more than a few bytes
    Compress(server)
    packed = cached(LRUCache(64), key=lambda path, script: (path, hash(script)), lock=threading.Lock())(_packed)

    @server.get(_WHOLE_PLOTLY)
    def charts() -> Response:
        answer = Response(CHARTS.read_bytes(), mimetype=_TYPES[0])  # of a file as a stream, gzip would be left out
        answer.cache_control.max_age = 3600
        answer.add_etag()
        return answer

    # it runs before the compression above, which leaves alone what has an encoding
    @server.after_request
    def script(response: Response) -> Response:
        plain = response.status_code == 200 and response.mimetype in _TYPES
        if not plain or not request.path.startswith(_SCRIPTS) or not request.accept_encodings["br"]:
            return response
        response.direct_passthrough = False
        response.set_data(packed(request.path, response.get_data()))
        response.headers["Content-Encoding"] = "br"
        response.vary.add("Accept-Encoding")
        tag, weak = response.get_etag()
        if tag is not None:
            response.set_etag(f"{tag}:br", bool(weak))
        response.make_conditional(request)
        return response


def _packed(_: str, script: bytes) -> bytes:
    return bytes(brotli.compress(script, quality=_QUALITY))
