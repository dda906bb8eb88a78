"""What a bar is of: the closed list of intervals, the other spellings that people use, and how long each lasts.

Input: what a producer, a file or a user wrote. Output: the canonical name, or nothing. The list is closed, because
each interval is a series of its own for the model and the page: ``60m`` and ``1h`` must be one, and what has no
calendar length (``1mo``) or would be invented (``999w``) is no interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

TICK = "tick"
"""Single trades, which have no length."""

SERIES = ("symbol", "interval")
"""The columns that tell one series of bars from another."""

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}

BAR_LENGTHS: Mapping[str, timedelta] = {
    name: int(name[:-1]) * _UNITS[name[-1]]
    for name in ("1m", "2m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d", "1w")
}
"""How long the bars of each canonical interval are, shortest first."""

CANONICAL = (TICK, *BAR_LENGTHS)
"""Every canonical interval."""

PATTERN = f"^({'|'.join(CANONICAL)})$"
"""A regular expression that the canonical names match, and nothing else."""

# a capital M is a month everywhere, so a minute has none
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
"""Every spelling that is understood → its canonical interval; the canonical ones among them."""


def canonical(text: str) -> str | None:
    """The canonical name of an interval; ``None`` for one that is not on the list. Blanks around it do not matter."""
    return ALIASES.get(text.strip(" "))


def interval_length(interval: str) -> timedelta | None:
    """How long a bar is; ``None`` for ticks and for what an older silver took that is not on the list."""
    return BAR_LENGTHS.get(interval)


def bar_length(interval: str) -> timedelta:
    """How long a bar is.

    Raises:
        ValueError: it is not a canonical interval of bars.
    """
    try:
        return BAR_LENGTHS[interval]
    except KeyError:
        raise ValueError(f"{interval!r} is no interval of bars; there are {', '.join(BAR_LENGTHS)}") from None
