"""Numbers, times and reasons in words, as a reader sees them.

Input: values from the tables. Output: short plain English, with times and numbers as the visitor wants them
(``preferences.py``). What is not known is a dash, never a zero.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from dash_app.preferences import chosen
from financelake_assets.gold.verdicts import HoldReason, Signal

POOLED = "*"
"""What the registry's name of an asset class as a whole begins with, as in ``*stock``."""

UNKNOWN = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"
_SPACE = "\N{NO-BREAK SPACE}"

SIGNAL_SHAPES: dict[str, str] = {Signal.BUY: "▲", Signal.SELL: "▼", Signal.HOLD: "■"}
"""A shape for each signal, so that colour is never alone."""

HOLD_REASONS: dict[str, str] = {
    HoldReason.MODEL_EXPIRED: "the model is too old to act on",
    HoldReason.INSUFFICIENT_HISTORY: "too little history to score this bar",
    HoldReason.MARKET_CLOSED: "this market does not trade on that day",
    HoldReason.OUTLIER_INPUT: "the bar itself moved too far to be trusted",
    HoldReason.BELOW_COSTS: "the expected move does not pay for the costs",
    HoldReason.LOW_CONFIDENCE: "the direction is not probable enough",
    HoldReason.RECENT_REVERSAL: "the opposite direction was due too recently",
}

ASSET_CLASSES = {"stock": "Stock", "crypto": "Crypto", "commodity": "Commodity"}

PLAYED_PROVIDERS = {
    "replay": "Replay: real history played again. These are not today's prices.",
    "synthetic": "Synthetic: generated prices. No market ever traded them.",
}
"""Providers whose bars are not live market data, and what the page says of them."""

DISCLAIMER = "A technical demonstration. Nothing here is investment advice."


def known(value: float | None) -> bool:
    """Whether a number is there and finite."""
    return value is not None and math.isfinite(value)


def price(value: float | None) -> str:
    """A price with as many decimals as its size makes useful."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    decimals = 2 if abs(value) >= 10 else 3 if abs(value) >= 1 else 5
    return _separated(f"{value:,.{decimals}f}")


def percent(value: float | None, decimals: int = 2, *, sign: bool = False) -> str:
    """A share as a percentage."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return _separated(f"{value * 100:{'+' if sign else ''}.{decimals}f}") + f"{_SPACE}%"


def number(value: float | None, decimals: int = 3, *, sign: bool = False) -> str:
    """A plain number."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return _separated(f"{value:{'+' if sign else ''},.{decimals}f}")


def count(value: int | None) -> str:
    """A whole number with thousands separated."""
    return UNKNOWN if value is None else _separated(f"{value:,}")


def _separated(text: str) -> str:
    """A number as Python writes it, with the visitor's separators and a real minus."""
    decimals, thousands = chosen().separators
    return text.translate(str.maketrans(".,-", f"{decimals}{thousands}{_MINUS}"))


def moment(value: datetime | None, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """A time in the visitor's zone; ``zone`` names it."""
    return UNKNOWN if value is None else value.astimezone(chosen().zone_info).strftime(form)


def zone(interval: str = "1m") -> str:
    """The zone that times are written in. A bar of days is of a day in UTC, wherever it is read."""
    return "UTC" if interval[-1:] in "dw" else chosen().zone


def bar_time(value: datetime | None, interval: str) -> str:
    """The start of a bar, as precisely as its interval needs, in the zone that ``zone`` names."""
    if value is None:
        return UNKNOWN
    return value.strftime("%Y-%m-%d") if interval[-1:] in "dw" else moment(value, "%Y-%m-%d %H:%M")


def age(span: timedelta) -> str:
    """A time span, roughly: ``3 s``, ``5 min``, ``2 h``, ``4 days``."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < 90:
        return f"{seconds} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    if seconds < 36 * 3600:
        return f"{round(seconds / 3600)} h"
    return f"{round(seconds / 86400)} days"


def hold_reason(code: str | None) -> str:
    """Why a signal abstains."""
    return UNKNOWN if code is None else HOLD_REASONS.get(code, code.replace("_", " "))


def freshness(overdue: int | None) -> str:
    """Whether bars are missing at a series' end."""
    if overdue is None:
        return "Played again: no calendar tells when the next bar is due."
    if overdue == 0:
        return "No bar is missing: by the market's calendar this is the newest that has ended."
    return f"{count(overdue)} bar{'s' if overdue > 1 else ''} overdue by the market's calendar."


def data_size(count: int) -> str:
    """A size of files."""
    size, unit = float(count), "B"
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return _separated(f"{size:.0f}" if size >= 10 or unit == "B" else f"{size:.1f}") + f"{_SPACE}{unit}"


def seconds(value: float | None) -> str:
    """A short duration."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return (
        f"{value * 1000:.0f}{_SPACE}ms"
        if value < 1
        else _separated(f"{value:.1f}") + f"{_SPACE}s"
        if value < 90
        else age(timedelta(0, value))
    )


def scope(symbol: str) -> str:
    """What a row of metrics is about: a symbol, a class (``*stock``), or all."""
    if symbol == "ALL":
        return "All symbols"
    return f"All {symbol.removeprefix(POOLED)}" if symbol.startswith(POOLED) else symbol
