"""Walk-forward splits: which bars a fold may learn from and which it is judged on, in order of time.

Enters: when bars start and when their labels are known. Leaves: folds. No fold learns from a label that was not known
an embargo before its first tested bar: labels that overlap the test are purged, for all symbols alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.datetime64]


@dataclass(frozen=True)
class Fold:
    """Learn from labels known before ``learn_before``, judge on bars from ``start`` to before ``end`` (UTC).

    Of a sliding window only those known since ``learn_since`` count; ``None`` is an expanding one.
    """

    number: int
    learn_before: datetime
    start: datetime
    end: datetime
    learn_since: datetime | None = None

    def learns_from(self, target_time: Times) -> NDArray[np.bool_]:
        """Of labels by their target times, those that the fold may learn from."""
        known = target_time < _stamp(self.learn_before)
        return known if self.learn_since is None else known & (target_time >= _stamp(self.learn_since))

    def judges(self, event_time: Times) -> NDArray[np.bool_]:
        """Of bars by their start times, those that the fold is judged on."""
        return (event_time >= _stamp(self.start)) & (event_time < _stamp(self.end))


def walk_forward(event_time: Times, folds: int, embargo: timedelta, window: timedelta | None = None) -> list[Fold]:
    """Folds of about equally many bars, in order; the first learns from as many as it is judged on, or fewer.

    Args:
        event_time: start of every labelled bar of all symbols, UTC, in any order.
        folds: how many; fewer come out where too many bars share a time.
        embargo: how long before a test a label must have been known; at least the horizon.
        window: how far back each fold learns; ``None`` is from the beginning, an expanding window.

    Returns:
        Folds numbered from 1, in order; together they test every bar behind the first part, once.
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
