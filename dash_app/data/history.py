"""The older bars of a series, with their predictions and signals, which the page does not keep in memory.

Input: a ``Snapshot`` and a series. Output: ``Frames``: what the lake's tables have, joined with the snapshot's newest
rows. They are read by delta-rs through ``financelake_assets.lake``, without Spark, and kept for a minute. So a new bar
shows at once, and a correction of an old one after at most a minute.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast

import polars as pl
from cachetools import TTLCache

from dash_app.data.lake_reader import KEPT_BARS, Snapshot
from financelake_assets import lake
from financelake_assets.config import Settings
from financelake_assets.gold.schema import PREDICTIONS, SCORECARD, SIGNALS
from financelake_assets.model.markets import FURTHER
from financelake_assets.query.names import dotted
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.delta import TableSpec

MOST_BARS = 150_000
"""The newest bars of a series that a chart can reach: 100,000 to draw, and others before them for indicators."""
_KEPT_ROWS = 1_500_000
"""Of all series together in the cache, bars, predictions and signals alike."""
_KEPT_SECONDS = 60

_TABLES = (BARS, PREDICTIONS, SIGNALS)


@dataclass(frozen=True, eq=False)
class Frames:
    """One series: bars, predictions and signals, each oldest first."""

    bars: pl.DataFrame
    predictions: pl.DataFrame
    signals: pl.DataFrame

    @property
    def rows(self) -> int:
        """Rows of all three."""
        return self.bars.height + self.predictions.height + self.signals.height

    def until(self, last: datetime, most: int) -> Frames:
        """The newest ``most`` rows of each table that are not after the bar ``last``."""
        return Frames(*(_until(frame, last).tail(most) for frame in (self.bars, self.predictions, self.signals)))


def _until(frame: pl.DataFrame, last: datetime) -> pl.DataFrame:
    return frame if frame.is_empty() else frame.head(int(frame["event_time"].search_sorted(last, side="right")))


class History:
    """Reads the older bars of series, and keeps those that were asked for last. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._read: TTLCache[tuple[str, str], Frames] = TTLCache(
            _KEPT_ROWS, _KEPT_SECONDS, getsizeof=lambda frames: max(1, frames.rows)
        )
        self._outcomes: TTLCache[tuple[str, ...], pl.DataFrame] = TTLCache(4, _KEPT_SECONDS)
        self._lock = threading.Lock()

    def of(self, snapshot: Snapshot, symbol: str, interval: str) -> Frames:
        """Everything of a series, up to ``MOST_BARS`` rows a table."""
        kept = kept_frames(snapshot, symbol, interval)
        if kept.bars.height < KEPT_BARS:  # the page has them all
            return kept
        old = self._older(symbol, interval)
        if not old.bars.is_empty() and old.bars["event_time"][-1] < kept.bars["event_time"][0]:
            # more bars came within the minute than the page keeps
            with self._lock:
                self._read.pop((symbol, interval), None)
            old = self._older(symbol, interval)
        return Frames(
            _joined(old.bars, kept.bars),
            _joined(old.predictions, kept.predictions),
            _joined(old.signals, kept.signals),
        )

    def outcomes(self, symbol: str, interval: str) -> pl.DataFrame:
        """The rows of gold.scorecard of a series, oldest first."""
        key = (symbol, interval, SCORECARD.name)
        with self._lock:
            found = self._outcomes.get(key)
        if found is None:
            found = self._rows(SCORECARD, symbol, interval)
            with self._lock:
                self._outcomes[key] = found
        return found

    def around(self, snapshot: Snapshot, symbol: str, interval: str, last: datetime) -> Snapshot:
        """The snapshot with a series as it was when ``last`` was its newest bar, to explain a bar that is not kept."""
        known = kept_frames(snapshot, symbol, interval).bars
        if known.is_empty() or (known.height < KEPT_BARS or known["event_time"][KEPT_BARS // 2] <= last):
            return snapshot
        return with_series(snapshot, symbol, interval, self.of(snapshot, symbol, interval).until(last, KEPT_BARS))

    def _older(self, symbol: str, interval: str) -> Frames:
        with self._lock:
            found = self._read.get((symbol, interval))
        if found is not None:
            return found
        made = Frames(*(self._rows(spec, symbol, interval) for spec in _TABLES))
        if made.rows < _KEPT_ROWS:
            with self._lock:
                self._read[symbol, interval] = made
        return made

    def _rows(self, spec: TableSpec, symbol: str, interval: str) -> pl.DataFrame:
        rows = lake.table(dotted(spec), settings=self._settings)
        mine = rows.filter(pl.col("symbol") == symbol, pl.col("interval") == interval)
        if "model_version" in spec.schema.names:  # those that belong to the signals, one a bar
            mine = mine.filter(~FURTHER)
        order = ["event_time", *(["as_of"] if "as_of" in spec.schema.names else [])]
        newest = mine.sort(order).unique("event_time", keep="last", maintain_order=True).tail(MOST_BARS)
        present = newest.collect_schema().names()
        columns = [
            (pl.col(name) if name in present else pl.lit(None)).cast(kind).alias(name)
            for name, kind in spec.empty.schema.items()
        ]
        return newest.select(columns).collect()


def kept_frames(snapshot: Snapshot, symbol: str, interval: str) -> Frames:
    """What the page keeps of a series."""
    return Frames(*(table.group(symbol, interval) for table in (snapshot.bars, snapshot.predictions, snapshot.signals)))


def with_series(snapshot: Snapshot, symbol: str, interval: str, frames: Frames) -> Snapshot:
    """The snapshot with other rows of one series."""
    tables = dict(snapshot.tables)
    for spec, frame in zip(_TABLES, (frames.bars, frames.predictions, frames.signals), strict=True):
        view = tables.get(spec.full_name)
        if view is not None:
            groups = {key: rows for key, rows in view.groups.items() if key != (symbol, interval)}
            if not frame.is_empty():
                groups[symbol, interval] = frame
            tables[spec.full_name] = replace(view, groups=groups)
    return replace(snapshot, tables=tables, _made={})


def _joined(old: pl.DataFrame, kept: pl.DataFrame) -> pl.DataFrame:
    """The old rows, then the newer ones; of a time that both have, the newer row."""
    if kept.is_empty() or old.is_empty():
        return old if kept.is_empty() else kept
    first = cast("datetime", kept["event_time"][0])
    before = old.head(int(old["event_time"].search_sorted(first, side="left")))
    return pl.concat([before, kept]) if before.height else kept
