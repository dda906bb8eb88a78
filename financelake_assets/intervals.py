"""Intervals of bars: the closed list, the other accepted spellings, and the length of each.

Input: the text of a producer, a file or a user. Output: the canonical name, or nothing. The list is closed, because
each interval is a separate series for the model and the page: ``60m`` and ``1h`` must be the same. A text without a
fixed length (``1mo``) or that nobody uses (``999w``) is not an interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

TICK = "tick"
"""Single trades, which have no length."""

SERIES = ("symbol", "interval")
"""The columns that identify a series of bars."""

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}

BAR_LENGTHS: Mapping[str, timedelta] = {
    name: int(name[:-1]) * _UNITS[name[-1]]
    for name in ("1m", "2m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d", "1w")
}
"""Length of the bars of each canonical interval, shortest first."""

CANONICAL = (TICK, *BAR_LENGTHS)
"""Every canonical interval."""

PATTERN = f"^({'|'.join(CANONICAL)})$"
"""A regular expression that matches exactly the canonical names."""

# a capital M usually means a month, so minutes have no capital spelling
_SPELLINGS = {
    "m": ("m", "min", "mins", "minute", "minutes", "Min", "Minute"),
    "h": ("h", "H", "hr", "hour", "hours", "Hour"),
    "d": ("d", "D", "day", "days", "Day"),
    "w": ("w", "W", "wk", "week", "weeks", "Week"),
}


def _aliases() -> Iterator[tuple[str, str]]:
    for name, length in BAR_LENGTHS.items():
        for unit, spellings in _SPELLINGS.items():
            if length % _UNITS[unit] == timedelta(0):
                yield from ((f"{length // _UNITS[unit]}{spelling}", name) for spelling in spellings)


ALIASES: Mapping[str, str] = {TICK: TICK, **dict(_aliases())}
"""Every accepted spelling → its canonical interval; includes the canonical names."""


def canonical(text: str) -> str | None:
    """The canonical name of an interval; ``None`` if it is not on the list. Spaces around it are ignored."""
    return ALIASES.get(text.strip(" "))


def interval_length(interval: str) -> timedelta | None:
    """Length of a bar; ``None`` for ticks and for intervals of older releases that are not on the list."""
    return BAR_LENGTHS.get(interval)


def bar_length(interval: str) -> timedelta:
    """Length of a bar.

    Raises:
        ValueError: it is not a canonical interval of bars.
    """
    try:
        return BAR_LENGTHS[interval]
    except KeyError:
        raise ValueError(f"{interval!r} is no interval of bars; there are {', '.join(BAR_LENGTHS)}") from None
