"""The API's addresses, and what each request passes on its way: its parameters, a free place, and errors in JSON.

Input: the page's server, settings and reader. Output: routes below ``/api/v1``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlencode

from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import NotFound

from dash_app.api import document, status
from dash_app.api.events import Events
from dash_app.api.parameters import PARAMETERS, STREAM_PARAMETERS, asked, series_of
from dash_app.api.problems import ApiError, problem
from dash_app.api.rows import Rows
from dash_app.data.cached_tables import TableView
from dash_app.data.lake_reader import LakeReader
from financelake_assets.config import Settings
from financelake_assets.gold.schema import PREDICTIONS, SIGNALS
from financelake_assets.lake import QueryError, VersionGoneError
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.delta import TableSpec

MOST_READS = 4
"""Requests for rows at the same time; more are asked to come again."""

TABLES: Mapping[str, TableSpec] = {"bars": BARS, "predictions": PREDICTIONS, "signals": SIGNALS}
"""The tables by their address."""
STREAMED = ("predictions", "signals")
_EVENTS = "text/event-stream"


def add_api(server: Flask, settings: Settings, reader: LakeReader) -> None:
    """Add the API to the page's server."""
    api = Blueprint("api", __name__, url_prefix="/api")
    handlers = _Handlers(settings, reader)
    for name in TABLES:
        api.add_url_rule(f"/v1/{name}", name, handlers.rows, defaults={"name": name})
    for name in STREAMED:
        api.add_url_rule(f"/v1/{name}/stream", f"{name}-stream", handlers.stream, defaults={"name": name})
    api.add_url_rule("/v1/status", "status", handlers.status)
    api.add_url_rule("/v1/openapi.json", "document", handlers.document)
    # the page would answer to every other address
    api.add_url_rule("/", "none", handlers.other)
    api.add_url_rule("/<path:rest>", "other", handlers.other)
    api.register_error_handler(ApiError, ApiError.response)
    api.register_error_handler(VersionGoneError, lambda error: problem(410, str(error), error.remedy))
    api.register_error_handler(QueryError, lambda error: problem(400, str(error), error.remedy))
    server.register_blueprint(api)


class _Handlers:
    """One method for each kind of address."""

    def __init__(self, settings: Settings, reader: LakeReader) -> None:
        self._reader = reader
        self._rows, self._events = Rows(settings), Events(settings, reader)
        self._reads = threading.BoundedSemaphore(MOST_READS)

    def rows(self, name: str) -> Response:
        if name in STREAMED and request.accept_mimetypes.best_match(["application/json", _EVENTS]) == _EVENTS:
            return self.stream(name)
        spec = TABLES[name]
        view = self._view(spec)
        wanted = asked(request.args, series_of(self._reader.snapshot, view), PARAMETERS)
        with self._reading():
            page = self._rows.page(spec, view.version, wanted)
        answer = Response(page.body, mimetype="application/json")
        if page.version is not None:
            answer.headers["X-Table-Version"] = str(page.version)
        if page.cursor is not None:
            again = {key: value for key, value in request.args.items() if value and key != "cursor"}
            answer.headers["Link"] = f'<{request.path}?{urlencode({**again, "cursor": page.cursor})}>; rel="next"'
        return answer

    def stream(self, name: str) -> Response:
        spec = TABLES[name]
        wanted = asked(request.args, series_of(self._reader.snapshot, self._view(spec)), STREAM_PARAMETERS)
        leave = self._events.admit()
        try:
            place = self._events.place(spec, request.headers.get("Last-Event-ID"))
            gone = request.environ.get("waitress.client_disconnected", lambda: False)
            answer = Response(self._events.stream(spec, place, wanted, gone), mimetype=_EVENTS)
        except BaseException:
            leave()
            raise
        answer.call_on_close(leave)
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
        return answer

    def status(self) -> Response:
        asked(request.args, (), ())
        return Response(status.status(self._reader.snapshot), mimetype="application/json")

    def document(self) -> Response:
        asked(request.args, (), ())
        return Response(document.rendered(), mimetype="application/json")

    def other(self, rest: str = "") -> Response:  # noqa: ARG002  # Flask gives it
        raise NotFound("There is no such address.")

    def _view(self, spec: TableSpec) -> TableView:
        snapshot = self._reader.snapshot
        if not snapshot.loaded:
            raise ApiError(503, "The lake has not been read yet.", remedy="Ask again.", retry_seconds=1)
        view = snapshot.tables.get(spec.full_name, TableView())
        if view.state == "broken":
            remedy = "See the dashboard's log and docs/runbook.md."
            raise ApiError(503, view.problem or f"{spec.full_name} cannot be read.", remedy=remedy, retry_seconds=10)
        return view

    @contextmanager
    def _reading(self) -> Iterator[None]:
        if not self._reads.acquire(blocking=False):
            remedy = "Ask again, or send fewer requests at the same time."
            raise ApiError(503, f"{MOST_READS} requests are being answered.", remedy=remedy, retry_seconds=1)
        try:
            yield
        finally:
            self._reads.release()
