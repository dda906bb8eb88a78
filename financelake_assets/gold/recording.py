"""Recording outcomes: the edge between the scorecard's pure functions and the tables.

Enters: the keys of changed silver bars. Leaves: gold.scorecard with every prediction scored once whose horizon is over,
and gold.corrections. Doing it again changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import NamedTuple

import polars as pl

from financelake_assets.config import Settings
from financelake_assets.gold.schema import CORRECTIONS, PREDICTIONS, SCORECARD, SIGNALS
from financelake_assets.gold.scorecard import KEY, SERIES, VERSIONS, corrections, mature
from financelake_assets.gold.tables import insert, scan
from financelake_assets.model.features import LOOKBACK, reach
from financelake_assets.silver.schema import BARS

_BAR_COLUMNS = (*SERIES, "event_time", "close", "adj_close", "trades", "topic", "partition", "offset")


@dataclass(frozen=True)
class Recorded:
    """How many rows were new."""

    scored: int
    corrected: int


def record(settings: Settings, changed: pl.DataFrame, longest_horizon: int) -> Recorded:
    """Score what has matured by a set of changed bars, and record which known outcomes they changed.

    Args:
        settings: the lake.
        changed: symbol, interval and event_time of the bars.
        longest_horizon: of all predictions that there are.
    """
    scored = corrected = 0
    for (interval,), bars in changed.group_by("interval"):
        span = reach(str(interval)) * ceil((longest_horizon + 1) / LOOKBACK)
        found = _record(settings, _Place(str(interval), bars["symbol"].unique().to_list(), *_bounds(bars)), span)
        scored, corrected = scored + found.scored, corrected + found.corrected
    return Recorded(scored, corrected)


class _Place(NamedTuple):
    """Where bars changed: series and times."""

    interval: str
    symbols: list[str]
    first: datetime
    last: datetime

    def between(self, first: datetime, last: datetime) -> pl.Expr:
        series = (pl.col("interval") == self.interval) & pl.col("symbol").is_in(self.symbols)
        return series & pl.col("event_time").is_between(first, last)


def _record(settings: Settings, place: _Place, span: timedelta) -> Recorded:
    # a bar is the outcome of predictions before it, and those of its own time may have come late
    touched = place.between(place.first - span, place.last)
    predictions = scan(PREDICTIONS, settings).filter(touched).collect()
    if predictions.is_empty():
        return Recorded(0, 0)
    bars = scan(BARS, settings).filter(place.between(place.first - span, place.last + span)).select(_BAR_COLUMNS)
    signals = scan(SIGNALS, settings).filter(touched).collect()
    scorecard = scan(SCORECARD, settings).filter(touched).collect()
    now = datetime.now(UTC)
    outcome = mature(predictions, signals, bars.collect(), now)
    scored = insert(SCORECARD, settings, outcome.join(scorecard, on=KEY, how="anti"))
    if outcome.join(scorecard, on=KEY, how="semi").join(scorecard, on=[*KEY, *VERSIONS], how="anti").is_empty():
        return Recorded(scored, 0)
    recorded = scan(CORRECTIONS, settings).filter(touched).collect()
    return Recorded(scored, insert(CORRECTIONS, settings, corrections(scorecard, recorded, outcome, now)))


def unscored(settings: Settings, bars_version: int) -> pl.DataFrame:
    """The predictions that had matured in a version of silver.bars and are not in the scorecard.

    Args:
        settings: the lake.
        bars_version: the Delta version of silver.bars.
    """
    bars = scan(BARS, settings, bars_version).select(_BAR_COLUMNS).collect()
    predictions, signals = scan(PREDICTIONS, settings).collect(), scan(SIGNALS, settings).collect()
    outcome = mature(predictions, signals, bars, datetime.now(UTC))
    return outcome.join(scan(SCORECARD, settings).select(KEY).collect(), on=KEY, how="anti")


def _bounds(changed: pl.DataFrame) -> tuple[datetime, datetime]:
    first, last = changed["event_time"].min(), changed["event_time"].max()
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        raise TypeError("event_time is a time")
    return first, last
