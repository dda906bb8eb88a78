"""Recording outcomes: connects the scorecard's pure functions to the tables.

Input: changed silver bars with the bars around them. Output: one row of gold.scorecard for every prediction whose
horizon has passed, and rows of gold.corrections. A second call changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from financelake_assets.config import Settings
from financelake_assets.gold.schema import CORRECTIONS, PREDICTIONS, SCORECARD, SIGNALS
from financelake_assets.gold.scorecard import KEY, VERSIONS, corrections, mature
from financelake_assets.intervals import SERIES
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.open_tables import OpenTables

_BAR_KEY = list(BARS.key)
_BAR_COLUMNS = (
    *SERIES,
    "event_time",
    "open",
    "close",
    "adj_close",
    "split",
    "imputed",
    "trades",
    "parts",
    "topic",
    "partition",
    "offset",
)


@dataclass(frozen=True)
class Recorded:
    """How many rows were new."""

    scored: int
    corrected: int


@dataclass(frozen=True)
class Outcomes:
    """The bars that may have completed or changed an outcome.

    ``bars``: rows of silver.bars without gaps, for the series of the ``changed`` keys: from ``longest_horizon`` bars
    before the first of them, or from the series' beginning, to the newest. ``longest_horizon``: of all predictions.
    """

    bars: pl.DataFrame
    changed: pl.DataFrame
    longest_horizon: int


def record(tables: OpenTables, outcomes: Outcomes) -> Recorded:
    """Score the predictions that changed bars completed, and record known outcomes that they changed."""
    touched = _touched(outcomes)
    near = _near(touched)
    made = tables.scan(PREDICTIONS).filter(near).collect().join(touched, on=_BAR_KEY, how="semi")
    if made.is_empty():
        return Recorded(0, 0)
    signals = tables.scan(SIGNALS).filter(near).collect()
    now = datetime.now(UTC)
    slippage = tables.settings.portfolio.slippage_bps
    outcome = mature(made, signals, outcomes.bars.select(_BAR_COLUMNS), now, slippage)
    if outcome.is_empty():
        return Recorded(0, 0)
    scorecard = tables.scan(SCORECARD).filter(near).collect()
    scored = tables.insert(SCORECARD, outcome.join(scorecard, on=KEY, how="anti"))
    if outcome.join(scorecard, on=KEY, how="semi").join(scorecard, on=[*KEY, *VERSIONS], how="anti").is_empty():
        return Recorded(scored, 0)
    recorded = tables.scan(CORRECTIONS).filter(near).collect()
    return Recorded(scored, tables.insert(CORRECTIONS, corrections(scorecard, recorded, outcome, now)))


def _touched(outcomes: Outcomes) -> pl.DataFrame:
    """Keys of predictions whose outcome may depend on a changed bar: that bar's, and those up to a horizon before."""
    marked = outcomes.bars.select(_BAR_KEY).join(
        outcomes.changed.select(_BAR_KEY).with_columns(_changed=pl.lit(1, pl.Int8)), on=_BAR_KEY, how="left"
    )
    # a bar that is built from trades is over when the next has begun, so one bar more
    ahead = pl.col("_changed").reverse().rolling_max(outcomes.longest_horizon + 2, min_samples=1).reverse()
    return marked.sort(_BAR_KEY).filter(ahead.over(SERIES).is_not_null()).select(_BAR_KEY)


def _near(keys: pl.DataFrame) -> pl.Expr:
    """True for rows of these series between the first and the last of these times, so that reads can skip files."""
    first, last = keys["event_time"].min(), keys["event_time"].max()
    return pl.col("event_time").is_between(pl.lit(first), pl.lit(last)) & pl.col("symbol").is_in(
        keys["symbol"].unique().to_list()
    )


def unscored(settings: Settings, bars_version: int) -> pl.DataFrame:
    """The predictions that had an outcome by a version of silver.bars and are not in the scorecard.

    Args:
        settings: the lake.
        bars_version: the Delta version of silver.bars.
    """
    bars = BARS.scan(settings, bars_version).select(_BAR_COLUMNS).collect()
    predictions, signals = PREDICTIONS.scan(settings).collect(), SIGNALS.scan(settings).collect()
    outcome = mature(predictions, signals, bars, datetime.now(UTC), settings.portfolio.slippage_bps)
    return outcome.join(SCORECARD.scan(settings).select(KEY).collect(), on=KEY, how="anti")
