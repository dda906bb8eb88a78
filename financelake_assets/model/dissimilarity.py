"""Dissimilarity: how unlike all that a model learnt a bar is, as pure functions of frames.

Input: the features of the rows that a model learnt, and how important each is to it. Output: ``Landmarks``, a few of
those rows that stand for all, and the dissimilarity of any bar: the distance of its features to the nearest landmark.
It is 1 at the limit, which follows from the learnt rows alone; a forecast beyond it is not trusted. This is the
dissimilarity index of Meyer & Pebesma (2021), "Predicting into unknown space?", divided by its limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from financelake_assets.model.metrics import Floats
from financelake_assets.model.outputs import DISSIMILARITY, Predictor

_FILE = "landmarks.npz"
_SAMPLE, _MOST_ADDED = 500, 500
_STRETCHES = 5
_WHISKER = 1.5
_STEPS, _FARTHEST = 4_096.0, 2.0**22
"""Steps of the grid in a mean distance, and the farthest step: products of two, summed over the features, are exact."""
_ROWS_AT_ONCE = 256  # with all landmarks these fit in a core's cache


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Rows that stand for all that was learnt, on a grid: whole numbers of steps from the mean of each feature.

    A product of whole numbers has no rounding error. So a distance is the same to the last bit on every machine, for
    one bar as for a million, and a matrix product may find the nearest of them.

    ``names``: the features that count; ``mean`` and ``scale``: a value is at ``(value - mean) * scale`` on the grid;
    ``rows``: the landmarks, a column for each feature; ``limit``: the largest distance that is trusted, in steps.
    """

    names: tuple[str, ...]
    mean: Floats
    scale: Floats
    rows: NDArray[np.float64]
    limit: float

    @property
    def threshold(self) -> float:
        """The limit of Meyer & Pebesma's index: in mean distances between two learnt rows."""
        return self.limit / _STEPS

    def of(self, rows: pl.DataFrame) -> pl.Series:
        """The dissimilarity of bars.

        Args:
            rows: the features.

        Returns:
            The column ``DISSIMILARITY``; null where a feature is missing.
        """
        placed = _placed(_values(rows, self.names), self.mean, self.scale)
        return pl.Series(DISSIMILARITY, _nearest(placed, self.rows) / self.limit, pl.Float64).fill_nan(None)

    def save(self, folder: Path) -> None:
        """Write them into a version's folder."""
        np.savez(
            folder / _FILE,
            names=np.array(self.names),
            mean=self.mean,
            scale=self.scale,
            rows=self.rows.astype(np.int32),
            limit=np.array(self.limit),
        )


@dataclass(frozen=True)
class Gauged:
    """A model beside the landmarks of what it learnt: it also says how unlike that each bar is."""

    predictor: Predictor
    landmarks: Landmarks

    def predict(self, rows: pl.DataFrame) -> pl.DataFrame:
        """``OUTPUTS`` and ``DISSIMILARITY`` of each row."""
        return self.predictor.predict(rows).with_columns(self.landmarks.of(rows))


def read(folder: Path) -> Landmarks | None:
    """The landmarks in a version's folder; ``None`` for a version of an earlier release."""
    if not (folder / _FILE).exists():
        return None
    with np.load(folder / _FILE, allow_pickle=False) as stored:
        return Landmarks(
            tuple(map(str, stored["names"])),
            stored["mean"],
            stored["scale"],
            stored["rows"].astype(np.float64),
            float(stored["limit"]),
        )


