"""Walk-forward splits: the training bars and the test bars of each fold, in order of time.

Input: the starts of bars and the times at which their labels are known. Output: folds. No fold trains on a label that
was unknown an embargo before its first test bar: labels that overlap the test are purged, for all symbols alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from financelake_assets.errors import FinanceLakeError

Times = NDArray[np.datetime64]
At = Callable[[datetime], Any]
"""Makes of a moment what a column of times can be compared with."""


class LeakError(FinanceLakeError):
    """A forest was judged on what it had learnt."""


@dataclass(frozen=True)
class Fold:
    """Train on labels known before ``learn_before``, test on bars from ``start`` to before ``end`` (UTC).

    A sliding window uses only labels known since ``learn_since``; ``None`` means an expanding window.
    """

    number: int
    learn_before: datetime
    start: datetime
    end: datetime
    learn_since: datetime | None = None

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


def refuse_leaks(tested: pl.DataFrame, embargo: timedelta) -> None:
    """Check what the folds learnt from, whatever the code that split them says.

    Args:
        tested: fold and event_time of every row that was predicted, and ``learnt_until``, the latest time at which a
            label that its forest learnt was known.
        embargo: how long before a test a label must be known.

    Raises:
        LeakError: a forest learnt a label that overlaps its test.
    """
    late = tested.group_by("fold").agg(pl.col("event_time").min(), pl.col("learnt_until").max()).sort("fold")
    for fold, start, until in late.filter(pl.col("learnt_until") + embargo >= pl.col("event_time")).iter_rows():
        raise LeakError(
            f"fold {fold} learnt a label that was known at {until}, less than {embargo} before its test from {start}",
            remedy="This is an error in FinanceLake. Please report it, and do not use this version.",
        )


def _stamp(moment: datetime) -> np.datetime64:
    return np.datetime64(moment.replace(tzinfo=None), "us")


def _moment(stamp: np.datetime64) -> datetime:
    moment: datetime = stamp.astype("datetime64[us]").item()
    return moment
