"""Markets: what one champion is for, and how far one without a model is from its first training.

Input: the settings, and a few facts of each series of bars. Output: the markets, and their progress in words. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from financelake_assets.config import ModelSettings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.intervals import BAR_LENGTHS, bar_length, canonical
from financelake_assets.model.features import LOOKBACK

_STILL_COMES = timedelta(days=5)  # a closed market is not a series that has ended
_STILL_COMES_BARS = 3
_MOST_STEPS = 1_000_000


@dataclass(frozen=True)
class Market:
    """What one champion is for: the bars of one interval.

    Everything that belongs to a model (training, promotion, drift, roll-back) is by this key.
    """

    interval: str

    @property
    def name(self) -> str:
        """Its name for people, and its partition in Dagster."""
        return self.interval

    @property
    def order(self) -> int:
        """Its place in a list: markets of short bars come first; an interval of an older release comes last."""
        return [*BAR_LENGTHS, self.interval].index(self.interval)


ALL = tuple(Market(interval) for interval in BAR_LENGTHS)
"""Every market there can be, that of the shortest bars first."""


def wanted(settings: ModelSettings, markets: Iterable[Market]) -> list[Market]:
    """Those of the markets that the settings want a model for, in their order."""
    return sorted((one for one in markets if settings.has_model(one.interval)), key=lambda one: one.order)


def named(text: str) -> Market:
    """The market that a user names by its interval, in any accepted spelling.

    Raises:
        FinanceLakeError: there is no such interval of bars.
    """
    found = canonical(text)
    if found is None or found not in BAR_LENGTHS:
        raise FinanceLakeError(f"{text!r} is no interval of bars.", remedy=f"There are {', '.join(BAR_LENGTHS)}.")
    return Market(found)


@dataclass(frozen=True)
class Series:
    """A series of bars: their number, the time of the newest, and the usual time from one bar to the next."""

    bars: int
    newest: datetime
    spacing: timedelta


def at_most_labelled(bars: int, horizon: int) -> int:
    """How many bars of a series can be labelled: not its first ``LOOKBACK``, nor those whose horizon has not passed."""
    return max(0, bars - LOOKBACK - horizon)


def time_to_go(
    series: Sequence[Series], labelled: int, needed: int, horizon: int, length: timedelta, now: datetime
) -> timedelta | None:
    """How long until there are enough labelled bars, if bars come as they came; ``None`` if none come any more.

    Args:
        series: of one market.
        labelled: how many labelled bars there are.
        needed: how many there must be.
        horizon: in bars.
        length: of a bar.
        now: the time of the question.
    """
    recent = max(_STILL_COMES, _STILL_COMES_BARS * length)
    live = [one for one in series if now - one.newest <= recent]
    if not live:
        return None
    before = sum(at_most_labelled(one.bars, horizon) for one in live)

    def enough(steps: int) -> bool:
        gained = sum(at_most_labelled(one.bars + steps, horizon) for one in live) - before
        return labelled + gained >= needed

    low, high = 0, 1
    while not enough(high) and high < _MOST_STEPS:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high * min(max(one.spacing, length) for one in live)


def progress(series: Sequence[Series], labelled: int, settings: ModelSettings, interval: str, now: datetime) -> str:
    """How far a market is from its first training, in words: ``312 of 500 labelled bars; about 16 hours to go``.

    Args:
        series: of the market.
        labelled: how many labelled bars it has.
        settings: how many it needs, and the horizon.
        interval: of the market.
        now: the time of the question.
    """
    count = f"{min(labelled, settings.min_rows):,} of {settings.min_rows:,} labelled bars"
    if labelled >= settings.min_rows:
        return count
    if not series:
        return f"{count}; there are no bars of {interval}"
    left = time_to_go(series, labelled, settings.min_rows, settings.horizon, bar_length(interval), now)
    if left is None:
        newest = max(one.newest for one in series)
        return f"{count}; no bar came since {newest:%Y-%m-%d %H:%M} UTC"
    return f"{count}; about {in_words(left)} to go"


def in_words(length: timedelta) -> str:
    """A length of time for people, rounded to one unit: ``16 hours``."""
    seconds = length.total_seconds()
    for unit, size in (("year", 365.25 * 86_400), ("month", 30.44 * 86_400), ("day", 86_400), ("hour", 3_600)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}s"
    minutes = max(1, round(seconds / 60))
    return f"{minutes} minute{'' if minutes == 1 else 's'}"
