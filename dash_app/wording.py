"""Numbers, times and reasons in words, as a reader sees them.

Input: values from the tables. Output: short plain English, with times and numbers in the visitor's format
(``preferences.py``). An unknown value is a dash, never a zero.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from dash_app.preferences import chosen
from financelake_assets.gold.verdicts import RULE, HoldReason, Signal

POOLED = "*"
"""The prefix of the registry's name for a whole asset class, as in ``*stock``."""

UNKNOWN = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"
_SPACE = "\N{NO-BREAK SPACE}"

SIGNAL_SHAPES: dict[str, str] = {Signal.BUY: "▲", Signal.SELL: "▼", Signal.HOLD: "■"}
"""A shape for each signal, so that colour is never the only difference."""

HOLD_REASONS: dict[str, str] = {
    HoldReason.MODEL_EXPIRED: "the model is too old to use",
    HoldReason.INSUFFICIENT_HISTORY: "too little history to score this bar",
    HoldReason.MARKET_CLOSED: "this market does not trade on that day",
    HoldReason.OUTLIER_INPUT: "the bar itself moved too far to be trusted",
    HoldReason.UNLIKE_TRAINING: "the bar is unlike all that the model learnt",
    HoldReason.BELOW_COSTS: "the expected move is smaller than the costs",
    HoldReason.LOW_CONFIDENCE: "the direction is not probable enough",
    HoldReason.RECENT_REVERSAL: "a bar shortly before had the opposite signal",
}

ASSET_CLASSES = {"stock": "Stock", "crypto": "Crypto", "commodity": "Commodity"}

PLAYED_PROVIDERS = {
    "replay": "Replay: real history, replayed. These are not today's prices.",
    "synthetic": "Synthetic: generated prices, not those of a market.",
}
"""Providers whose bars are not live market data, and the page's note about each."""

DISCLAIMER = "A technical demonstration. Nothing here is investment advice."


def known(value: float | None) -> bool:
    """Whether a number is known and finite."""
    return value is not None and math.isfinite(value)


def price(value: float | None) -> str:
    """A price with a number of decimals that fits its size."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    decimals = 2 if abs(value) >= 10 else 3 if abs(value) >= 1 else 5
    return _separated(f"{value:,.{decimals}f}")


def percent(value: float | None, decimals: int = 2, *, sign: bool = False) -> str:
    """A share as a percentage."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return _separated(f"{value * 100:{'+' if sign else ''}.{decimals}f}") + f"{_SPACE}%"


def reach(low: float | None, high: float | None, decimals: int = 2, *, sign: bool = False) -> str:
    """An interval of shares as percentages; no text if it is unknown."""
    if not known(low) or not known(high):
        return ""
    return f"{percent(low, decimals, sign=sign)} to {percent(high, decimals, sign=sign)}"


def number(value: float | None, decimals: int = 3, *, sign: bool = False) -> str:
    """A plain number."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return _separated(f"{value:{'+' if sign else ''},.{decimals}f}")


def count(value: int | None) -> str:
    """A whole number with thousands separated."""
    return UNKNOWN if value is None else _separated(f"{value:,}")


def _separated(text: str) -> str:
    """A number in Python's format, with the visitor's separators and a real minus."""
    decimals, thousands = chosen().separators
    return text.translate(str.maketrans(".,-", f"{decimals}{thousands}{_MINUS}"))


def moment(value: datetime | None, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """A time in the visitor's zone; ``zone`` gives the name of the zone."""
    return UNKNOWN if value is None else value.astimezone(chosen().zone_info).strftime(form)


def zone(interval: str = "1m") -> str:
    """The zone of the shown times. A daily bar belongs to a day in UTC, in every zone."""
    return "UTC" if interval[-1:] in "dw" else chosen().zone


def bar_time(value: datetime | None, interval: str) -> str:
    """The start of a bar, as precise as its interval needs, in the zone that ``zone`` names."""
    if value is None:
        return UNKNOWN
    return value.strftime("%Y-%m-%d") if interval[-1:] in "dw" else moment(value, "%Y-%m-%d %H:%M")


def age(span: timedelta) -> str:
    """A rough time span: ``3 s``, ``5 min``, ``2 h``, ``4 days``."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < 90:
        return f"{seconds} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    if seconds < 36 * 3600:
        return f"{round(seconds / 3600)} h"
    return f"{round(seconds / 86400)} days"


def hold_reason(code: str | None) -> str:
    """The reason of a HOLD, or of another signal that a rule of the user gave, in words."""
    if code is not None and code.startswith(RULE):
        return f"your rule {code.removeprefix(RULE)}"
    return UNKNOWN if code is None else HOLD_REASONS.get(code, code.replace("_", " "))


def freshness(overdue: int | None, provider: str) -> str:
    """Whether the newest bars of a series are missing."""
    if overdue is None and provider in PLAYED_PROVIDERS:
        return "Replay: no calendar says when the next bar is due."
    if overdue is None:
        return "History that was loaded: no bar is late."
    if overdue == 0:
        return "No bar is missing by the market's calendar."
    return f"{count(overdue)} bar{'s' if overdue > 1 else ''} overdue by the market's calendar."


def data_size(count: int) -> str:
    """A file size."""
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
    """The scope of a row of metrics: a symbol, a class (``*stock``), or all symbols."""
    if symbol == "ALL":
        return "All symbols"
    return f"All {symbol.removeprefix(POOLED)}" if symbol.startswith(POOLED) else symbol
