"""The address bar: the state of a visitor's page, so that a view can be shared, reloaded and revisited.

Input: a path and a query string from anyone. Output: an ``Address`` with only allowed values; everything else in the
URL is ignored. The snapshot decides later whether the symbol exists.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, get_args
from urllib.parse import parse_qs, urlencode

from dash_app.data.indicators import Choice, of_address
from financelake_assets.config import ASSET_CLASSES, AssetClass
from financelake_assets.gold.verdicts import Signal

View = Literal["market", "signals", "portfolio", "model", "lake", "alerts"]
VIEWS: tuple[View, ...] = get_args(View)

BAR_COUNTS = (60, 120, 250, 500, 1_000, 10_000, 100_000)
MOST_BESIDE, MOST_NAMES = 5, 100
"""Of symbols beside one in a chart, and of symbols in a visitor's own watch list."""
DEFAULT_BARS = 120
_SYMBOL = re.compile(r"[^\s\x00-\x20,;|\"'`\\<>(){}\[\]?%*~]{1,32}")
_LONGEST = 6_000
_FILTER = re.compile(r"(?=.*\S)[^\x00-\x1f\x7f]{1,300}")
_BAR, _DIGITS = "%Y%m%d%H%M%S", re.compile(r"[0-9]{14}")
_INTERVAL = re.compile(r"[1-9]\d{0,3}[mhdw]")
_CURRENCY = re.compile(r"[A-Za-z0-9.]{1,12}")


@dataclass(frozen=True)
class Address:
    """What a visitor looks at; without a symbol or an interval the page chooses.

    ``asset_class``, ``interval`` and ``currency`` name an account. ``bar`` is the bar to be explained, ``where`` the
    filter of the watch list, ``names`` the symbols of a visitor's own list. ``span`` is the visible time of a chart
    that was moved, or the period of the portfolio. ``replay`` is the moment as of which the page shows the lake.
    ``beside`` are the symbols to compare with, in percent.
    """

    view: View = "market"
    symbol: str | None = None
    interval: str | None = None
    bars: int = DEFAULT_BARS
    signal: Signal | None = None
    asset_class: AssetClass | None = None
    currency: str | None = None
    show: tuple[Choice, ...] = ()
    bar: datetime | None = None
    where: str | None = None
    span: tuple[datetime, datetime] | None = None
    replay: datetime | None = None
    beside: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The path of this view."""
        return "/" if self.view == "market" else f"/{self.view}"

    @property
    def href(self) -> str:
        """Path and query string together, for a link."""
        return f"{self.path}{self.search}"

    @property
    def search(self) -> str:
        """The query string, with only what differs from the defaults."""
        wanted = {
            "symbol": self.symbol,
            "interval": self.interval,
            "bars": None if self.bars == DEFAULT_BARS else self.bars,
            "signal": self.signal,
            "class": self.asset_class,
            "currency": self.currency,
            "bar": None if self.bar is None else self.bar.strftime(_BAR),
            "where": self.where,
            "show": "-".join(one.token for one in self.show) or None,
            "from": None if self.span is None else self.span[0].strftime(_BAR),
            "to": None if self.span is None else self.span[1].strftime(_BAR),
            "replay": None if self.replay is None else self.replay.strftime(_BAR),
            "with": ",".join(self.beside) or None,
            "list": ",".join(self.names) or None,
        }
        present = {name: value for name, value in wanted.items() if value is not None}
        return f"?{urlencode(present)}" if present else ""


@lru_cache(1_000)
def parse(path: str | None, search: str | None) -> Address | None:
    """Read an address; ``None`` if the path is not a view."""
    name = (path or "/").strip("/") or "market"
    if name not in VIEWS:
        return None
    query = parse_qs((search or "").lstrip("?")[:_LONGEST])
    bars, signal = query.get("bars", [""])[0], query.get("signal", [""])[0]
    return Address(
        view=name,
        symbol=_allowed(query, "symbol", _SYMBOL),
        interval=_allowed(query, "interval", _INTERVAL),
        bars=int(bars) if bars in {str(count) for count in BAR_COUNTS} else DEFAULT_BARS,
        signal=Signal(signal) if signal in set(Signal) else None,
        asset_class=next((one for one in ASSET_CLASSES if one == query.get("class", [""])[0]), None),
        currency=_allowed(query, "currency", _CURRENCY),
        bar=_time(query.get("bar", [""])[0]),
        where=_allowed(query, "where", _FILTER),
        show=of_address(query.get("show", [""])[0]),
        span=_span(query),
        replay=_time(query.get("replay", [""])[0]),
        beside=_symbols(query, "with", MOST_BESIDE),
        names=_symbols(query, "list", MOST_NAMES),
    )


def _span(query: dict[str, list[str]]) -> tuple[datetime, datetime] | None:
    first, last = (_time(query.get(name, [""])[0]) for name in ("from", "to"))
    return (first, last) if first is not None and last is not None and first < last else None


def _symbols(query: dict[str, list[str]], name: str, most: int) -> tuple[str, ...]:
    wanted = query.get(name, [""])[0].split(",")
    return tuple(dict.fromkeys(one for one in wanted if _SYMBOL.fullmatch(one)))[:most]


def _time(text: str) -> datetime | None:
    """The start of a bar in UTC."""
    try:
        return datetime.strptime(text, _BAR).replace(tzinfo=UTC) if _DIGITS.fullmatch(text) else None
    except ValueError:
        return None


def _allowed(query: dict[str, list[str]], name: str, pattern: re.Pattern[str]) -> str | None:
    value = query.get(name, [""])[0]
    return value if pattern.fullmatch(value) else None
