"""Committing: what a batch changes in the three silver tables; trades first, of which 1-minute bars are made.

Input: judged messages, or what the executors staged of them. Output: one Delta commit a table. Staged files are
committed as they are where the table has none of their keys; where rows replace others, or a table has counted a part
of the batch already, they are read back and merged like any other messages. Both ways leave the same tables.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import polars as pl
from deltalake import DeltaTable

from financelake_assets.intervals import TICK
from financelake_assets.silver import larger, merging, reading, sources, staging, writing
from financelake_assets.silver.batches import firsts_of
from financelake_assets.silver.building import PART
from financelake_assets.silver.merging import ARRIVAL, PLACE, Change
from financelake_assets.silver.ranges import Ranges
from financelake_assets.silver.schema import BARS, QUARANTINE, TICKS
from financelake_assets.silver.staged import Staged, rules_of
from financelake_assets.silver.writing import TopicIds
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets.storage.staged_files import StagedFile
from financelake_assets.storage.store import objects

FetchRaw = Callable[[pl.DataFrame], pl.DataFrame]
"""Given topic, partition and offset of messages whose raw bytes were left out, gives those with ``raw``."""


def write_cleaned(
    tables: OpenTables,
    cleaned: pl.DataFrame,
    ids: TopicIds,
    universe: int | None = None,
    raw_of: FetchRaw | None = None,
) -> None:
    """Write judged messages.

    Args:
        tables: of the lake.
        cleaned: judged messages.
        ids: of their topics.
        universe: version of the universe that they were judged by.
        raw_of: fetches the raw bytes that were left out of some messages.
    """
    good, bad = cleaned.filter(pl.col("reason").is_null()), cleaned.filter(pl.col("reason").is_not_null())
    ticks = good.filter(pl.col("interval") == TICK)
    writing.write(TICKS, tables, ticks, ids, partial(trades, tables, ids), universe)
    writing.write(BARS, tables, good, ids, lambda table, fresh: bars(tables, table, fresh), universe)
    for part in reading.turns(bad):
        whole = part if raw_of is None else _with_raw(part, raw_of)
        write_refused(tables, whole, ids, universe)


def write_refused(tables: OpenTables, refused: pl.DataFrame, ids: TopicIds, universe: int | None = None) -> None:
    """Write refused messages, raw bytes included, to silver/quarantine."""
    writing.write(QUARANTINE, tables, refused, ids, _refused, universe)


def write_staged(
    tables: OpenTables, staged: Staged, ranges: Ranges, ids: TopicIds, universe: int | None = None
) -> None:
    """Write what the executors staged.

    Args:
        tables: of the lake.
        staged: of the batch.
        ranges: of the batch.
        ids: of its topics.
        universe: version of the universe that it was judged by.
    """
    firsts = firsts_of(ranges)
    ways = (
        (TICKS, lambda table: _new_trades(tables, ids, table, staged), partial(trades, tables, ids)),
        (BARS, lambda table: _new_bars(tables, table, staged), lambda table, new: bars(tables, table, new)),
        (QUARANTINE, lambda _: staged.files(QUARANTINE), _refused),
    )
    for spec, files, change in ways:
        if not (ends := staged.ends(spec)):
            continue
        if writing.add_files(spec, tables, files, staged.counts(spec), ends, firsts, ids, universe):
            continue
        for messages in staged.refused() if spec is QUARANTINE else [staged.messages(spec)]:
            writing.write(spec, tables, messages, ids, change, universe)


def trades(tables: OpenTables, ids: TopicIds, table: DeltaTable, ticks: pl.DataFrame) -> Change:
    """What tick messages change in silver/ticks."""
    named = merging.as_trades(ticks.filter(pl.col("trade_id").is_not_null()))
    known = writing.rows_with(table, named.select(TICKS.key))
    before = _told_before(tables, ids, table, ticks.filter(pl.col("trade_id").is_null()))
    if not before.is_empty():
        known = pl.concat([known, before]).unique(TICKS.key)
    return merging.trade_changes(known, ticks)


def bars(tables: OpenTables, table: DeltaTable, good: pl.DataFrame) -> Change:
    """What good messages change in silver/bars; the ticks among them are in silver/ticks already.

    The larger bars that the settings want built are part of it.
    """
    ticks, told = good.filter(pl.col("interval") == TICK), good.filter(pl.col("interval") != TICK)
    minutes = _minutes(ticks)
    known = writing.rows_with(table, pl.concat([told.select(BARS.key), _keys_of(minutes)]).unique())
    change = merging.bar_changes(known, told)
    if not minutes.is_empty():
        change = _with_minutes(tables, known, change, minutes)
    return larger.with_larger(tables, table, change)


def _refused(_: DeltaTable, new: pl.DataFrame) -> Change:
    return Change(new, False, new.height)


def _told_before(tables: OpenTables, ids: TopicIds, table: DeltaTable, unnamed: pl.DataFrame) -> pl.DataFrame:
    """The trades that the table has at the times of some without ids, if a topic before may have told of them."""
    # without an id of its own no other message names a trade that is known
    if unnamed.is_empty() or not (again := sources.made_again(tables, ids)):
        return TICKS.empty
    times = unnamed.filter(pl.col("topic").is_in(list(again))).select("symbol", "event_time").unique()
    return TICKS.empty if times.is_empty() else writing.rows_with(table, times)


def _new_trades(tables: OpenTables, ids: TopicIds, table: DeltaTable, staged: Staged) -> list[StagedFile] | None:
    """The staged files of trades, unless the table or two of them may have a trade in common."""
    rows = staged.rows(TICKS, [*TICKS.key, *PLACE])
    if not _all_new(table, rows.filter(merging.is_named()).select(TICKS.key)):
        return None
    told = _told_before(tables, ids, table, rows.filter(~merging.is_named()))
    return staged.files(TICKS) if told.is_empty() else None


def _new_bars(tables: OpenTables, table: DeltaTable, staged: Staged) -> list[StagedFile] | None:
    """The staged files of bars with one of the minutes that trades make, unless a bar is there or in two of them."""
    minutes = _minutes(staged.messages(TICKS)) if staged.files(TICKS) else _minutes(TICKS.empty)
    if tables.settings.silver.built_intervals and not (
        minutes.is_empty() and staged.rows(BARS, ["interval"]).filter(pl.col("interval") == PART).is_empty()
    ):
        return None  # larger bars are built of them
    if not _all_new(table, pl.concat([staged.rows(BARS, BARS.key), _keys_of(minutes)])):
        return None
    files = staged.files(BARS)
    if minutes.is_empty():
        return files
    made = _with_minutes(tables, BARS.empty, Change(BARS.empty.drop("processed_at"), False, 0), minutes)
    more = staging.write(objects(tables.settings), BARS, made.rows, rules_of(tables, BARS))
    return files if more is None else [*files, more]


def _all_new(table: DeltaTable, keys: pl.DataFrame) -> bool:
    return keys.is_empty() or (not keys.is_duplicated().any() and writing.rows_with(table, keys).is_empty())


def _minutes(ticks: pl.DataFrame) -> pl.DataFrame:
    return ticks.select("symbol", pl.col("event_time").dt.truncate("1m")).unique()


def _keys_of(minutes: pl.DataFrame) -> pl.DataFrame:
    return minutes.with_columns(interval=pl.lit(merging.BAR_OF_TRADES)).select(BARS.key)


def _with_minutes(tables: OpenTables, known: pl.DataFrame, change: Change, minutes: pl.DataFrame) -> Change:
    found = writing.rows_in_minutes(tables.newest(TICKS), minutes)
    return merging.with_bars_of_trades(known, change, merging.bars_of_trades(found))


def _with_raw(bad: pl.DataFrame, raw_of: FetchRaw) -> pl.DataFrame:
    long = bad.filter(pl.col("left_out").is_not_null()).select(ARRIVAL)
    if long.is_empty():
        return bad
    found = raw_of(long).rename({"raw": "fetched"})
    return bad.join(found, on=list(ARRIVAL), how="left", maintain_order="left").with_columns(
        raw=pl.coalesce("raw", "fetched")
    )
