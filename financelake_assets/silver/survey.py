"""The survey: looks for findings in every series of silver and brings silver/findings up to date.

Input: silver/bars and the universe's calendars. Output: silver/findings as the bars are now, in one commit, or none
where nothing has changed. Series are read some at a time, so memory is bounded whatever silver holds.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
from deltalake import DeltaTable, write_deltalake

from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.bronze.universe import calendars
from financelake_assets.calendars import TradingCalendar
from financelake_assets.config import Settings, SilverSettings
from financelake_assets.intervals import SERIES
from financelake_assets.silver import findings
from financelake_assets.silver.schema import BARS, FINDINGS
from financelake_assets.storage.delta import retried

_ROWS_AT_ONCE = 2_000_000
_COLUMNS = (*SERIES, "asset_class", "event_time", "close", "split")


def survey(settings: Settings) -> pl.DataFrame:
    """Look through all series; the findings, as they are now in the table."""
    bars = BARS.ensure(settings)
    known = calendars(pl.read_delta(UNIVERSE.ensure(settings)))
    found = [
        _of_series(series, known.get(series["symbol"][0]), settings.silver)
        for some in _some_at_a_time(bars)
        for series in some.partition_by(SERIES)
    ]
    now = pl.concat([FINDINGS.empty, *found]).sort(FINDINGS.key)

    def write() -> None:
        table = FINDINGS.ensure(settings)
        if not pl.read_delta(table).sort(FINDINGS.key).equals(now):
            write_deltalake(table, now.to_arrow().cast(FINDINGS.schema), mode="overwrite")

    retried(write)
    return now


def _of_series(bars: pl.DataFrame, calendar: TradingCalendar | None, settings: SilverSettings) -> pl.DataFrame:
    interval = bars["interval"][0]
    found = [findings.jumps(bars, settings.jump_sigmas, settings.jump_share)]
    if calendar is not None:
        found.append(findings.gaps(bars, interval, calendar))
    series = {name: pl.lit(bars[name][-1], pl.String) for name in (*SERIES, "asset_class")}
    return pl.concat(found).with_columns(**series).select(FINDINGS.schema.names)


def _some_at_a_time(table: DeltaTable) -> Iterator[pl.DataFrame]:
    """The bars of some whole series at a time, in order of time."""
    rows = pl.scan_delta(table)
    counts = rows.group_by(SERIES).len().sort(SERIES).collect()
    part = (counts["len"].cum_sum() - counts["len"]) // _ROWS_AT_ONCE
    for some in counts.select(SERIES).with_columns(part=part).partition_by("part"):
        wanted = rows.filter(pl.col("symbol").is_in(some["symbol"].unique().to_list()))
        yield wanted.select(_COLUMNS).join(some.lazy(), on=SERIES, how="semi").sort("event_time").collect()