def landmarks_of(learnt: pl.DataFrame, importance: Mapping[str, float], seed: int) -> Landmarks:
    """Choose the landmarks, and find the limit.

    Each feature is divided by its standard deviation and multiplied by its importance; one that never changes does not
    count. A sample of the rows gives the first landmarks. The limit is the upper whisker ``Q₃ + 1.5·(Q₃ - Q₁)`` of each
    row's distance to the nearest of them in another of five equal stretches of time, as far as a row of another time
    usually is. Rows that are farther than that from all landmarks become landmarks too, the farthest first (Gonzalez
    1985), until no learnt row is beyond the limit.

    Args:
        learnt: event_time and the features, of at least five rows.
        importance: of each feature, not negative; where all are 0 the features count alike.
        seed: of the sample.
    """
    from scipy.spatial.distance import pdist  # only a training asks

    ordered = learnt.sort("event_time", maintain_order=True)
    values = _values(ordered, tuple(importance))
    varies = np.ptp(values, axis=0) > 0
    weights = (np.array(list(importance.values())) * varies, varies.astype(np.float64), np.ones(len(varies)))
    weight = next(one for one in weights if one.any())
    used = np.flatnonzero(weight)
    values, names = values[:, used], tuple(name for name, counts in zip(importance, weight, strict=True) if counts)
    mean, scale = values.mean(axis=0), weight[used] / np.where(varies[used], values.std(axis=0), 1.0)
    sample = np.sort(np.random.default_rng(seed).choice(len(values), min(len(values), _SAMPLE), replace=False))
    typical = float(pdist((values[sample] - mean) * scale).mean())
    scale = scale * _STEPS / (typical if typical > 0 else 1.0)
    placed = _placed(values, mean, scale)
    apart, own = _distances(placed, sample)
    low, high = np.quantile(apart, (0.25, 0.75))
    limit = max(1.0, float(high + _WHISKER * (high - low)))
    beyond = own > limit
    added, limit = _cover(placed[beyond], own[beyond], limit)
    return Landmarks(names, mean, scale, np.concatenate([placed[sample], added]), limit)


def _values(rows: pl.DataFrame, names: tuple[str, ...]) -> NDArray[np.float64]:
    return rows.select(pl.col(name).cast(pl.Float64) for name in names).to_numpy()


def _placed(values: NDArray[np.float64], mean: Floats, scale: Floats) -> NDArray[np.float64]:
    return np.rint(np.clip((values - mean) * scale, -_FARTHEST, _FARTHEST))


def _nearest(rows: NDArray[np.float64], landmarks: NDArray[np.float64]) -> Floats:
    """The distance of each row to the nearest landmark: ``|r|² + min(|l|² - 2rl)``, of whole numbers without error."""
    sides = np.vstack([-2 * landmarks.T, np.sum(landmarks**2, axis=1)])
    found = np.empty(len(rows))
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        block = rows[start : start + _ROWS_AT_ONCE]
        both = np.column_stack([block, np.ones(len(block))]) @ sides
        found[start : start + _ROWS_AT_ONCE] = both.min(axis=1) + np.sum(block**2, axis=1)
    return np.sqrt(found)


def _distances(placed: NDArray[np.float64], sample: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The distance of each row to the nearest of the sample in another stretch of time, and to the nearest of all."""
    stretch = np.arange(len(placed)) * _STRETCHES // len(placed)
    apart, own = np.empty(len(placed)), np.empty(len(placed))
    for one in range(_STRETCHES):
        inside = stretch == one
        near = stretch[sample] == one
        apart[inside] = _nearest(placed[inside], placed[sample[~near]])
        own[inside] = apart[inside]
        if near.any():
            own[inside] = np.minimum(apart[inside], _nearest(placed[inside], placed[sample[near]]))
    return apart, own


def _cover(beyond: NDArray[np.float64], distance: Floats, limit: float) -> tuple[NDArray[np.float64], float]:
    """Rows of those beyond that leave none of them beyond; and the limit, larger if that would take too many."""
    added: list[int] = []
    while distance.max(initial=0.0) > limit and len(added) < _MOST_ADDED:
        added.append(int(np.argmax(distance)))
        distance = np.minimum(distance, _nearest(beyond, beyond[added[-1:]]))
    return beyond[added], max(limit, float(distance.max(initial=0.0)))
