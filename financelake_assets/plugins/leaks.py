"""Leaks: whether a function of bars knows more at a bar than was known then, as pure functions of frames.

Input: a function of the bars of one series. Output: the first column and bar at which it gives something else when
later bars, or bars before its look-back, are others or are not there. A label may know the bars up to its horizon. The
product's own features are examined by the same code as plug-ins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

Make = Callable[[pl.DataFrame], pl.DataFrame]
Others = Mapping[str, pl.DataFrame]

KNOWN_AT = "known_at"
"""The column that says from when on a bar counts: its end."""

TOLERANCE = 1e-6
"""Of a value or, where that is larger, of the column's median: a running sum keeps rounding errors of older bars."""

_KEY = ("symbol", "interval", "event_time")
_CONSTANT = (*_KEY, "asset_class", KNOWN_AT)
_SEED = 11


@dataclass(frozen=True)
class Leak:
    """A value that depends on what it must not depend on.

    ``check`` names the examination; ``whole`` is the value with all bars, ``part`` the other one.
    """

    check: str
    column: str
    symbol: str
    interval: str
    event_time: datetime
    whole: Any
    part: Any

    def __str__(self) -> str:
        return (
            f"the column {self.column} of {self.symbol} {self.interval} at {self.event_time:%Y-%m-%d %H:%M} is "
            f"{_shown(self.whole)} with all bars, and {_shown(self.part)} {_WITH[self.check]}"
        )


_WITH = {
    "repeatable": "when it is computed again: it is not a pure function",
    "truncation": "without the later bars: it knows the future",
    "shuffled future": "when the later bars are shuffled: it knows the future",
    "stream parity": "from the bars of its look-back alone: it looks back further than it declares",
    "warm-up": "when the series begins later: it looks back further than it declares",
    "others cut": "without the later bars of its other series: it knows their future",
    "others shuffled": "when the later bars of its other series are shuffled: it knows their future",
    "horizon": "without the bars behind its horizon: it looks ahead further than it declares",
    "shuffled horizon": "when the bars behind its horizon are shuffled: it looks ahead further than it declares",
}


def find(make: Make, bars: pl.DataFrame, lookback: int, *, tolerance: float = TOLERANCE, cuts: int = 24) -> Leak | None:
    """The first leak of a function of bars; ``None`` if there is none.

    Args:
        make: gives as many rows as it gets, with the columns to examine.
        bars: of one series, in order of time; at least ``lookback`` and a few more, or little can be found.
        lookback: how many bars before a bar the function may use.
        tolerance: see ``TOLERANCE``; 0 asks for the same bits.
        cuts: at how many bars the series is cut.
    """
    return _first_leak(make(bars), bars, _parts(make, bars, lookback, cuts), tolerance)


def find_ahead(make: Make, bars: pl.DataFrame, ahead: int, *, cuts: int = 24) -> Leak | None:
    """The first value of a label that depends on bars behind its horizon; ``None`` if there is none.

    Args:
        make: gives as many rows as it gets, with the columns to examine.
        bars: of one series, in order of time.
        ahead: how many bars behind a bar the function may use.
        cuts: at how many bars the series is cut.
    """
    return _first_leak(make(bars), bars, _parts_ahead(make, bars, ahead, cuts), TOLERANCE)


def find_in_others(
    make: Callable[[pl.DataFrame, Others], pl.DataFrame], bars: pl.DataFrame, others: Others, *, cuts: int = 24
) -> Leak | None:
    """The first value that depends on bars of other series which were not known then; ``None`` if there is none.

    Args:
        make: gives as many rows as it gets of bars, with the columns to examine.
        bars: of one series, in order of time, with ``KNOWN_AT``.
        others: bars of other series by name, in order of time, with ``KNOWN_AT``.
        cuts: at how many bars the other series are cut.
    """
    return _first_leak(make(bars, others), bars, _parts_of_others(make, bars, others, cuts), TOLERANCE)


def _first_leak(
    whole: pl.DataFrame, bars: pl.DataFrame, parts: Iterator[tuple[str, int, pl.DataFrame, int]], tolerance: float
) -> Leak | None:
    for check, first, part, rows in parts:
        found = _first_difference(whole.slice(first, rows), part, tolerance, whole)
        if found is not None:
            row, column = found
            at = bars.row(first + row, named=True)
            values = whole[column][first + row], part[column][row]
            return Leak(check, column, at["symbol"], at["interval"], at["event_time"], *values)
    return None


