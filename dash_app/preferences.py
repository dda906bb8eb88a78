"""A visitor's choices that the server must know: time zone, number format, colour scheme and candle colours.

They are stored in cookies.

Input: cookies from anyone. Output: the ``Preferences`` of the current request, with only allowed values; other values
in a cookie are ignored. Outside a request they are the defaults: UTC, and ``1,234.56``.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

from flask import Flask, request

Numbers = Literal["point", "comma", "space"]
"""The decimal separator; ``space`` means a space between thousands and a decimal comma."""

NUMBERS: dict[Numbers, str] = {"point": "1,234.56", "comma": "1.234,56", "space": "1\N{NARROW NO-BREAK SPACE}234,56"}
_SEPARATORS: dict[Numbers, tuple[str, str]] = {
    "point": (".", ","),
    "comma": (",", "."),
    "space": (",", "\N{NARROW NO-BREAK SPACE}"),
}
Theme = Literal["system", "light", "dark"]
Candles = Literal["teal", "green", "red", "blue"]

THEMES: dict[Theme, str] = {"system": "As the system", "light": "Light", "dark": "Dark"}
CANDLES: dict[Candles, str] = {
    "teal": "Teal up, vermilion down",
    "green": "Green up, red down",
    "red": "Red up, green down",
    "blue": "Blue up, orange down",
}
ZONE_COOKIE, NUMBERS_COOKIE = "financelake-zone", "financelake-numbers"
THEME_COOKIE, CANDLES_COOKIE = "financelake-theme", "financelake-candles"


@dataclass(frozen=True)
class Preferences:
    """``zone`` is an IANA name such as ``Europe/Berlin``."""

    zone: str = "UTC"
    numbers: Numbers = "point"
    theme: Theme = "system"
    candles: Candles = "teal"

    @property
    def zone_info(self) -> ZoneInfo:
        """The time zone's rules."""
        return ZoneInfo(self.zone)

    @property
    def separators(self) -> tuple[str, str]:
        """The separators of decimals and of thousands."""
        return _SEPARATORS[self.numbers]


_DEFAULT = Preferences()
_chosen: ContextVar[Preferences] = ContextVar("preferences", default=_DEFAULT)


def chosen() -> Preferences:
    """The preferences of the current request's visitor."""
    return _chosen.get()


def choose(preferences: Preferences) -> None:
    """Use these preferences from now on, in this thread."""
    _chosen.set(preferences)


def parse(zone: str | None, numbers: str | None, theme: str | None = None, candles: str | None = None) -> Preferences:
    """Read the cookies."""
    return Preferences(
        zone if zone in zones() else _DEFAULT.zone,
        next((one for one in NUMBERS if one == numbers), _DEFAULT.numbers),
        next((one for one in THEMES if one == theme), _DEFAULT.theme),
        next((one for one in CANDLES if one == candles), _DEFAULT.candles),
    )


@lru_cache(maxsize=1)
def zones() -> frozenset[str]:
    """Every known time zone."""
    return frozenset(available_timezones())


def follow_visitors(server: Flask) -> None:
    """Answer every request with its visitor's preferences."""

    @server.before_request
    def remember() -> None:
        names = (ZONE_COOKIE, NUMBERS_COOKIE, THEME_COOKIE, CANDLES_COOKIE)
        choose(parse(*(request.cookies.get(name) for name in names)))
