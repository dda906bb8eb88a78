"""The newest predictions of each series in memory, so that the interval of a new one reads no table.

Input: the bars that will be predicted. Output: the predictions before them, as they are in gold.predictions. An empty
memory gives the same rows: it only saves reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from financelake_assets.gold.adapting import COLUMNS, EARLIER
from financelake_assets.gold.schema import PREDICTIONS
from financelake_assets.intervals import SERIES
from financelake_assets.model import features
from financelake_assets.model.record import ModelRecord
from financelake_assets.storage.open_tables import OpenTables

_KEPT = 64
"""So many predictions of a series are kept beside those of a horizon: late bars are few."""


@dataclass
class _Kept:
    """A series' newest predictions: all from ``since`` on."""

    since: datetime
    rows: pl.DataFrame


@dataclass
class EarlierPredictions:
    """The newest predictions of each series, kept as long as nobody else writes gold.predictions."""

    tables: OpenTables
    _version: int | None = None
    _kept: dict[tuple[str, str], _Kept] = field(default_factory=dict)

    def before(self, wanted: pl.DataFrame, record: ModelRecord) -> pl.DataFrame:
        """The earlier predictions that those of wanted bars depend on; see ``adapted``.

        Args:
            wanted: keys of bars of the record's interval.
            record: the version that will predict them.
        """
        version = self.tables.newest(PREDICTIONS).version()
        if version != self._version:
            self._version, self._kept = version, {}
        firsts = dict(wanted.group_by("symbol").agg(pl.col("event_time").min()).iter_rows())
        lacking = {
            symbol: first
            for symbol, first in firsts.items()
            if not _reaches(self._kept.get((symbol, record.interval)), first, record)
        }
        if lacking:
            self._read(lacking, record)
        return pl.concat([EARLIER, *(self._kept[symbol, record.interval].rows for symbol in firsts)])

    def written(self, rows: pl.DataFrame, new: int) -> None:
        """Take note of predictions that were written since ``before``, so that they need not be read.

        Args:
            rows: of gold.predictions.
            new: how many of them were not in the table yet.
        """
        version = self.tables.newest(PREDICTIONS).version()
        if self._version is None or new != rows.height or version != self._version + (new > 0):
            self._version = None  # another process wrote too: read again
            return
        self._version = version
        for (symbol, interval), own in rows.select(COLUMNS).group_by(*SERIES):
            series = (str(symbol), str(interval))
            if series in self._kept:
                before = self._kept[series]
                both = pl.concat([before.rows, own]).unique(maintain_order=True).sort("event_time", "as_of")
                self._kept[series] = _shortened(_Kept(before.since, both))

    def _read(self, firsts: dict[str, datetime], record: ModelRecord) -> None:
        since = min(firsts.values()) - _window(record)
        near = (pl.col("interval") == record.interval) & (pl.col("event_time") >= pl.lit(since))
        rows = self.tables.scan(PREDICTIONS).filter(near & pl.col("symbol").is_in(list(firsts)))
        found = rows.select(COLUMNS).collect().sort("event_time", "as_of")
        for symbol in firsts:
            self._kept[symbol, record.interval] = _Kept(since, found.filter(pl.col("symbol") == symbol))


def _window(record: ModelRecord) -> timedelta:
    """How far before a bar the predictions lie that its own depends on: behind a longer gap a series begins anew."""
    return features.reach(record.interval) * record.horizon


def _reaches(kept: _Kept | None, first: datetime, record: ModelRecord) -> bool:
    if kept is None or kept.since > first:
        return False
    before = kept.rows.filter(pl.col("event_time") < first, pl.col("horizon") == record.horizon)
    return kept.since <= first - _window(record) or before["event_time"].n_unique() >= record.horizon


def _shortened(kept: _Kept) -> _Kept:
    if kept.rows.height <= 2 * _KEPT:
        return kept
    longest: int = kept.rows["horizon"].max()  # type: ignore[assignment]
    bars = kept.rows["event_time"].unique(maintain_order=True).tail(_KEPT + longest)
    rows = kept.rows.filter(pl.col("event_time") >= bars[0])  # whole bars: each may have several horizons
    return kept if rows.height == kept.rows.height else _Kept(bars[0], rows)
