"""Walk-forward splits: the training bars and the test bars of each fold, in order of time.

Input: the starts of bars and the times at which their labels are known. Output: folds, and the refits that a live lake
would have made inside them. None of them trains on a label that was unknown an embargo before its first test bar:
labels that overlap the test are purged, for all symbols alike.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from financelake_assets.errors import FinanceLakeError

Times = NDArray[np.datetime64]
At = Callable[[datetime], Any]
"""Makes of a moment what a column of times can be compared with."""


Due = Callable[[int, float], object]
"""Whether a training is due after so many new bars and so many days since the last one; what is due stays due."""

_DAY = np.timedelta64(1, "D")


class LeakError(FinanceLakeError):
    """A forest was judged on what it had learnt."""


@dataclass(frozen=True)
class Fold:
    """Train on labels known before ``learn_before``, test on bars from ``start`` to before ``end`` (UTC).

    A sliding window uses only labels known since ``learn_since``; ``None`` means an expanding window. What is tested is
    reported by ``number``. Several with one number are the refits of a fold, which ``refit`` counts through all folds;
    it is ``None`` for the fold's own forest.
    """

    number: int
    learn_before: datetime
    start: datetime
    end: datetime
    learn_since: datetime | None = None
    refit: int | None = None

    @property
    def name(self) -> str:
        """Its name for people."""
        return f"fold {self.number}" if self.refit is None else f"fold {self.number}, refit {self.refit}"

    def learns_from(self, target_time: Any, at: At | None = None) -> Any:
        """Which labels, by their target times, are training data of the fold.

        Args:
            target_time: an array of times, or a column of Spark or polars.
            at: makes of a moment what such a column is compared with; unset is for an array.
        """
        at = _stamp if at is None else at
        known = target_time < at(self.learn_before)
        return known if self.learn_since is None else known & (target_time >= at(self.learn_since))

    def judges(self, event_time: Any, at: At | None = None) -> Any:
        """Which bars, by their start times, are test data of the fold; see ``learns_from``."""
        at = _stamp if at is None else at
        return (event_time >= at(self.start)) & (event_time < at(self.end))


def walk_forward(event_time: Times, folds: int, embargo: timedelta, window: timedelta | None = None) -> list[Fold]:
    """Folds with about the same number of bars, in order; the first trains on at most as many bars as it tests.

    Args:
        event_time: start of every labelled bar of all symbols, UTC, in any order.
        folds: how many; fewer if too many bars share a time.
        embargo: how long before a test a label must be known; at least the horizon.
        window: how far back each fold trains; ``None`` is from the beginning, an expanding window.

    Returns:
        Folds numbered from 1, in order; together they test every bar after the first part, once.
    """
    ordered = np.sort(event_time)
    first = [ordered[len(ordered) * part // (folds + 1)] for part in range(1, folds + 1)] if len(ordered) else []
    starts = [_moment(start) for start in np.unique(np.array(first)) if start > ordered[0]]
    if not starts:
        return []
    ends = [*starts[1:], _moment(ordered[-1]) + timedelta(microseconds=1)]
    return [
        Fold(number, start - embargo, start, end, None if window is None else start - embargo - window)
        for number, (start, end) in enumerate(zip(starts, ends, strict=True), start=1)
    ]


def refits(folds: Sequence[Fold], event_time: Times, due: Due) -> list[Fold]:
    """The folds as a live lake would have gone through them: trained at the start of each, and then when it was due.

    A training is due, or not, when bars have come; its forest tests the bars that come after those.

    Args:
        folds: in order, as ``walk_forward`` makes them.
        event_time: start of every bar of all symbols, UTC, in any order, also of those that cannot be learnt.
        due: the rule of the live lake.

    Returns:
        The refits of all folds in order, each with its fold's number, embargo and window. They test the folds' bars.
    """
    times, counts = np.unique(event_time, return_counts=True)
    come = np.cumsum(counts)
    found: list[Fold] = []
    for fold in folds:
        embargo, window = fold.start - fold.learn_before, None
        if fold.learn_since is not None:
            window = fold.learn_before - fold.learn_since
        first, beyond = (int(np.searchsorted(times, _stamp(moment))) for moment in (fold.start, fold.end))
        starts = [fold.start, *(_moment(times[at]) for at in _trained(times, come, first, beyond, due))]
        for start, end in zip(starts, [*starts[1:], fold.end], strict=True):
            since = None if window is None else start - embargo - window
            found.append(Fold(fold.number, start - embargo, start, end, since, len(found) + 1))
    return found


def _trained(times: Times, come: NDArray[np.int64], first: int, beyond: int, due: Due) -> Iterator[int]:
    """The places of the bars that come just after each training, where one took place before ``first``."""
    while first < beyond:
        before = max(first - 1, 0)
        had = come[before] if first else 0

        def is_due(at: int, before: int = before, had: int = had) -> bool:
            return bool(due(int(come[at] - had), float((times[at] - times[before]) / _DAY)))

        # what is due stays due, so the first bar at which it is can be found by halving
        first += bisect_left(range(first, beyond), True, key=is_due) + 1
        if first < beyond:
            yield first


def with_newest(
    folds: Sequence[Fold], made: Sequence[Fold], target_time: Times, most: int, most_rows: int
) -> list[Fold]:
    """The folds, in which the newest refits test what they can.

    Args:
        folds: in order.
        made: their refits, in order.
        target_time: of every row that can be learnt.
        most: how many refits there may be.
        most_rows: how many rows they may learn, those of all added up; 0 is any number.

    Returns:
        The folds up to the first of these refits, the last of them cut off there, then the refits, counted from 1.
    """
    newest: list[Fold] = []
    rows = 0
    for refit in reversed(made[max(0, len(made) - most) :]):
        rows += int(refit.learns_from(target_time).sum())
        if most_rows and rows > most_rows:
            break
        newest.insert(0, refit)
    if not newest:
        return list(folds)
    since = newest[0].start
    own = [replace(fold, end=min(fold.end, since)) for fold in folds if fold.start < since]
    return [*own, *(replace(refit, refit=number) for number, refit in enumerate(newest, start=1))]


def last_as_a_whole(folds: Sequence[Fold]) -> Fold:
    """The first forest of the last fold, tested on all bars of the fold, also on those that its later refits test."""
    first = next(fold for fold in folds if fold.number == folds[-1].number)
    return replace(first, end=folds[-1].end)


def refuse_leaks(tested: pl.DataFrame, embargo: timedelta) -> None:
    """Check what the folds learnt from, whatever the code that split them says.

    Args:
        tested: fold, refit and event_time of every row that was predicted, and ``learnt_until``, the latest time at
            which a label that its forest learnt was known.
        embargo: how long before a test a label must be known.

    Raises:
        LeakError: a forest learnt a label that overlaps its test.
    """
    own = ("fold", "refit")
    late = tested.group_by(own).agg(pl.col("event_time").min(), pl.col("learnt_until").max()).sort(own)
    for fold, refit, start, until in late.filter(pl.col("learnt_until") + embargo >= pl.col("event_time")).iter_rows():
        name = f"fold {fold}" if refit is None else f"fold {fold}, refit {refit}"
        raise LeakError(
            f"{name} learnt a label that was known at {until}, less than {embargo} before its test from {start}",
            remedy="This is an error in FinanceLake. Please report it, and do not use this version.",
        )


def _stamp(moment: datetime) -> np.datetime64:
    return np.datetime64(moment.replace(tzinfo=None), "us")


def _moment(stamp: np.datetime64) -> datetime:
    moment: datetime = stamp.astype("datetime64[us]").item()
    return moment
