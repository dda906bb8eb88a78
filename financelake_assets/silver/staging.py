"""Staging: a task judges and folds its messages and writes them where the tables are; only its report travels.

Input: one task's messages, and what the driver knows of the tables. Output: files beside those of the tables, which no
commit names yet, and a report: names, counts, offsets, statistics. Each message is in one file: as a row that the table
may take as it is, or, where a later message of the task repeats or replaces it, in the rest. The driver
(``staged.py``) commits the files, or reads them back and merges. Whatever it does not commit, maintenance deletes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import msgspec
import polars as pl
import pyarrow as pa
from obstore.store import ObjectStore

from financelake_assets.config import Settings
from financelake_assets.intervals import TICK
from financelake_assets.silver import merging
from financelake_assets.silver.cleaning import Universe, cleaned
from financelake_assets.silver.holes import Seen, seen
from financelake_assets.silver.merging import ARRIVAL, Change
from financelake_assets.silver.schema import BARS, QUARANTINE, TICKS
from financelake_assets.silver.writing import TopicIds, as_declared, ends_of, with_ids
from financelake_assets.storage.delta import TableSpec
from financelake_assets.storage.staged_files import FileWriter, Rules, StagedFile
from financelake_assets.storage.store import objects

AT_ONCE = 64 << 20
"""Raw bytes of refused messages that a task keeps before it writes them."""

_RAW = ["raw", "key", "raw_size", "raw_sha256"]


class StagedTable(msgspec.Struct, frozen=True):
    """What a task has for one table: ``rows``, one a key of this task, and ``rest``, its other messages."""

    accepted: int
    duplicates: int
    ends: list[tuple[str, int, int]]
    rows: StagedFile | None = None
    rest: StagedFile | None = None


class Report(msgspec.Struct, frozen=True):
    """What a task tells: what it was given, and by table's name what it staged."""

    seen: list[Seen]
    tables: dict[str, StagedTable]


@dataclass(frozen=True)
class Plan:
    """What a task is told: settings without secrets, universe, the topics' ids, and by table's name the rows' rules."""

    settings: str
    universe: Universe
    ids: TopicIds
    rules: Mapping[str, Rules]


def stage(batches: Iterable[pa.RecordBatch], plan: Plan) -> Report:
    """Judge, fold and write the messages of a task.

    Args:
        batches: with the columns of ``cleaning.MESSAGES``.
        plan: from the driver.

    Raises:
        RuleError: a row breaks a rule of its table.
        StoreError, BaseError, OSError: the place of the tables cannot be written from here.
    """
    store = objects(Settings.sent(plan.settings))
    places: list[pl.DataFrame] = []
    good: list[pl.DataFrame] = []
    refused = _Refused(FileWriter(store, QUARANTINE, plan.rules[QUARANTINE.full_name]))
    for batch in batches:
        found = cleaned(pl.DataFrame(pl.from_arrow(batch)), plan.universe)
        if found.height != batch.num_rows:
            raise AssertionError(f"of {batch.num_rows} messages {found.height} were judged")
        found = with_ids(found, plan.ids)
        places.append(found.select(ARRIVAL))
        good.append(found.filter(pl.col("reason").is_null()).drop(_RAW))
        refused.add(found.filter(pl.col("reason").is_not_null()))
    tables = refused.close()
    if not places:
        return Report([], tables)
    rows = pl.concat(good)
    ticks, bars = rows.filter(pl.col("interval") == TICK), rows.filter(pl.col("interval") != TICK)
    if not ticks.is_empty():
        tables[TICKS.full_name] = _folded(store, TICKS, plan, merging.as_trades(ticks), merging.fold_trades, ticks)
    if not rows.is_empty():
        # the bars of trades are made by the driver, of all trades of a minute
        tables[BARS.full_name] = _folded(store, BARS, plan, merging.as_bars(bars), merging.fold_bars, rows)
    return Report(seen(pl.concat(places)), tables)


class _Refused:
    """The refused messages of a task, written in turns, so that long ones do not fill the memory."""

    def __init__(self, file: FileWriter) -> None:
        self._file = file
        self._waiting: list[pl.DataFrame] = []
        self._bytes = 0
        self._places: list[pl.DataFrame] = []

    def add(self, messages: pl.DataFrame) -> None:
        if messages.is_empty():
            return
        self._places.append(messages.select(ARRIVAL))
        self._waiting.append(messages)
        self._bytes += int(messages["raw"].bin.size().sum() or 0)
        if self._bytes > AT_ONCE:
            self._write()

    def close(self) -> dict[str, StagedTable]:
        if not self._places:
            return {}
        self._write()
        places = pl.concat(self._places)
        return {QUARANTINE.full_name: StagedTable(places.height, 0, list(ends_of(places)), self._file.close())}

    def _write(self) -> None:
        if self._waiting:
            self._file.add(as_declared(QUARANTINE, pl.concat(self._waiting)))
        self._waiting, self._bytes = [], 0


def _folded(
    store: ObjectStore,
    spec: TableSpec,
    plan: Plan,
    rows: pl.DataFrame,
    fold: Callable[[pl.DataFrame, pl.DataFrame], Change],
    counted: pl.DataFrame,
) -> StagedTable:
    change = fold(spec.empty, rows)
    rest = None
    if change.rows.height != rows.height:
        others = rows.join(change.rows, on=list(ARRIVAL), how="anti").with_columns(messages=pl.lit(1, pl.Int64))
        rest = write(store, spec, others, plan.rules[spec.full_name])
    taken = write(store, spec, change.rows, plan.rules[spec.full_name])
    return StagedTable(change.accepted, change.duplicates, list(ends_of(counted)), taken, rest)


def write(store: ObjectStore, spec: TableSpec, rows: pl.DataFrame, rules: Rules) -> StagedFile | None:
    """Write rows of a table to a file that is not committed; ``None`` where there are none.

    Raises:
        RuleError: a row breaks a rule of the table.
    """
    file = FileWriter(store, spec, rules)
    file.add(as_declared(spec, rows))
    return file.close()
