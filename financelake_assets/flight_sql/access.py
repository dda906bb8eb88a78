"""Who may ask the server: who has the lake's token, or where a login is set, who knows that.

Input: the header ``authorization`` of a call. Output: what the call's answer carries, or a refusal. A driver with a
form for a user and a password sends both once, and from then on the key that the first answer gave it. Where the lake
has a token and no login, the password is the token, and the user does not matter.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pyarrow import flight

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.servers.attempts import Attempts
from financelake_assets.servers.loopback import is_loopback

REFUSAL = (
    "This server needs the lake's token (as `token`, or as the password of any user), or the login of FinanceLake Pro "
    "where one is set"
)
_EVERYBODY = ""
"""A call does not tell its sender, so all wrong logins count together. Who has a key already is not held up."""


class OpenServerError(FinanceLakeError, ValueError):
    """The server would be open to others."""


class Access(flight.ServerMiddlewareFactory):  # type: ignore[misc]  # pyarrow has no types
    """Looks at each call before it is answered.

    Args:
        settings: the lake.

    Raises:
        OpenServerError: there is neither token nor login, or passwords would cross a network in plain text.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        login, token = settings.dashboard.login, settings.web_token
        secret = login if login is not None else token
        if secret is None:
            raise OpenServerError(
                "The SQL server needs a token or a login, and this lake has neither.",
                remedy="Start it by `financelake up`, which makes a token, or set FINANCELAKE_DASHBOARD__LOGIN.",
            )
        if not is_loopback(settings.host) and settings.sql_server.tls_file is None:
            raise OpenServerError(
                f"Others can reach {settings.host}, and the SQL server would speak to them without TLS.",
                remedy="Set FINANCELAKE_SQL_SERVER__TLS_FILE, or keep FINANCELAKE_HOST at 127.0.0.1.",
            )
        self._secret, self._is_login = secret.get_secret_value().encode(), login is not None
        # the secret cannot be computed from it, and it outlives a restart of the server, as open connections do
        self._key = hmac.new(self._secret, b"the sql server's key", hashlib.sha256).hexdigest().encode()
        self._attempts = Attempts(time.monotonic)

    def start_call(self, info: Any, headers: Mapping[str, Sequence[str]]) -> flight.ServerMiddleware | None:  # noqa: ARG002
        """Admit a call, or refuse it."""
        shown = next(iter(headers.get("authorization", ())), "")
        scheme, _, value = shown.partition(" ")
        if scheme.lower() == "bearer" and self._is_key(value.strip().encode()):
            return None
        if scheme.lower() != "basic":
            raise flight.FlightUnauthenticatedError(REFUSAL)
        wait = self._attempts.wait_seconds(_EVERYBODY)
        if wait > 0:
            raise flight.FlightUnauthenticatedError(f"Too many wrong logins. Try again in {wait:.0f} s.")
        if not self._is_login_or_token(value.strip()):
            self._attempts.note_failure(_EVERYBODY)
            raise flight.FlightUnauthenticatedError(f"The name or the password is wrong. {REFUSAL}")
        return _GivesKey(self._key.decode())

    def _is_key(self, shown: bytes) -> bool:
        is_token = not self._is_login and hmac.compare_digest(shown, self._secret)
        return hmac.compare_digest(shown, self._key) or is_token

    def _is_login_or_token(self, encoded: str) -> bool:
        try:
            pair = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)  # Go's driver leaves them out
        except (binascii.Error, ValueError):
            return False
        known = pair if self._is_login else pair.partition(b":")[2]
        return hmac.compare_digest(known, self._secret)


class _GivesKey(flight.ServerMiddleware):  # type: ignore[misc]
    """Puts the key into the answer."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self._key = key

    def sending_headers(self) -> dict[str, str]:
        """Headers of the answer."""
        return {"authorization": f"Bearer {self._key}"}


class Handshake(flight.ServerAuthHandler):  # type: ignore[misc]
    """Lets the handshake end at once: the middleware has looked at its headers."""

    def authenticate(self, outgoing: Any, incoming: Any) -> None:
        """Nothing more to ask."""

    def is_valid(self, token: bytes) -> bytes:  # noqa: ARG002  # the signature of pyarrow
        """Everybody whom the middleware admitted."""
        return b""


def certificates(settings: Settings) -> list[tuple[bytes, bytes]] | None:
    """Certificate and key for the server; ``None`` where it speaks without TLS.

    Raises:
        FinanceLakeError: the file cannot be read.
    """
    file = settings.sql_server.tls_file
    if file is None:
        return None
    try:
        content = file.read_bytes()
    except OSError as error:
        raise FinanceLakeError(
            f"The SQL server's certificate {file} cannot be read: {error.strerror or error}.",
            remedy="FINANCELAKE_SQL_SERVER__TLS_FILE names a PEM file of the private key and the certificate.",
        ) from error
    return [(content, content)]  # each reader takes its own part of the file


def location(settings: Settings) -> str:
    """Where the server listens, as Flight writes it."""
    scheme = "grpc" if settings.sql_server.tls_file is None else "grpc+tls"
    return f"{scheme}://{settings.host}:{settings.sql_server_port}"
