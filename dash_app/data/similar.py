"""The bars of a series' own past that were most like a chosen bar, and what came after them, as known then.

Input: bars up to the chosen one. Output: a ``Similar``. Likeness is the Euclidean distance of the model's features,
each divided by its standard deviation in that past. A bar counts only if its outcome was known when the chosen bar
ended, and no two of them are closer than ``APART`` bars, because their outcomes would be nearly one. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from scipy import stats

from financelake_assets.model.features import FEATURES, features_of

NEAREST = 20
APART = 5
PAST = 3_000
"""Bars before the chosen one that are searched."""
_LEAST_PAST = 100
_LEAST_KNOWN = 0.5
"""The share of a feature's values that must be known for it to count."""


@dataclass(frozen=True)
class Day:
    """A bar that was alike: its start, its distance (0 is the same), and the return after it."""

    event_time: datetime
    distance: float
    after: float


@dataclass(frozen=True)
class Similar:
    """The bars most alike, and what came after them.

    ``mean`` is the mean log return over ``horizon`` bars with its 95 % interval by Student's t; ``rose`` how many rose;
    ``usual`` the mean of the whole past, and ``usual_rose`` the share of it that rose, to compare with.
    """

    days: tuple[Day, ...]
    horizon: int
    searched: int
    mean: float
    low: float
    high: float
    rose: int
    usual: float
    usual_rose: float


def similar(bars: pl.DataFrame, horizon: int = 1) -> Similar | None:
    """What came after the bars most like the last one; ``None`` where the past is too short.

    Args:
        bars: of one series with the columns of silver.bars, oldest first; the last one is the chosen bar.
        horizon: bars after which the outcome is measured.
    """
    seen = features_of(bars.tail(PAST + 1))
    if seen.height < _LEAST_PAST or not seen["scorable"][-1]:
        return None
    price = seen["price"].to_numpy().astype(np.float64)
    after = np.full(len(price), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        after[:-horizon] = np.log(price[horizon:] / price[:-horizon])
    scorable = seen["scorable"].to_numpy().astype(bool)
    # the outcome of a bar within the horizon is not known yet at the end of the chosen bar; NaN leaves it out
    known = scorable & np.isfinite(after)
    if known.sum() < _LEAST_PAST:
        return None
    distances = _distances(seen.select(FEATURES).to_numpy().astype(np.float64), known)
    order = [int(at) for at in np.argsort(distances, kind="stable") if np.isfinite(distances[at])]
    picked: list[int] = []
    for at in order:
        if len(picked) == NEAREST:
            break
        if all(abs(at - other) >= APART for other in picked):
            picked.append(at)
    if len(picked) < 3:
        return None
    outcomes = after[picked]
    half = stats.t.ppf(0.975, len(picked) - 1) * outcomes.std(ddof=1) / math.sqrt(len(picked))
    times = seen["event_time"]
    return Similar(
        tuple(Day(times[at], float(distances[at]), float(after[at])) for at in picked),
        horizon,
        int(known.sum()),
        float(outcomes.mean()),
        float(outcomes.mean() - half),
        float(outcomes.mean() + half),
        int((outcomes > 0).sum()),
        float(after[known].mean()),
        float((after[known] > 0).mean()),
    )


def _distances(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The distance of each bar from the last one, per feature that both have; infinite for bars without an outcome."""
    past, last = values[known], values[-1]
    with np.errstate(invalid="ignore"):
        enough = np.isfinite(past).mean(axis=0) >= _LEAST_KNOWN
        centred = np.where(np.isfinite(past), past, np.nan)
        spread = np.array([np.nanstd(column) if ok else 0.0 for column, ok in zip(centred.T, enough, strict=True)])
        used = enough & (spread > 0) & np.isfinite(last)
        steps = ((values[:, used] - last[used]) / spread[used]) ** 2
        shared = np.isfinite(steps).sum(axis=1)
        far = np.sqrt(np.nansum(steps, axis=1) / np.maximum(shared, 1))
    return np.where(known & (shared >= used.sum() * 0.8) & (shared > 0), far, np.inf)
