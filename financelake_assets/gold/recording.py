"""Recording outcomes: the edge between the scorecard's pure functions and the tables.

Enters: the keys of changed silver bars. Leaves: gold.scorecard with every prediction scored once whose horizon is over,
and gold.corrections. Doing it again changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from financelake_assets.config import Settings
from financelake_assets.gold.schema import CORRECTIONS, PREDICTIONS, SCORECARD, SIGNALS
from financelake_assets.gold.scorecard import KEY, SERIES, VERSIONS, corrections, mature
from financelake_assets.gold.tables import insert, scan
from financelake_assets.silver.schema import BARS

_BAR_COLUMNS = (*SERIES, "event_time", "close", "adj_close", "trades", "topic", "partition", "offset")


@dataclass(frozen=True)
class Recorded:
    """How many rows were new."""

    scored: int
    corrected: int


def record(settings: Settings, changed: pl.DataFrame, span: timedelta) -> Recorded:
    """Score what has matured by a set of changed bars, and record which known outcomes they changed.

    Args:
        settings: the lake.
        changed: symbol, interval and event_time of the bars.
        span: calendar time that is longer than any horizon of the predictions and the bar behind it.
    """
    if changed.is_empty():
        return Recorded(0, 0)
    first, last = _bounds(changed)
    symbols = changed["symbol"].unique().to_list()
    intervals = changed["interval"].unique().to_list()

    def near(until: datetime) -> pl.Expr:
        return (
            pl.col("symbol").is_in(symbols)
            & pl.col("interval").is_in(intervals)
            & pl.col("event_time").is_between(first - span, until)
        )

    predictions = scan(PREDICTIONS, settings).filter(near(last)).collect()
    if predictions.is_empty():
        return Recorded(0, 0)
    bars = scan(BARS, settings).filter(near(last + span)).select(_BAR_COLUMNS).collect()
    signals = scan(SIGNALS, settings).filter(near(last)).collect()
    scorecard = scan(SCORECARD, settings).filter(near(last)).collect()
    now = datetime.now(UTC)
    outcome = mature(predictions, signals, bars, now)
    scored = insert(SCORECARD, settings, outcome.join(scorecard, on=KEY, how="anti"))
    if outcome.join(scorecard, on=KEY, how="semi").join(scorecard, on=[*KEY, *VERSIONS], how="anti").is_empty():
        return Recorded(scored, 0)
    recorded = scan(CORRECTIONS, settings).filter(near(last)).collect()
    corrected = insert(CORRECTIONS, settings, corrections(scorecard, recorded, outcome, now))
    return Recorded(scored, corrected)


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
