"""Who may see the page: everybody on this machine; from elsewhere only people who know the login.

Enters: settings. Leaves: a Flask server that asks for name and password on every request, where they are set, and
answers only to its own names: a web page elsewhere cannot read it by pointing a name of its own at this machine.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable

from flask import Flask, request
from flask.typing import ResponseReturnValue
from flask_httpauth import HTTPBasicAuth

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError

_OPEN_PATHS = ("/health",)
"""What answers without a login: probes have none, and it tells nothing but table versions."""


class OpenHostError(FinanceLakeError, ValueError):
    """The page would be open to others without a login."""


def require_login(server: Flask, settings: Settings) -> None:
    """Guard a server as its settings demand.

    Raises:
        OpenHostError: the host can be reached from elsewhere and there is no login.
    """
    login = settings.dashboard.login
    if is_loopback(settings.host):
        server.config["TRUSTED_HOSTS"] = ["localhost", "127.0.0.1", "[::1]", settings.host]
    elif login is None:
        raise OpenHostError(
            f"the dashboard would be open to everybody who reaches {settings.host}. Set "
            "FINANCELAKE_DASHBOARD__LOGIN=name:password, or leave FINANCELAKE_HOST at 127.0.0.1."
        )
    if login is None:
        return
    expected = login.get_secret_value().encode()
    auth = HTTPBasicAuth(realm="FinanceLake Pro")

    def right(name: str, password: str) -> bool:
        return hmac.compare_digest(f"{name}:{password}".encode(), expected)

    def admit() -> None:
        """Nothing more to do for a visitor who knows the login."""

    auth.verify_password(right)
    guarded: Callable[[], ResponseReturnValue | None] = auth.login_required(admit)

    @server.before_request
    def guard() -> ResponseReturnValue | None:
        return None if request.path in _OPEN_PATHS else guarded()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
