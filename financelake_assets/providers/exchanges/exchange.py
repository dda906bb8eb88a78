"""What every exchange is here: how it is spoken to, as pure functions, apart from the network.

Input: frames of its WebSocket and answers of its REST interface. Output: trades, candles, and what it says of symbols
and of itself. One module an exchange; ``stream.py`` and ``rest.py`` are the network's edge that they share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from financelake_assets.intervals import bar_length
from financelake_assets.providers.base import ProviderError
from financelake_assets.providers.exchanges.trade_ids import Hole, Trade

Get = Callable[[str, Mapping[str, str]], Any]
"""Asks the REST interface: path and parameters in, JSON out, its numbers with a decimal point as text."""


def steps_of(*intervals: str) -> Mapping[str, int]:
    """The length of each interval in seconds, as exchanges count."""
    return {interval: bar_length(interval) // timedelta(seconds=1) for interval in intervals}


class Candle(NamedTuple):
    """A bar; ``time`` is its start in seconds since 1970."""

    time: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Page(NamedTuple):
    """Some of the trades of a hole; ``reached``: the answer went as far as the hole does."""

    trades: list[Trade]
    reached: bool


@dataclass
class Heard:
    """What some frames said.

    ``refused``: why a symbol is not followed. ``newest``: the number of its last trade, as the exchange tells it.
    """

    trades: list[Trade] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)
    frames: int = 0


class Exchange(Protocol):
    """One exchange."""

    name: str
    title: str
    steps: Mapping[str, int]
    """The intervals of its candles, in seconds."""
    kept_candles: int | None
    """How many of the newest candles it keeps; ``None`` is all."""

    def subscriptions(self, symbols: Sequence[str]) -> list[str]:
        """The frames that ask for the trades of symbols."""
        ...

    def hear(self, text: str, heard: Heard) -> None:
        """Add what a frame says; what cannot be understood is odd."""
        ...

    def page(self, symbol: str, hole: Hole, get: Get) -> Page:
        """Ask once for trades of a hole.

        Raises:
            ProviderError: it cannot be had.
        """
        ...

    def candles(self, symbol: str, interval: str, start: datetime | None, end: datetime, get: Get) -> Iterator[Candle]:
        """Candles whose start lies between two times, in any order; the last one may not be over.

        Raises:
            ProviderError: they cannot be had.
        """
        ...


class UnknownPairError(ProviderError):
    """The exchange has no such pair."""


def micros(seconds: object) -> int:
    """Seconds since 1970, written as a decimal number, as microseconds. What is smaller is cut off, not rounded."""
    return int(Decimal(str(seconds)) * 1_000_000)


def micros_of(text: str) -> int:
    """An ISO time in UTC as microseconds since 1970; what is smaller is cut off."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} names no zone")
    return int(at.timestamp()) * 1_000_000 + at.microsecond


def positive(value: object) -> float:
    """A price or a size.

    Raises:
        ValueError: it is no finite number above zero.
    """
    number = float(str(value))
    if not 0 < number < float("inf"):
        raise ValueError(f"{value!r} is no price and no size")
    return number