def _parts(make: Make, bars: pl.DataFrame, lookback: int, cuts: int) -> Iterator[tuple[str, int, pl.DataFrame, int]]:
    """For each examination the first row to compare, what the function gives there, and of how many rows."""
    yield "repeatable", 0, make(bars), bars.height
    for cut in _places(1, bars.height - 1, cuts):
        yield "truncation", 0, make(bars.head(cut)), cut
    for cut in _places(1, bars.height - 2, max(1, cuts // 4)):
        yield "shuffled future", 0, make(_shuffled_after(bars, cut)).head(cut), cut
    for row in _places(lookback, bars.height - 1, cuts):
        yield "stream parity", row, make(bars.slice(row - lookback, lookback + 1)).tail(1), 1
    for start in _places(1, bars.height - lookback - 1, max(1, cuts // 4)):
        later = make(bars.slice(start))
        yield "warm-up", start + lookback, later.slice(lookback), later.height - lookback


def _parts_of_others(
    make: Callable[[pl.DataFrame, Others], pl.DataFrame], bars: pl.DataFrame, others: Others, cuts: int
) -> Iterator[tuple[str, int, pl.DataFrame, int]]:
    """The bars stay as they are: so it also finds what looks ahead only where there are bars enough."""

    def known(cut: int, rows: pl.DataFrame) -> int:
        return int((rows[KNOWN_AT] <= bars[KNOWN_AT][cut - 1]).sum())

    for cut in _places(1, bars.height - 1, cuts):
        early = {name: rows.head(known(cut, rows)) for name, rows in others.items()}
        yield "others cut", 0, make(bars, early).head(cut), cut
    for cut in _places(1, bars.height - 2, max(1, cuts // 4)):
        other = {name: _shuffled_after(rows, known(cut, rows)) for name, rows in others.items()}
        yield "others shuffled", 0, make(bars, other).head(cut), cut


def _parts_ahead(make: Make, bars: pl.DataFrame, ahead: int, cuts: int) -> Iterator[tuple[str, int, pl.DataFrame, int]]:
    yield "repeatable", 0, make(bars), bars.height
    for cut in _places(ahead + 1, bars.height - 1, cuts):
        yield "horizon", 0, make(bars.head(cut)).head(cut - ahead), cut - ahead
    for cut in _places(ahead + 1, bars.height - 2, max(1, cuts // 4)):
        yield "shuffled horizon", 0, make(_shuffled_after(bars, cut)).head(cut - ahead), cut - ahead


def _places(first: int, last: int, count: int) -> list[int]:
    """So many whole numbers from ``first`` to ``last``, both included; fewer where there are not as many."""
    if last < first:
        return []
    steps = max(1, min(count, last - first + 1) - 1)
    return sorted({first + (last - first) * step // steps for step in range(steps + 1)})


def _shuffled_after(bars: pl.DataFrame, cut: int) -> pl.DataFrame:
    """The bars with the values of all rows from ``cut`` on in another order, at the same times."""
    values = [name for name in bars.columns if name not in _CONSTANT]
    later = bars.slice(cut)
    other = later.select(values).sample(fraction=1, shuffle=True, seed=_SEED)
    return pl.concat([bars.head(cut), later.with_columns(other.get_columns()).select(bars.columns)])


def _first_difference(
    whole: pl.DataFrame, part: pl.DataFrame, tolerance: float, all_of_it: pl.DataFrame
) -> tuple[int, str] | None:
    """The first row at which the frames differ, and the first column that differs there."""
    columns: Sequence[str] = whole.columns
    other = pl.DataFrame({name: _differs(whole[name], part[name], tolerance, all_of_it[name]) for name in columns})
    rows = other.select(pl.any_horizontal(pl.all())).to_series().arg_true()
    if rows.is_empty():
        return None
    return rows[0], next(name for name in columns if other[name][rows[0]])


def _differs(one: pl.Series, other: pl.Series, tolerance: float, column: pl.Series) -> pl.Series:
    differs = one.ne_missing(other)
    if not tolerance or not one.dtype.is_numeric():
        return differs
    usual = column.abs().median()
    scale = float(usual) if isinstance(usual, (int, float)) and usual == usual else 0.0  # not NaN
    both = pl.DataFrame({"one": one.cast(pl.Float64), "other": other.cast(pl.Float64)})
    size = pl.max_horizontal(pl.col("one").abs(), pl.lit(scale))
    near = both.select((pl.col("one") - pl.col("other")).abs() <= tolerance * size).to_series().fill_null(False)
    return differs & ~near


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    return f"{value:.9g}" if isinstance(value, float) else str(value)
