"""Findings: what no message shows alone, only its place in a series: bars that are missing, prices that jump.

Input: the bars of one symbol and interval in order of time, and the market's calendar. Output: findings, as rows of
silver/findings without their series. Pure. Nothing is dropped or changed for a finding: it says where to look.
"""

from __future__ import annotations

from enum import StrEnum

import polars as pl

from financelake_assets.calendars import TradingCalendar
from financelake_assets.intervals import interval_length
from financelake_assets.silver.schema import FINDINGS

_TYPICAL_BARS = 60
_FEWEST_BARS = 20
_NORMAL = 1.4826
"""Standard deviation of a normal distribution by its median absolute deviation (Rousseeuw and Croux, 1993)."""

_NONE = FINDINGS.empty.drop("symbol", "asset_class", "interval")


class Kind(StrEnum):
    """What was found. The value is what silver/findings stores."""

    GAP = "gap"
    PRICE_JUMP = "price_jump"
    UNADJUSTED_SPLIT = "unadjusted_split"


def gaps(bars: pl.DataFrame, interval: str, calendar: TradingCalendar) -> pl.DataFrame:
    """Runs of bars that were due by the calendar and are not there.

    Args:
        bars: event_time, in order.
        interval: of the bars; ticks are never due.
        calendar: of the symbol.

    Returns:
        One row a run: ``event_time`` of its first missing bar, ``until`` that of the bar behind it, ``missing`` bars.
    """
    length = interval_length(interval)
    if length is None:
        return _NONE
    times = bars.select("event_time", until=pl.col("event_time").shift(-1))
    # most pairs follow each other without a break, and need no calendar
    pairs = times.filter(pl.col("until") - pl.col("event_time") > length)
    found = [
        (calendar.next_expected(interval, before), Kind.GAP.value, until, missing)
        for before, until in pairs.iter_rows()
        if (missing := calendar.missing(interval, before, until))
    ]
    columns = ("event_time", "kind", "until", "missing")
    return _whole(pl.DataFrame(found, schema={name: _NONE.schema[name] for name in columns}, orient="row"))


def jumps(bars: pl.DataFrame, sigmas: float, least: float) -> pl.DataFrame:
    """Closes far from the last accepted one, measured by how far closes of late were from the one before.

    A typical move is the median size of the moves of the last 60 bars before (at least 20), scaled to a standard
    deviation: a jump must not hide itself or the next one by widening what is typical.

    Args:
        bars: event_time, close and split, in order.
        sigmas: a jump is a move of more typical moves than this,
        least: and of more than this share of the close before.

    Returns:
        One row a jump: ``move`` is (close - before) / |before|, ``typical`` the typical move. Where the bar has a split
        that explains it, the close is not adjusted for it, and the kind says so.
    """
    close, before = pl.col("close"), pl.col("close").shift(1)
    move = (close - before) / before.abs()
    size = pl.when(move.is_finite()).then(move.abs())
    typical = size.shift(1).rolling_median(_TYPICAL_BARS, min_samples=_FEWEST_BARS) * _NORMAL
    by_split = ((close * pl.col("split") / before - 1).abs() <= least).fill_null(False)
    kind = pl.when(by_split).then(pl.lit(Kind.UNADJUSTED_SPLIT.value)).otherwise(pl.lit(Kind.PRICE_JUMP.value))
    judged = bars.with_columns(move=move, typical=typical, size=size, kind=kind)
    far = pl.col("size") > pl.max_horizontal(pl.lit(least), sigmas * pl.col("typical"))
    return _whole(judged.filter(pl.col("typical").is_not_null() & far))


def _whole(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with all columns of findings."""
    return rows.select(
        (pl.col(name) if name in rows.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in _NONE.schema.items()
    )
