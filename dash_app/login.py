"""Who may see the page: who has the lake's token; from elsewhere only people who know the login.

Input: settings. Output: a Flask server that asks for name and password on every request, where they are set, or else
for the token that ``up`` makes. It answers only to its own names: a web page elsewhere cannot read it by pointing a
name of its own at this machine.
"""

from __future__ import annotations

import hmac
import math
import time
from collections.abc import Callable, Mapping

from flask import Flask, Response, request
from flask.typing import ResponseReturnValue
from flask_httpauth import HTTPBasicAuth

from dash_app.api import problems
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.servers import web_token
from financelake_assets.servers.attempts import Attempts
from financelake_assets.servers.loopback import is_loopback
from financelake_assets.servers.web_token import WebToken

_OPEN_PATHS = ("/health",)
"""What answers without login or token: probes have none, and it tells nothing but table versions."""


class OpenHostError(FinanceLakeError, ValueError):
    """The page would be open to others without a login."""


def require_login(server: Flask, settings: Settings) -> None:
    """Protect a server as its settings require.

    Raises:
        OpenHostError: other machines can reach the host, and there is no login.
    """
    login = settings.dashboard.login
    if is_loopback(settings.host):
        server.config["TRUSTED_HOSTS"] = ["localhost", "127.0.0.1", "[::1]", settings.host]
    elif login is None:
        raise OpenHostError(
            f"the dashboard would be open to everybody who can reach {settings.host}. Set "
            "FINANCELAKE_DASHBOARD__LOGIN=name:password, or keep FINANCELAKE_HOST at 127.0.0.1."
        )
    if login is None:
        key = web_token.of(settings)
        if key is not None:
            _require_key(server, key)
        return
    expected = login.get_secret_value().encode()
    attempts = Attempts(time.monotonic)
    auth = HTTPBasicAuth(realm="FinanceLake Pro")

    def right(name: str, password: str) -> bool:
        known = hmac.compare_digest(f"{name}:{password}".encode(), expected)
        if not known and (name or password):  # a browser's first request has no login
            attempts.note_failure(request.remote_addr)
        return known

    def admit() -> None:
        """Nothing to do for a visitor with the login."""

    def refused(status: int) -> ResponseReturnValue:
        return _refused(status, "The name or the password is wrong, or missing.", "Log in as on the page.", {})

    auth.verify_password(right)
    auth.error_handler(refused)
    guarded: Callable[[], ResponseReturnValue | None] = auth.login_required(admit)

    @server.before_request
    def guard() -> ResponseReturnValue | None:
        if request.path in _OPEN_PATHS:
            return None
        wait = attempts.wait_seconds(request.remote_addr)
        if wait > 0:
            return _refused(429, "Too many wrong logins.", "Try again later.", {"Retry-After": str(math.ceil(wait))})
        return guarded()


def _require_key(server: Flask, key: WebToken) -> None:
    """Let in who shows the lake's token: a browser once, in an address, and by its cookie from then on."""

    @server.before_request
    def guard() -> ResponseReturnValue | None:
        query = request.query_string.decode("latin-1")
        if request.method in ("GET", "HEAD") and key.offered(query):
            return "", 303, key.exchange(request.path, query)
        cookies, shown = request.headers.get("Cookie"), request.headers.get("Authorization")
        if request.path in _OPEN_PATHS or key.admits(cookies, shown):
            return None
        return _refused(401, web_token.WHY, web_token.REMEDY, {"WWW-Authenticate": "Bearer"})


def _refused(status: int, why: str, remedy: str, headers: Mapping[str, str]) -> ResponseReturnValue:
    """A refusal in plain text, or for a program of the API in JSON."""
    if request.path.startswith(problems.PREFIX):
        return problems.problem(status, why, remedy, headers)
    return Response(f"{why} {remedy}\n", status, dict(headers), mimetype="text/plain")
