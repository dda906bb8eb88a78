"""Rows that share symbol, interval and time: within one file, and across the files of a folder.

Input: rows. Output: how many are there twice, and whether one would overwrite another of other values. Hashes of keys
and values lie in temporary files, 16 bytes a row, parted so that a part fits into memory whatever the file's size.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from financelake_assets.intervals import TICK
from financelake_assets.providers.base import NUMBERS
from financelake_assets.providers.formats.plan import Reading
from financelake_assets.providers.formats.rows import RowReader
from financelake_assets.providers.formats.tables import Table

_KEY = ("symbol", "interval", "event_time", "trade_id")
_VALUES = ("open", "high", "low", "close", "volume")
_BUCKETS = 64
_WHOLE = ("json", "xlsx")
"""Kinds of files whose rows are in memory while they are open: such are not kept."""

Spans = Mapping[tuple[str, str], tuple[datetime, datetime]]
"""First and last time of each symbol and interval."""


class Order:
    """Whether the times of each series go one way: then no two rows of a file share a key."""

    def __init__(self) -> None:
        self.kept = True
        self._ways: dict[tuple[str, str], tuple[datetime, int]] = {}

    def add(self, rows: pl.DataFrame) -> None:
        """Look at further rows of the file."""
        if not self.kept or rows.height == 0:
            return
        runs = rows.select("symbol", "interval").with_columns(
            run=pl.struct(pl.col("symbol"), pl.col("interval")).rle_id()
        )
        starts = runs["run"].unique(maintain_order=True)
        if len(starts) > 200 or rows["event_time"].null_count() or (rows["interval"] == TICK).any():
            # trades that are told apart by their place cannot share a key; others are looked at one by one
            self.kept = False
            return
        for part in rows.select("symbol", "interval", "event_time").with_columns(runs["run"]).partition_by("run"):
            self._add_run((part["symbol"][0], part["interval"][0]), part["event_time"])

    def _add_run(self, series: tuple[str, str], times: pl.Series) -> None:
        before = self._ways.get(series)
        steps = times.diff().dt.total_microseconds().drop_nulls()
        way = before[1] if before else 0
        signs = set(np.sign(steps.to_numpy()).tolist())
        if before is not None:
            signs.add(float(np.sign((times[0] - before[0]).total_seconds())))
        signs |= {float(way)} if way else set()
        if len(signs) > 1 or 0.0 in signs:
            self.kept = False
            return
        self._ways[series] = (times[-1], int(signs.pop()) if signs else way)


@dataclass(frozen=True)
class Shared:
    """Rows that are there twice with the same values, those with others, and the hash of one key of the latter."""

    repeated: int = 0
    collisions: int = 0
    example: int = 0


def within(table: Table, reading: Reading) -> Shared:
    """What rows of one file share."""
    with tempfile.TemporaryDirectory(prefix="financelake-") as folder:
        write_hashes(table, reading, Path(folder))
        repeated = collisions = example = 0
        for at in range(_BUCKETS):
            pairs = _bucket(Path(folder), at)
            same_key = pairs[1:, 0] == pairs[:-1, 0]
            same_value = pairs[1:, 1] == pairs[:-1, 1]
            repeated += int((same_key & same_value).sum())
            other = same_key & ~same_value
            if other.any():
                collisions += int(other.sum())
                example = int(pairs[1:, 0][other][0])
    return Shared(repeated, collisions, example)


def between(first: Path, second: Path) -> Shared:
    """What rows of one file share with rows of another, by their hashes."""
    repeated = collisions = example = 0
    for at in range(_BUCKETS):
        one, two = _bucket(first, at), _bucket(second, at)
        if not len(one) or not len(two):
            continue
        place = np.minimum(np.searchsorted(one[:, 0], two[:, 0]), len(one) - 1)
        same_key = one[place, 0] == two[:, 0]
        same_value = one[place, 1] == two[:, 1]
        repeated += int((same_key & same_value).sum())
        other = same_key & ~same_value
        if other.any():
            collisions += int(other.sum())
            example = int(two[:, 0][other][0])
    return Shared(repeated, collisions, example)


def write_hashes(table: Table, reading: Reading, folder: Path) -> None:
    """The hashes of a file's keys and values, in files of a folder."""
    with ExitStack() as stack:
        files = [stack.enter_context((folder / f"{at}").open("wb")) for at in range(_BUCKETS)]
        for key, value in _hashes(table, reading):
            bucket = key % _BUCKETS
            for at in np.unique(bucket):
                of = bucket == at
                files[int(at)].write(np.stack([key[of], value[of]], axis=1).tobytes())


