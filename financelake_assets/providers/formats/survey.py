"""One look through a whole file before any of it is published, with the guards against a wrong reading.

Enters: a table and its reading. Leaves: a ``Survey`` in numbers, and the reason why it must not be published, if any.
Memory does not grow with rows whose times go one way in each symbol; others leave 24 bytes a row in temporary files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from financelake_assets.intervals import TICK
from financelake_assets.providers.base import NUMBERS, SYMBOL
from financelake_assets.providers.formats.plan import Reading
from financelake_assets.providers.formats.rows import Piece, RowReader
from financelake_assets.providers.formats.tables import Table

FIRST_ROWS = 10_000
MOST_ODD = 0.01
_KEY = ("symbol", "interval", "event_time", "trade_id")
_VALUES = ("open", "high", "low", "close", "volume")
_OHLC = ("open", "high", "low", "close")
_BUCKETS = 64
_FACTORS = (100.0, 1e3, 1e4, 1e6, 1e9)
_NEAR = 0.1
_EARLY = 1973


@dataclass
class Survey:
    """What is in a file: counts, span, and what speaks against publishing it."""

    messages: int = 0
    odd: int = 0
    odd_early: int = 0
    remarks: int = 0
    early: int = 0
    symbols: set[str] = field(default_factory=set)
    intervals: set[str] = field(default_factory=set)
    first: datetime | None = None
    last: datetime | None = None
    repeated: int = 0
    priceless: int = 0
    twisted: int = 0
    example: str = ""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def survey(table: Table, reading: Reading, *, accept_odd: bool = False, sure: bool = False) -> Survey:
    """Look through a file.

    Args:
        table: the file.
        reading: how it is read.
        accept_odd: do not mind rows with values that are none.
        sure: the user said how numbers are written, so that a jump of the price is meant.

    Raises:
        ProviderError: the file cannot be read to its end.
    """
    found = Survey()
    reader = RowReader(reading, table)
    order, jumps = _Order(), _Jumps()
    for piece in reader.pieces():
        _count(found, piece)
        order.add(piece.rows)
        jumps.add(piece.rows)
    keys = None if order.kept else _keys_of(table, reading)
    label = table.source.label
    if keys is not None:
        found.repeated = keys[0]
        if keys[1]:
            found.problems.append(_collision(table, reading, keys[1], keys[2]))
    _judge(found, label, accept_odd)
    if jumps.example and not sure:
        found.problems.append(
            f"{label}: the price goes {jumps.example}, as if rows were written in two ways; say how with --decimal, "
            "--thousands or --scale (--scale 1 where it is meant so)"
        )
    if reading.time is not None and reading.time.is_epoch and not reading.time.fixed:
        _judge_epochs(found, label, reading)
    if reader.twice:
        found.notes.append(
            f"{label}: {reader.twice} times are in an hour that the clock of {reading.zone} shows twice; "
            "where rows step back the second hour was taken"
        )
    return found


def _count(found: Survey, piece: Piece) -> None:
    rows = piece.rows
    before = found.messages
    found.messages += rows.height + len(piece.odd)
    found.odd += len(piece.odd)
    found.remarks += piece.remarks
    if before < FIRST_ROWS:
        found.odd_early += len(piece.odd) - piece.remarks
        found.early += rows.height + len(piece.odd) - piece.remarks
    if piece.odd and not found.example:
        found.example = str({key: value for key, value in piece.odd[0].items() if value is not None})[:200]
    if rows.height == 0:
        return
    found.symbols |= set(rows["symbol"].drop_nulls().unique())
    found.intervals |= set(rows["interval"].drop_nulls().unique())
    times = rows["event_time"].drop_nulls()
    if len(times):
        first, last = times.min(), times.max()
        found.first = first if found.first is None else min(found.first, first)  # type: ignore[assignment,type-var]
        found.last = last if found.last is None else max(found.last, last)  # type: ignore[assignment,type-var]
    found.priceless += int(rows["close"].is_null().sum())
    found.twisted += int((rows["high"] < rows["low"]).sum())


def _judge(found: Survey, label: str, accept_odd: bool) -> None:
    if found.odd_early > MOST_ODD * max(found.early, 1) and not accept_odd:
        found.problems.append(
            f"{label}: {found.odd_early} of the first {min(found.early, FIRST_ROWS)} rows have a value that cannot be "
            f"read, for example {found.example}. Say how it is written (--time-format, --decimal, --map), "
            "or publish them as odd with --accept-odd"
        )
    wrong = sorted(one for one in found.symbols if not SYMBOL.match(one))
    if wrong and not (accept_odd and len(wrong) < len(found.symbols)):
        spoilt = all("\ufffd" in one for one in wrong)
        if not spoilt or len(wrong) == len(found.symbols):
            found.problems.append(
                f"{label}: {', '.join(wrong[:5])} can be no symbol of a lake (up to 32 letters, digits and signs, no "
                "blanks); say which column holds the symbols with --map symbol=COLUMN, or name one with --symbol"
            )
    good = found.messages - found.odd
    if good and found.priceless == good and not accept_odd:
        found.problems.append(f"{label}: no row has a price; say which column does with --map close=COLUMN")
    if good and found.twisted > good / 2:
        found.problems.append(
            f"{label}: high is below low in {found.twisted} of {good} rows; "
            "say which columns they are with --map or --columns"
        )
    if not good and not found.odd:
        found.problems.append(f"{label} has no rows")
    for count, what in (
        (found.priceless, "rows have no price: silver will refuse them"),
        (found.repeated, "rows are in the file twice, with the same values"),
        (
            found.remarks,
            "lines hold no data (a header among the rows, or a remark of the source); they go to quarantine",
        ),
    ):
        if count:
            found.notes.append(f"{label}: {count} {what}")


def _judge_epochs(found: Survey, label: str, reading: Reading) -> None:
    if found.first is not None and found.last is not None and found.first.year < _EARLY <= found.last.year:
        found.problems.append(
            f"{label}: its times go from {found.first:%Y-%m-%d} to {found.last:%Y-%m-%d}; numbers of before 1973 can "
            f"be read in several units: say which with "
            f"--time-format {reading.time.pattern if reading.time else 'epoch_s'}"
        )


# -- rows that share a key ------------------------------------------------------------------------------


class _Order:
    """Whether the times of each series go one way: then no two rows share a key."""

    def __init__(self) -> None:
        self.kept = True
        self._ways: dict[tuple[str, str], tuple[datetime, int]] = {}

    def add(self, rows: pl.DataFrame) -> None:
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


def _keys_of(table: Table, reading: Reading) -> tuple[int, int, int]:
    """Rows that are there twice, rows that share a key with other values, and the hash of one such key."""
    with tempfile.TemporaryDirectory(prefix="financelake-") as folder:
        files = [(Path(folder) / f"{at}").open("wb") for at in range(_BUCKETS)]
        for key, value in _hashes(table, reading):
            bucket = key % _BUCKETS
            for at in np.unique(bucket):
                of = bucket == at
                files[int(at)].write(np.stack([key[of], value[of]], axis=1).tobytes())
        repeated = collisions = example = 0
        for file in files:
            file.close()
            pairs = np.fromfile(file.name, dtype=np.uint64).reshape(-1, 2)
            pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
            same_key = pairs[1:, 0] == pairs[:-1, 0]
            same_value = pairs[1:, 1] == pairs[:-1, 1]
            repeated += int((same_key & same_value).sum())
            other = same_key & ~same_value
            if other.any():
                collisions += int(other.sum())
                example = int(pairs[1:, 0][other][0])
    return repeated, collisions, example


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


def _collision(table: Table, reading: Reading, count: int, key: int) -> str:
    shown: list[str] = []
    what = ""
    for piece in RowReader(reading, table).pieces():
        rows = piece.rows.drop_nulls(["symbol", "event_time"])
        hits = rows.filter(pl.Series(_hash(rows, _KEY) == np.uint64(key))) if rows.height else rows
        for row in hits.iter_rows(named=True):
            what = f"{row['symbol']} {row['interval']} at {row['event_time']:%Y-%m-%dT%H:%M:%SZ}"
            shown.append(f"close {row['close']:g}" if row["close"] is not None else "no close")
    unused = [one for one in table.names if one not in reading.columns.values()]
    look = f" Columns not used: {', '.join(unused)}." if unused else ""
    return (
        f"{table.source.label}: {count} rows share symbol, interval and time with another row of other values, "
        f"for example {what} ({'; '.join(shown[:3])}): one would overwrite the other. Symbol is "
        f"{reading.columns.get('symbol') or reading.symbol}, time is {reading.columns['event_time']}.{look} Is a "
        "symbol or a clock in a column of its own (--map symbol=COLUMN, --map time_of_day=COLUMN)? Corrections of "
        "earlier rows belong into a file of their own: a later load corrects an earlier one"
    )


# -- magnitudes -----------------------------------------------------------------------------------------


class _Jumps:
    """Neighbours, and prices of one row, that differ by a factor that only another way of writing explains."""

    def __init__(self) -> None:
        self.example = ""
        self._closes: dict[str, float] = {}

    def add(self, rows: pl.DataFrame) -> None:
        if self.example or rows.height == 0:
            return
        positive = rows.select("symbol", *_OHLC).filter((pl.col("close") > 0) & pl.col("close").is_finite())
        before = pl.col("close").shift().over("symbol")
        steps = positive.with_columns(before=before)
        for symbol, close in positive.group_by("symbol").agg(pl.col("close").first()).iter_rows():
            if symbol in self._closes and _is_factor(close / self._closes[symbol]):
                self.example = f"from {self._closes[symbol]:g} to {close:g}"
        ratio = pl.col("close") / pl.col("before")
        found = steps.filter(_factors(ratio))
        if found.height:
            self.example = f"from {found['before'][0]:g} to {found['close'][0]:g}"
        within = pl.max_horizontal(*_OHLC) / pl.min_horizontal(*_OHLC)
        found = positive.filter((pl.min_horizontal(*_OHLC) > 0) & within.is_finite() & (within > 500))
        if found.height and not self.example:
            self.example = f"from {min(found.row(0)[1:]):g} to {max(found.row(0)[1:]):g} within a row"
        self._closes.update(positive.group_by("symbol").agg(pl.col("close").last()).iter_rows())


def _is_factor(ratio: float) -> bool:
    return any(abs(max(ratio, 1 / ratio) / factor - 1) < _NEAR for factor in _FACTORS)


def _factors(ratio: pl.Expr) -> pl.Expr:
    larger = pl.max_horizontal(ratio, 1 / ratio)
    return pl.any_horizontal(((larger / factor - 1).abs() < _NEAR) for factor in _FACTORS)
