"""The newest bars of every series in memory, so that scoring a new bar reads no table.

Input: complete changed bars. Output: those bars with the earlier bars that scoring needs. It reads from silver only a
series that is new, or a change that is older than the bars in memory. The result never depends on what is in memory: an
empty memory gives the same rows.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from financelake_assets.intervals import SERIES
from financelake_assets.model.features import LOOKBACK, time_before
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.open_tables import OpenTables

_KEY = list(BARS.key)
_COLUMNS = [name for name in BARS.schema.names if name != "processed_at"]
_Series = tuple[str, str]


class RecentBars:
    """The bars shortly before the next changes."""

    def __init__(self, tables: OpenTables, extra_bars: int) -> None:
        """Start with an empty memory.

        Args:
            tables: the source of bars that are not in memory.
            extra_bars: how many bars before a changed one are needed, in addition to those for its features.
        """
        self._tables = tables
        self._extra = extra_bars
        self._needed = LOOKBACK + extra_bars
        self._bars = BARS.empty.select(_COLUMNS)
        self._known_from: dict[_Series, datetime] = {}

    def with_changes(self, changed: pl.DataFrame) -> pl.DataFrame:
        """Add changed bars.

        Args:
            changed: rows of silver.bars, each key once.

        Returns:
            All bars of their series that are in memory or were read, by series and time: the changed bars, at least
            the earlier bars that they need, and the later ones.
        """
        changed = changed.select(_COLUMNS)
        absent = self._absent(changed)
        read = [self._read(interval, rows) for interval, rows in _by_interval(absent).items()]
        both = pl.concat([self._bars, *read, changed])
        bars = both.unique(_KEY, keep="last", maintain_order=True).sort(_KEY)
        self._bars = bars.group_by(SERIES, maintain_order=True).tail(2 * self._needed).select(_COLUMNS)
        for symbol, interval, first in absent:
            self._known_from[symbol, interval] = first - self._before(interval)
        self._forget(bars)
        return bars.join(changed.select(SERIES).unique(), on=SERIES, how="semi", maintain_order="left")

    def _absent(self, changed: pl.DataFrame) -> list[tuple[str, str, datetime]]:
        """The series for which memory lacks needed bars, each with its first changed bar."""
        firsts = changed.group_by(SERIES).agg(first=pl.col("event_time").min())
        before = self._bars.join(firsts, on=SERIES).filter(pl.col("event_time") < pl.col("first"))
        counted = firsts.join(before.group_by(SERIES).len(), on=SERIES, how="left").fill_null(0)
        return [
            (symbol, interval, first)
            for symbol, interval, first, count in counted.iter_rows()
            if (known_from := self._known_from.get((symbol, interval))) is None
            or not (known_from <= first - self._before(interval) or (known_from <= first and count >= self._needed))
        ]

    def _before(self, interval: str) -> timedelta:
        return time_before(interval, self._extra)

    def _read(self, interval: str, firsts: dict[str, datetime]) -> pl.DataFrame:
        since = min(firsts.values()) - self._before(interval)
        wanted = (pl.col("interval") == interval) & pl.col("symbol").is_in(list(firsts))
        rows = self._tables.scan(BARS).filter(wanted & (pl.col("event_time") >= since))
        return rows.select(_COLUMNS).collect()

    def _forget(self, bars: pl.DataFrame) -> None:
        """For each series whose old bars were dropped, record from when on it is complete."""
        kept = {(row[0], row[1]): row[2] for row in _firsts(self._bars)}
        for symbol, interval, first in _firsts(bars):
            if kept[symbol, interval] > first:
                self._known_from[symbol, interval] = kept[symbol, interval]


def _firsts(bars: pl.DataFrame) -> list[tuple[str, str, datetime]]:
    return list(bars.group_by(SERIES).agg(pl.col("event_time").min()).iter_rows())


def _by_interval(firsts: list[tuple[str, str, datetime]]) -> dict[str, dict[str, datetime]]:
    found: dict[str, dict[str, datetime]] = {}
    for symbol, interval, first in firsts:
        found.setdefault(interval, {})[symbol] = first
    return found
