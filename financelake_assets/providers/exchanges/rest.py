"""The network's edge of an exchange's REST interface: one question, asked with courtesy, and its answer as JSON.

Input: path and parameters. Output: the answer, or an error that says whether asking again may help.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import requests

from financelake_assets.providers.base import ProviderError
from financelake_assets.providers.courtesy import Courtesy, PassingError
from financelake_assets.providers.exchanges.exchange import UnknownPairError

_TIMEOUT = (5.0, 15.0)
_LONGEST_QUOTE = 200


class NotHereError(ProviderError):
    """The exchange does not serve the country that this machine is in."""


class Rest:
    """The public REST interface of one exchange."""

    def __init__(self, title: str, url: str, courtesy: Courtesy) -> None:
        """Set it up; nothing is sent.

        Args:
            title: the exchange's name, for messages.
            url: where it is, without a path.
            courtesy: how questions are paced.
        """
        self._title, self._url, self._courtesy = title, url.rstrip("/"), courtesy
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "FinanceLake"

    def get(self, path: str, parameters: Mapping[str, str]) -> Any:
        """Ask, as often as it takes and courtesy allows.

        Raises:
            ProviderError: what the last attempt raised.
        """
        return self._courtesy.call(lambda: self._once(path, parameters))

    def _once(self, path: str, parameters: Mapping[str, str]) -> Any:
        try:
            answer = self._session.get(self._url + path, params=dict(parameters), timeout=_TIMEOUT)
        except requests.RequestException as error:
            raise PassingError(f"{self._title} does not answer ({type(error).__name__})") from error
        wish = answer.headers.get("Retry-After")
        raise_for_status(self._title, answer.status_code, answer.text, wish, path)
        try:
            # as text, no digit of a number is lost
            return json.loads(answer.text, parse_float=str)
        except ValueError as error:
            raise PassingError(f"{self._title} answered with something that is no JSON") from error


def raise_for_status(title: str, status: int, text: str, retry_after: str | None, path: str = "") -> None:
    """Raise what an answer that is no success means; the same for REST and for a WebSocket's handshake."""
    if status in (200, 101):
        return
    wish = float(retry_after) if retry_after and retry_after.isdecimal() else None
    if status == 451:  # unavailable for legal reasons
        raise NotHereError(f"{title} does not serve the country that this machine is in (HTTP 451)", remedy=_ELSEWHERE)
    if status in (418, 429):  # too many requests; by 418 Binance says that it was told so before
        raise PassingError(f"{title} asks for fewer requests (HTTP {status})", wish)
    if status >= 500:  # its own fault
        raise PassingError(f"{title} has a fault of its own (HTTP {status})", wish)
    if status == 404 or (status == 400 and _NO_SUCH_SYMBOL in text):
        raise UnknownPairError(
            f"{title} knows nothing at {path or 'this address'} (HTTP {status}): is the symbol right?"
        )
    raise ProviderError(f"{title} refuses (HTTP {status}): {' '.join(text[:_LONGEST_QUOTE].split())}")


_NO_SUCH_SYMBOL = "-1121"
"""Binance's code for it; Coinbase answers 404, Kraken with 200."""
_ELSEWHERE = "Use another exchange for the symbol, such as kraken or coinbase; in its own terms the exchange says why."
