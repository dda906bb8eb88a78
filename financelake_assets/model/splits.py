"""Walk-forward splits: the training bars and the test bars of each fold, in order of time.

Input: the starts of bars and the times at which their labels are known. Output: folds. No fold trains on a label that
was unknown an embargo before its first test bar: labels that overlap the test are purged, for all symbols alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.datetime64]


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

    def learns_from(self, target_time: Times) -> NDArray[np.bool_]:
        """Which labels, by their target times, are training data of the fold."""
        known = target_time < _stamp(self.learn_before)
        return known if self.learn_since is None else known & (target_time >= _stamp(self.learn_since))

    def judges(self, event_time: Times) -> NDArray[np.bool_]:
        """Which bars, by their start times, are test data of the fold."""
        return (event_time >= _stamp(self.start)) & (event_time < _stamp(self.end))


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


def _stamp(moment: datetime) -> np.datetime64:
    return np.datetime64(moment.replace(tzinfo=None), "us")


def _moment(stamp: np.datetime64) -> datetime:
    moment: datetime = stamp.astype("datetime64[us]").item()
    return moment
