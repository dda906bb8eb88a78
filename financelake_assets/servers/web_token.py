"""The key to a lake's pages: a token that an address carries once, and a cookie from then on, as Jupyter does it.

Input: the token. Output: whether a request may pass, and the answer that puts a cookie in the place of the token in an
address. A program sends the token in a header. Cookies know no ports, so FinanceLake Pro and Dagster's page, which
share the token, share the cookie; two lakes on one machine do not.
"""

from __future__ import annotations

import hashlib
import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode

from financelake_assets.config import Settings

PARAMETER = "token"
"""The part of an address that carries the token."""

WHY = "This page needs the lake's token."
REMEDY = (
    "Open the address that `financelake up` printed; on a lake that runs, `financelake up` prints it again. A program "
    "sends the header `Authorization: Bearer TOKEN`."
)
REFUSAL = f"{WHY} {REMEDY}"
"""What a visitor without token and cookie is told."""

_A_MONTH = 30 * 24 * 3600


class WebToken:
    """Knows who has the token.

    Args:
        token: the secret.
    """

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        # neither can be computed from the other, so a cookie that leaks opens no address
        self.cookie_name = f"financelake-{self._derived(b'name')[:8]}"
        self._cookie = self._derived(b"cookie")

    def _derived(self, what: bytes) -> str:
        return hmac.new(self._token, what, hashlib.sha256).hexdigest()

    def admits(self, cookies: str | None, authorization: str | None) -> bool:
        """Whether a request's headers ``Cookie`` and ``Authorization`` show that its sender knows the token."""
        scheme, _, shown = (authorization or "").partition(" ")
        if scheme.lower() == "bearer" and self._same(shown.strip(), self._token):
            return True
        return any(self._same(value, self._cookie.encode()) for value in self._values(cookies or ""))

    def _values(self, cookies: str) -> list[str]:
        # one by one: a cookie of another program that breaks the rules must not hide this one
        found = []
        for pair in cookies.split(";"):
            try:
                jar = SimpleCookie(pair.strip())
            except CookieError:
                continue
            if self.cookie_name in jar:
                found.append(jar[self.cookie_name].value)
        return found

    def offered(self, query: str) -> bool:
        """Whether an address's query string carries the token."""
        return any(name == PARAMETER and self._same(value, self._token) for name, value in _pairs(query))

    def exchange(self, path: str, query: str) -> dict[str, str]:
        """Headers of the redirect to the same address without the token, which hands out the cookie."""
        rest = urlencode([pair for pair in _pairs(query) if pair[0] != PARAMETER])
        place = "/" + quote(path.lstrip("/\\"))  # two slashes would lead to another server
        return {
            "Location": f"{place}?{rest}" if rest else place,
            "Set-Cookie": f"{self.cookie_name}={self._cookie}; Path=/; Max-Age={_A_MONTH}; HttpOnly; SameSite=Strict",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }

    def _same(self, shown: str, known: bytes) -> bool:
        return hmac.compare_digest(shown.encode(errors="replace"), known)


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        return []


def of(settings: Settings) -> WebToken | None:
    """The key of a lake; ``None`` where its pages are open to every user of the machine."""
    return None if settings.web_token is None else WebToken(settings.web_token.get_secret_value())


def opening(url: str, settings: Settings) -> str:
    """The address for a browser that has no cookie yet. Holds the token: for the lake's owner alone."""
    if settings.web_token is None:
        return url
    return f"{url}/?{urlencode({PARAMETER: settings.web_token.get_secret_value()})}"


def headers(settings: Settings) -> dict[str, str]:
    """What a program sends to the lake's pages."""
    if settings.web_token is None:
        return {}
    return {"Authorization": f"Bearer {settings.web_token.get_secret_value()}"}