def _bucket(folder: Path, at: int) -> np.ndarray:
    pairs = np.fromfile(folder / f"{at}", dtype=np.uint64).reshape(-1, 2)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _hashes(table: Table, reading: Reading) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for piece in RowReader(reading, table).pieces():
        rows = piece.rows.drop_nulls(["symbol", "event_time"])
        if rows.height:
            yield _hash(rows, _KEY), _hash(rows.with_columns(pl.col(NUMBERS).fill_nan(None)), _VALUES)


def _hash(rows: pl.DataFrame, columns: tuple[str, ...]) -> np.ndarray:
    only = rows.select(columns)
    if "trade_id" in columns:
        only = only.with_columns(trade_id=pl.when(pl.col("interval") == TICK).then(pl.col("trade_id")))
    return only.hash_rows(seed=1).to_numpy()


def shown(table: Table, reading: Reading, key: int) -> tuple[str, list[str]]:
    """A key in words, and the closes of the rows of a file that have it."""
    closes: list[str] = []
    what = ""
    for piece in RowReader(reading, table).pieces():
        rows = piece.rows.drop_nulls(["symbol", "event_time"])
        hits = rows.filter(pl.Series(_hash(rows, _KEY) == np.uint64(key))) if rows.height else rows
        for row in hits.iter_rows(named=True):
            what = f"{row['symbol']} {row['interval']} at {row['event_time']:%Y-%m-%dT%H:%M:%SZ}"
            closes.append(f"close {row['close']:g}" if row["close"] is not None else "no close")
    return what, closes


def collision(table: Table, reading: Reading, found: Shared) -> str:
    """Why a file is refused whose rows would overwrite each other, and where to look."""
    what, closes = shown(table, reading, found.example)
    unused = [one for one in table.names if one not in reading.columns.values()]
    look = f" Columns not used: {', '.join(unused)}." if unused else ""
    return (
        f"{table.source.label}: {found.collisions} rows share symbol, interval and time with another row of other "
        f"values, for example {what} ({'; '.join(closes[:3])}): one would overwrite the other. Symbol is "
        f"{reading.columns.get('symbol') or reading.symbol}, time is {reading.columns['event_time']}.{look} Is a "
        "symbol or a clock in a column of its own (--map symbol=COLUMN, --map time_of_day=COLUMN)? Corrections of "
        "earlier rows belong into a file of their own: a later load corrects an earlier one"
    )


class FolderKeys:
    """The keys of a folder's files, of which one that comes later must not overwrite another in silence.

    Only files whose series overlap in time are compared, and hashed for it once.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="financelake-")
        self._files: list[tuple[str, Spans, Table | None, Reading]] = []
        self._hashed: dict[int, Path] = {}

    def close(self) -> None:
        """Remove the temporary files."""
        self._folder.cleanup()

    def compare(self, table: Table, reading: Reading, spans: Spans) -> tuple[str | None, str | None]:
        """Why a file is refused, or what should be noted of it; one that is not refused joins the others."""
        at = len(self._files)
        self._files.append((table.source.label, spans, table, reading))
        if table.source.kind in _WHOLE:
            self._hashes(at)
        note = None
        for other, (label, other_spans, _, _) in enumerate(self._files[:-1]):
            if not _overlap(spans, other_spans):
                continue
            found = between(self._hashes(other), self._hashes(at))
            if found.collisions:
                self._files.pop()
                self._hashed.pop(at)
                return self._refusal(table, reading, label, found), None
            if found.repeated:
                note = f"{found.repeated} rows are in {label} too, with the same values"
        return None, note

    def _hashes(self, at: int) -> Path:
        if at not in self._hashed:
            label, spans, table, reading = self._files[at]
            if table is None:
                raise KeyError(label)
            folder = Path(tempfile.mkdtemp(dir=self._folder.name))
            write_hashes(table, reading, folder)
            self._hashed[at] = folder
            self._files[at] = (label, spans, None, reading)
        return self._hashed[at]

    def _refusal(self, table: Table, reading: Reading, other: str, found: Shared) -> str:
        what, closes = shown(table, reading, found.example)
        return (
            f"{table.source.label}: {found.collisions} rows share symbol, interval and time with rows of "
            f"{other} that have other values, for example {what} ({'; '.join(closes[:3])} here): one would overwrite "
            "the other. Say whose they are with --symbol or --map symbol=COLUMN, a file at a time; where "
            "these rows are corrections, load them by themselves afterwards"
        )


def _overlap(spans: Spans, others: Spans) -> bool:
    return any(
        (other := others.get(series)) is not None and first <= other[1] and other[0] <= last
        for series, (first, last) in spans.items()
    )
