"""Larger bars in silver: reads the minutes that a change touches, and adds to it what is built of them.

Input: a change of silver/bars that is not committed yet, and the settings' ``built_intervals``. Output: the change with
the larger bars, for the same commit. So a larger bar is never older than its parts, whoever writes: the stream, the
back-fill, or either of them again. ``catch_up`` builds what was there before the setting was.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import polars as pl
from deltalake import DeltaTable

from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.bronze.universe import calendars
from financelake_assets.calendars import TradingCalendar
from financelake_assets.silver import building, writing
from financelake_assets.silver.building import PART
from financelake_assets.silver.merging import Change, is_built
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.delta import retried
from financelake_assets.storage.open_tables import OpenTables

_BEFORE = timedelta(hours=1)
"""So much before a window is read as well: a minute there tells that the series had begun by then."""

_KEY = list(BARS.key)


def with_larger(tables: OpenTables, table: DeltaTable, change: Change) -> Change:
    """Add the larger bars that a change of silver/bars touches.

    Args:
        tables: of the lake.
        table: silver/bars, opened at the version that the change is for.
        change: of bars, by messages and by trades.
    """
    intervals = tables.settings.silver.built_intervals
    if not intervals or (changed := change.rows.filter(pl.col("interval") == PART)).is_empty():
        return change
    markets = _calendars(tables, changed)
    windows = building.windows_of(changed, intervals, markets).drop("event_time").unique()
    present = _present(table, windows, changed.columns)
    began = _began(table, windows, present, changed)
    # where a series begins earlier now, the windows in which it began before have their beginning now
    sooner = began.filter(pl.col("now") < pl.col("before")).select("symbol", event_time="before")
    if not sooner.is_empty():
        more = building.windows_of(sooner, intervals, markets).drop("event_time")
        windows = pl.concat([windows, more]).unique()
        present = _present(table, windows, changed.columns)
    minutes = pl.concat([present.join(changed, on=_KEY, how="anti"), changed])
    built = building.build(minutes, windows, began, markets)
    known = writing.rows_with(table, pl.concat([change.rows.select(_KEY), built.select(_KEY)]).unique())
    return building.with_built(known, change, built)


def catch_up(tables: OpenTables) -> int:
    """Bring the larger bars of all series in line with their minutes and the settings; how many bars changed.

    It adds what is missing and replaces what differs, as where the setting is new, or was off for a while. Bars that
    would not be built today, because a symbol has another calendar now, are deleted.

    Raises:
        CommitFailedError: other writers were faster each time.
    """
    if not tables.settings.silver.built_intervals:
        return 0
    of_minutes = tables.scan(BARS).filter(pl.col("interval") == PART)
    symbols = of_minutes.select(pl.col("symbol").unique().sort()).collect()["symbol"]
    return sum(retried(partial(_catch_up, tables, symbol)) for symbol in symbols)


def _catch_up(tables: OpenTables, symbol: str) -> int:
    table, intervals = tables.newest(BARS), list(tables.settings.silver.built_intervals)
    rows = pl.scan_delta(table).filter(pl.col("symbol") == symbol)
    minutes = rows.filter(pl.col("interval") == PART).collect()
    known = rows.filter(pl.col("interval").is_in(intervals)).collect()
    markets = _calendars(tables, minutes)
    windows = building.windows_of(minutes, intervals, markets).drop("event_time").unique()
    began = minutes.group_by("symbol").agg(now=pl.col("event_time").min())
    built = building.build(minutes, windows, began, markets)
    change = building.with_built(known, Change(BARS.empty.drop("processed_at"), False, 0), built)
    gone = known.filter(is_built()).join(built, on=_KEY, how="anti")
    with BARS.turn(tables.settings):
        if not change.rows.is_empty():
            writing.merge(BARS, table, change.rows, writing.as_counted(table))
        for interval, times in gone.group_by("interval").agg("event_time").iter_rows():
            those = ", ".join(f"'{time.isoformat()}'" for time in times)
            own = f"symbol = '{symbol}' AND `interval` = '{interval}' AND parts IS NOT NULL"
            table.delete(f"{own} AND event_time IN ({those})", commit_properties=writing.as_counted(table))
    return change.rows.height + gone.height


def _calendars(tables: OpenTables, minutes: pl.DataFrame) -> dict[str, TradingCalendar]:
    own = pl.col("symbol").is_in(minutes["symbol"].unique().to_list())
    return calendars(tables.scan(UNIVERSE).filter(own).collect())


def _present(table: DeltaTable, windows: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """The minutes that the table has in some windows, and for a while before."""
    if windows.is_empty():
        return BARS.empty.select(columns)
    spans = windows.select("symbol", pl.col("first") - _BEFORE, "end").unique()
    return writing.rows_between(table, spans, PART).select(columns)


def _began(table: DeltaTable, windows: pl.DataFrame, present: pl.DataFrame, changed: pl.DataFrame) -> pl.DataFrame:
    """Of series that may begin in their windows, or before them by this change alone: when they begin.

    Returns:
        symbol, ``before``, their first minute in the table, or null, and ``now``, their first minute with the change.
    """
    sure = (
        windows.group_by("symbol")
        .agg(pl.col("first").min())
        .join(present.group_by("symbol").agg(pl.col("event_time").min()), on="symbol")
        .filter(pl.col("event_time") <= pl.col("first"))
    )
    unsure = changed.join(sure, on="symbol", how="anti").group_by("symbol").agg(now=pl.col("event_time").min())
    if unsure.is_empty():
        return unsure.with_columns(before="now")
    own = pl.col("symbol").is_in(unsure["symbol"].to_list()) & (pl.col("interval") == PART)
    before = pl.scan_delta(table).filter(own).group_by("symbol").agg(before=pl.col("event_time").min()).collect()
    return unsure.join(before, on="symbol", how="left").with_columns(now=pl.min_horizontal("now", "before"))
