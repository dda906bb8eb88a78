"""The newest bars of other series that features ask for, in memory, so that scoring a bar reads no table.

Input: changes of silver, and the bars to score. Output: the other series beside them. Kept is what the last bars
needed, and at most as much again. An empty memory gives the same: it only saves reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.bronze.universe import calendars
from financelake_assets.intervals import SERIES
from financelake_assets.model import other_reading, other_series
from financelake_assets.model.other_series import COLUMNS, NONE, OtherBars, Plugins, Series
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.open_tables import OpenTables

_KEY = list(BARS.key)


@dataclass
class _Kept:
    """A series' newest bars: all from ``since`` on."""

    since: datetime
    rows: pl.DataFrame


class RecentOthers:
    """The bars of other series shortly before the next bars to score."""

    def __init__(self, tables: OpenTables) -> None:
        """Start with an empty memory.

        Args:
            tables: the source of bars that are not in memory.
        """
        self._tables = tables
        self._kept: dict[Series, _Kept] = {}

    def take(self, changed: pl.DataFrame) -> None:
        """Take note of changes.

        Args:
            changed: rows of silver.bars in the order of their commits, of any series.
        """
        if not self._kept:
            return
        for (symbol, interval), rows in changed.select(COLUMNS).group_by(*SERIES, maintain_order=True):
            kept = self._kept.get((str(symbol), str(interval)))
            if kept is not None:
                kept.rows = pl.concat([kept.rows, rows]).unique(_KEY, keep="last", maintain_order=True)

    def beside(self, plugins: Plugins, bars: pl.DataFrame) -> OtherBars:
        """The other series that features of some bars need; see ``other_reading.beside``.

        Args:
            plugins: features in use.
            bars: of one interval, each series from the oldest bar that the features need.
        """
        if not other_series.asking(plugins):
            return NONE
        needed = other_reading.needed(plugins, bars)
        absent = {key: since for key, since in needed.items() if key not in self._kept or self._kept[key].since > since}
        if absent:
            rows = other_reading.read(self._tables.scan(BARS), absent)
            for (symbol, interval), since in absent.items():
                self._kept[symbol, interval] = _Kept(since, rows.filter(symbol=symbol, interval=interval))
        for key, since in needed.items():
            self._forget(self._kept[key], since)
        whole = pl.concat(self._kept[key].rows for key in needed)
        known = self._tables.scan(UNIVERSE).filter(pl.col("symbol").is_in({symbol for symbol, _ in needed}))
        return other_series.complete(whole, calendars(known.collect()))

    @staticmethod
    def _forget(kept: _Kept, since: datetime) -> None:
        late = kept.rows.filter(pl.col("event_time") >= since)
        if 2 * late.height < kept.rows.height and not late.is_empty():
            kept.since, kept.rows = since, late
