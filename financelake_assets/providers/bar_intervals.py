"""What rows are bars of: one word for each interval, and what the steps between times say.

The closed list is ``financelake_assets.intervals``; 60m, 24h, 1440m, 7d, 1min, H1, 1D and Daily are taken for theirs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

from financelake_assets.intervals import BAR_LENGTHS, CANONICAL, TICK

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY
KNOWN = ", ".join(CANONICAL)

_LENGTHS = {"w": WEEK, "d": DAY, "h": HOUR, "m": MINUTE}
_WORDS = {
    **dict.fromkeys(("tick", "ticks", "trade", "trades", "t"), TICK),
    **dict.fromkeys(("d", "day", "daily"), "1d"),
    **dict.fromkeys(("w", "week", "weekly"), "1w"),
    **dict.fromkeys(("h", "hour", "hourly"), "1h"),
    **dict.fromkeys(("minute", "min"), "1m"),
}
_UNITS = {
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes", "t"), "m"),
    **dict.fromkeys(("h", "hr", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
    **dict.fromkeys(("w", "wk", "week", "weeks"), "w"),
}
_FEWEST_STEPS = 3
_NAMES = {length // timedelta(microseconds=1): name for name, length in BAR_LENGTHS.items()}


def canonical(text: str) -> str | None:
    """The one word for an interval, or ``None`` where it is none that bars can have (1s, 1mo)."""
    text = text.strip()
    if text in ("M", "1M", "MN", "MN1"):  # a month, unlike 1m
        return None
    plain = text.lower()
    if plain in _WORDS:
        return _WORDS[plain]
    match = re.fullmatch(r"(\d{1,5})[ -]?([a-z]+)", plain)
    number, unit = (match[1], match[2]) if match else ("", "")
    if not match and (turned := re.fullmatch(r"([mhdw])(\d{1,5})", plain)):
        number, unit = turned[2], turned[1]
    if unit not in _UNITS or int(number) == 0:
        return None
    return of_length(int(number) * _LENGTHS[_UNITS[unit]])


def of_length(micros: int) -> str | None:
    """The interval of so many microseconds, or ``None`` where there is none."""
    return _NAMES.get(micros)


def length(interval: str) -> int:
    """How long a bar is in microseconds; a tick is 0."""
    return 0 if interval == TICK else int(interval[:-1]) * _LENGTHS[interval[-1]]


def of_code(text: str) -> str | None:
    """What a column of periods means: 5 and 60 are minutes, 0 is a tick, D and W are words (Stooq, Finam)."""
    text = text.strip()
    if text.isdigit():
        return TICK if int(text) == 0 else canonical(f"{int(text)}m")
    return canonical(text)


def usual_step(times: Sequence[int]) -> int | None:
    """The step that most neighbours of sorted times have, or ``None`` where there are too few."""
    steps = [after - before for before, after in pairwise(times)]
    if len(steps) < _FEWEST_STEPS:
        return None
    counts = Counter(steps)
    most = max(counts.values())
    return min(step for step, count in counts.items() if count == most)


def guess_interval(times: Sequence[int], has_range: bool) -> str | None:
    """What the rows of one symbol are bars of, from their sorted times in microseconds; ``None`` when that is unclear.

    Args:
        times: different times of one symbol.
        has_range: whether rows have a high and a low, which a tick has not.
    """
    usual = usual_step(times)
    if usual is None:
        return None
    steps = [after - before for before, after in pairwise(times)]
    if not has_range and usual < MINUTE and (usual < SECOND or min(steps) != max(steps)):
        return TICK
    if usual >= 28 * DAY or usual < MINUTE:
        return None  # months have no fixed length
    return of_length(usual)
