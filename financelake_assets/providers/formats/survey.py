"""One look through a whole file before any of it is published, with the guards against a wrong reading.

Input: a table and its reading. Output: a ``Survey`` in numbers, and the reason why it must not be published, if any.
Memory does not grow with rows whose times go one way in each symbol; others leave 24 bytes a row in temporary files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from financelake_assets.providers.base import SYMBOL
from financelake_assets.providers.formats import keys
from financelake_assets.providers.formats.gaps import Gaps
from financelake_assets.providers.formats.plan import Reading
from financelake_assets.providers.formats.rows import Piece, RowReader
from financelake_assets.providers.formats.tables import Table

FIRST_ROWS = 10_000
MOST_ODD = 0.01
_OHLC = ("open", "high", "low", "close")
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
    spans: dict[tuple[str, str], tuple[datetime, datetime]] = field(default_factory=dict)
    repeated: int = 0
    priceless: int = 0
    twisted: int = 0
    whole: int = 0
    example: str = ""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def first(self) -> datetime | None:
        """The first time of all."""
        return min((one for one, _ in self.spans.values()), default=None)

    @property
    def last(self) -> datetime | None:
        """The last time of all."""
        return max((one for _, one in self.spans.values()), default=None)


def survey(
    table: Table, reading: Reading, *, accept_odd: bool = False, sure: bool = False, gaps: Gaps | None = None
) -> Survey:
    """Look through a file.

    Args:
        table: the file.
        reading: how it is read.
        accept_odd: do not mind rows with values that are none.
        sure: the user said how numbers are written, so that a jump of the price is meant.
        gaps: collects times, to note what is missing by the calendar.

    Raises:
        ProviderError: the file cannot be read to its end.
    """
    found = Survey()
    reader = RowReader(reading, table)
    order, jumps = keys.Order(), _Jumps()
    for piece in reader.pieces():
        _count(found, piece)
        order.add(piece.rows)
        jumps.add(piece.rows)
        if gaps is not None:
            gaps.add(piece.rows)
    shared = keys.Shared() if order.kept else keys.within(table, reading)
    label = table.source.label
    found.repeated = shared.repeated
    if shared.collisions:
        found.problems.append(keys.collision(table, reading, shared))
    _judge(found, label, accept_odd)
    found.notes += [f"{label}: {one}" for one in (gaps.notes() if gaps is not None else ())]
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
    timed = rows.select("symbol", "interval", "event_time").drop_nulls("event_time")
    first, last = pl.col("event_time").min().alias("first"), pl.col("event_time").max().alias("last")
    for symbol, interval, begin, end in timed.group_by("symbol", "interval").agg(first, last).iter_rows():
        span = found.spans.get((symbol, interval), (begin, end))
        found.spans[symbol, interval] = (min(span[0], begin), max(span[1], end))
    found.priceless += int(rows["close"].is_null().sum())
    bars = rows.select(*_OHLC).drop_nulls().filter((pl.min_horizontal(*_OHLC) > 0) & (pl.col("high") != pl.col("low")))
    high, low = pl.max_horizontal("open", "low", "close"), pl.min_horizontal("open", "high", "close")
    found.whole += bars.height
    found.twisted += bars.filter((pl.col("high") < high) | (pl.col("low") > low)).height


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
    if found.twisted > found.whole / 2:
        found.problems.append(
            f"{label}: high is not the highest price, or low not the lowest, in {found.twisted} of {found.whole} rows; "
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
