"""The lake as of a past bar: nothing of a later bar, signal, prediction or outcome is in it.

Input: a ``Snapshot`` and a moment. Output: a ``Snapshot`` with only the rows whose bar had ended by then. A bar is
known at its end. The bars are those that the lake has now: a correction that came later is in them.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl
from cachetools import LRUCache

from dash_app.data.cached_tables import Group, TableView
from dash_app.data.feed_view import FeedView
from dash_app.data.history import Frames, History, with_series
from dash_app.data.lake_reader import KEPT_BARS, Snapshot
from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.gold.paper.schema import TRADES
from financelake_assets.gold.schema import PREDICTIONS, SCORECARD, SIGNALS
from financelake_assets.intervals import interval_length
from financelake_assets.model.schema import MODELS
from financelake_assets.silver.schema import BARS, FINDINGS

_CUT = {
    BARS.full_name: "event_time",
    PREDICTIONS.full_name: "event_time",
    SIGNALS.full_name: "event_time",
    FINDINGS.full_name: "event_time",
    SCORECARD.full_name: "target_time",
    TRADES.full_name: "event_time",
}
"""The tables of a replay, and the bar of each row after whose end it is known."""
_WHOLE = (UNIVERSE.full_name, MODELS.full_name)
"""What tells nothing of bars, and which model a signal names."""
_KEPT = 32


def end_of(start: datetime, interval: str) -> datetime:
    """When a bar ends and so is known; the start itself where an interval has no length."""
    return start + (interval_length(interval) or timedelta(0))


def last_start(moment: datetime, interval: str) -> datetime:
    """The latest start of a bar that has ended by a moment."""
    return moment - (interval_length(interval) or timedelta(0))


class Replays:
    """Snapshots as of moments; those that were asked for last are kept for all visitors. Thread-safe."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._kept: LRUCache[tuple[str, datetime, str, str], Snapshot] = LRUCache(_KEPT)
        self._lock = threading.Lock()

    def at(self, snapshot: Snapshot, moment: datetime, symbol: str, interval: str) -> Snapshot:
        """The snapshot as of a moment; of one series, as far back as the lake has bars."""
        key = (snapshot.stamp, moment, symbol, interval)
        with self._lock:
            found = self._kept.get(key)
        if found is None:
            found = as_of(snapshot, moment)
            frames = self._history.of(snapshot, symbol, interval)
            own = frames.until(last_start(moment, interval), KEPT_BARS)
            found = self._with_outcomes(with_series(found, symbol, interval, own), snapshot, symbol, interval)
            with self._lock:
                self._kept[key] = found
        return found

    def _with_outcomes(self, found: Snapshot, now: Snapshot, symbol: str, interval: str) -> Snapshot:
        """With the outcomes that the page does not keep any more."""
        moment, view = found.as_of, found.tables.get(SCORECARD.full_name)
        if moment is None or view is None or now.scorecard.group(symbol, interval).height < KEPT_BARS:
            return found
        every: dict[Group, pl.DataFrame] = {(symbol, interval): self._history.outcomes(symbol, interval)}
        mine = {key: rows.tail(KEPT_BARS) for key, rows in _cut(every, moment, _CUT[SCORECARD.full_name]).items()}
        tables = {**found.tables, SCORECARD.full_name: replace(view, groups={**view.groups, **mine})}
        return replace(found, tables=tables)


def as_of(snapshot: Snapshot, moment: datetime) -> Snapshot:
    """The snapshot with only what was known at a moment. What is not listed above is left out."""
    tables: dict[str, TableView] = {name: snapshot.tables[name] for name in _WHOLE if name in snapshot.tables}
    for name, column in _CUT.items():
        view = snapshot.tables.get(name)
        if view is not None:
            tables[name] = replace(view, groups=_cut(view.groups, moment, column))
    return Snapshot(tables=tables, feed=FeedView(), loaded=snapshot.loaded, settings=snapshot.settings, as_of=moment)


def _cut(groups: Mapping[Group, pl.DataFrame], moment: datetime, column: str) -> dict[Group, pl.DataFrame]:
    found = {}
    for key, frame in groups.items():
        last = last_start(moment, key[1])  # of a series or an account
        if column == "event_time":
            rows = frame.head(int(frame[column].search_sorted(last, side="right")))
        else:
            rows = frame.filter(pl.col(column) <= last)
        if not rows.is_empty():
            found[key] = rows
    return found


def stepped(frames: Frames, interval: str, moment: datetime | None, by: int) -> datetime | None:
    """The end of the bar that is ``by`` bars after the newest one known at a moment, within the series.

    Args:
        frames: the whole series.
        interval: its interval.
        moment: of the replay; ``None`` is the newest bar.
        by: how many bars later; earlier if negative.
    """
    times = frames.bars["event_time"] if not frames.bars.is_empty() else None
    if times is None:
        return None
    known = len(times) if moment is None else int(times.search_sorted(last_start(moment, interval), side="right"))
    at = min(max(known - 1 + by, 0), len(times) - 1)
    return end_of(times[at], interval)
