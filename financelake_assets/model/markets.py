"""Markets: what one champion is for, and how far one without a model is from its first training.

Input: the settings, and a few facts of each series of bars. Output: the markets, and their progress in words. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from financelake_assets.config import ModelSettings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.intervals import BAR_LENGTHS, bar_length, canonical
from financelake_assets.model.features import LOOKBACK

_STILL_COMES = timedelta(days=5)  # a closed market is not a series that has ended
_STILL_COMES_BARS = 3
_MOST_STEPS = 1_000_000
_MARK = "+"
"""Is in the name of a market with a further horizon, and in those of its versions; no other name can have it."""

FURTHER = pl.col("model_version").str.contains(_MARK, literal=True).fill_null(False)
"""Of rows that name their version: whether it is of a further horizon, so that no signal comes from the row."""

NAME = pl.when(FURTHER).then(pl.format("{}" + _MARK + "{}", "interval", "horizon")).otherwise("interval")
"""Of rows that name their version, its interval and its horizon: the name of the market."""


@dataclass(frozen=True)
class Market:
    """What one champion is for: the bars of one interval, and how many bars ahead it looks.

    Everything that belongs to a model (training, promotion, drift, roll-back) is by this key. ``further`` is ``None``
    for the market whose predictions become signals: it looks as far ahead as ``ModelSettings.horizon`` says.
    """

    interval: str
    further: int | None = None

    @property
    def name(self) -> str:
        """Its name for people, and its partition in Dagster: ``1d``, or ``1d+5`` with a further horizon."""
        return self.interval if self.further is None else f"{self.interval}{_MARK}{self.further}"

    @property
    def order(self) -> tuple[int, int]:
        """Its place in a list: markets of short bars come first; an interval of an older release comes last."""
        return [*BAR_LENGTHS, self.interval].index(self.interval), self.further or 0

    def settings(self, lake: ModelSettings, **more: Any) -> ModelSettings:
        """A lake's settings as they are for this market's model.

        Args:
            lake: the settings of all markets.
            more: settings of one training alone.

        Raises:
            ValidationError: a value is out of its range.
        """
        own = {} if self.further is None else {"horizon": self.further, "further_horizons": ()}
        return ModelSettings.model_validate({**lake.model_dump(), **more, **own, "interval": self.interval})


def every(settings: ModelSettings) -> tuple[Market, ...]:
    """Every market that there can be in a lake, that of the shortest bars first."""
    return tuple(market for interval in BAR_LENGTHS for market in of_interval(interval, settings))


def of_interval(interval: str, settings: ModelSettings) -> tuple[Market, ...]:
    """The markets of an interval, that of the signals first."""
    return Market(interval), *(Market(interval, further) for further in settings.further_horizons)


def of_version(version: str, interval: str, horizon: int) -> Market:
    """The market of a registered version; one of an earlier release is of the market of the signals."""
    return Market(interval, horizon if _MARK in version else None)


def of_training(used: ModelSettings, lake: ModelSettings) -> Market:
    """The market of a training.

    Args:
        used: the settings that it was made with.
        lake: the settings of all markets.
    """
    return Market(used.interval, used.horizon if used.horizon in lake.further_horizons else None)


def version_prefix(learner: str, market: Market) -> str:
    """What the name of a version of a market begins with, which ``FURTHER`` and ``of_version`` read: ``rf+5``.

    Args:
        learner: what learnt it, in small letters, digits and hyphens.
        market: of the version.
    """
    return learner if market.further is None else f"{learner}{_MARK}{market.further}"


def has_model(settings: ModelSettings, market: Market) -> bool:
    """Whether the settings want a model for a market."""
    return settings.has_model(market.interval) and market in of_interval(market.interval, settings)


def wanted(settings: ModelSettings, markets: Iterable[Market]) -> list[Market]:
    """Those of the markets that the settings want a model for, in their order."""
    return sorted((one for one in markets if has_model(settings, one)), key=lambda one: one.order)


def named(text: str) -> Market:
    """The market that a user names by its interval, in any accepted spelling, and by a further horizon: ``1d+5``.

    Raises:
        FinanceLakeError: there is no such interval of bars, or what follows is no number of bars.
    """
    interval, mark, further = text.partition(_MARK)
    found = canonical(interval)
    if found is None or found not in BAR_LENGTHS:
        raise FinanceLakeError(f"{text!r} is no interval of bars.", remedy=f"There are {', '.join(BAR_LENGTHS)}.")
    if mark and not (further.isdecimal() and int(further)):
        raise FinanceLakeError(f"{further!r} is no number of bars.", remedy="Name a further horizon so: 1d+5.")
    return Market(found, int(further) if mark else None)


def asked(text: str, settings: ModelSettings) -> Market:
    """The market that a user wants to train; see ``named``.

    Raises:
        FinanceLakeError: there is no such market, or the settings have not its horizon.
    """
    market = named(text)
    if market not in of_interval(market.interval, settings):
        raise FinanceLakeError(
            f"{market.further} is none of the further horizons.",
            remedy=f"Add it: FINANCELAKE_MODEL__FURTHER_HORIZONS='[{market.further}]', and start the lake again.",
        )
    return market


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


def progress(series: Sequence[Series], labelled: int, settings: ModelSettings, market: Market, now: datetime) -> str:
    """How far a market is from its first training, in words: ``312 of 500 labelled bars; about 16 hours to go``.

    Args:
        series: of the market.
        labelled: how many labelled bars it has.
        settings: how many it needs, and the horizon.
        market: which one.
        now: the time of the question.
    """
    count = f"{min(labelled, settings.min_rows):,} of {settings.min_rows:,} labelled bars"
    if labelled >= settings.min_rows:
        return count
    if not series:
        return f"{count}; there are no bars of {market.interval}"
    horizon = settings.horizon if market.further is None else market.further
    left = time_to_go(series, labelled, settings.min_rows, horizon, bar_length(market.interval), now)
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
