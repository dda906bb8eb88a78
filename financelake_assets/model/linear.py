"""The linear model beside the forests: ridge regression on the same inputs, by the same folds, in this process.

Input: scorable rows with their inputs and labels. Output: raw out-of-sample predictions of every fold, as the forests
make them. It is there to be compared with: where a straight line sees no edge either, "no edge" is not the forest's
fault. It is never served, so nothing can be chosen of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from financelake_assets.model import local_walk
from financelake_assets.model.local_walk import TARGETS, outputs_of
from financelake_assets.model.metrics import Floats
from financelake_assets.model.splits import Fold
from financelake_assets.model.weekday_effects import Effects, weekday_effects

NAME = "linear"

_PENALTIES = np.logspace(-6, 2, 33)
"""The penalties of one row that are compared, in units of a standardised input's variance: from none to all."""


@dataclass(frozen=True)
class Ridge:
    """Fitted coefficients: ``(rows - mean) / scale @ weights + intercept``, one column for each target."""

    mean: Floats
    scale: Floats
    weights: NDArray[np.float64]
    intercept: Floats
    penalty: Floats

    def predict(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """The predictions of each target, a column each."""
        return np.asarray((rows - self.mean) / self.scale @ self.weights + self.intercept)


def fit(rows: NDArray[np.float64], targets: NDArray[np.float64]) -> Ridge:
    """Ridge regression (Hoerl & Kennard 1970) of standardised inputs, with the penalty of generalised cross-validation.

    ``(Z'Z/n + λI)⁻¹ Z'y/n`` with the λ of each target that has the least ``(RSS/n) / (1 - df/n)²`` on the training rows
    (Golub, Heath & Wahba 1979), where ``df = 1 + Σ dᵢ/(dᵢ + λ)`` for the eigenvalues d of Z'Z/n. So no row that is
    tested takes part in the choice.

    Args:
        rows: inputs, one column each; a column that never changes gets no weight.
        targets: one column each.
    """
    count = len(rows)
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    standard, intercept = (rows - mean) / scale, targets.mean(axis=0)
    left = targets - intercept
    values, vectors = np.linalg.eigh(standard.T @ standard / count)
    values = np.maximum(values, 0.0)
    turned = vectors.T @ (standard.T @ left / count)
    kept = values[:, None] / (values[:, None] + _PENALTIES)  # the share of each direction that each penalty keeps
    freedom = 1 + kept.sum(axis=0)
    # a direction without any variance explains nothing, and must not be divided by
    strength = np.divide(turned**2, values[:, None], out=np.zeros_like(turned), where=values[:, None] > 0)
    # RSS/n = mean(y²) - Σ (c²/d)·(2·kept - kept²) for the coefficients c = V'Z'y/n
    residual = np.mean(left**2, axis=0) - (2 * kept - kept**2).T @ strength
    chosen = _PENALTIES[np.argmin(residual / np.maximum(1 - freedom / count, 1e-9)[:, None] ** 2, axis=0)]
    weights = vectors @ (turned / (values[:, None] + chosen))
    return Ridge(mean, scale, weights, intercept, chosen)


@dataclass(frozen=True)
class Line:
    """A fitted linear model: ridge regressions of the inputs and the weekday effect."""

    ridge: Ridge
    effects: Effects
    features: tuple[str, ...]

    def predict(self, rows: pl.DataFrame) -> pl.DataFrame:
        """``OUTPUTS`` of each row."""
        return outputs_of(self.ridge.predict(_inputs(rows, self.effects, self.features)))


def walk(rows: pl.DataFrame, folds: Sequence[Fold], features: Sequence[str]) -> pl.DataFrame:
    """Raw out-of-sample predictions of every fold's bars.

    Args:
        rows: see ``local_walk.walk``, with ``SYMBOL_WEEKDAY`` and the features.
        folds: in order.
        features: names of the inputs; the weekday effect is added, as the forests have it.

    Returns:
        See ``local_walk.walk``.
    """

    def learn(learnt: pl.DataFrame) -> Line:
        effects = weekday_effects(learnt)
        ridge = fit(_inputs(learnt, effects, features), learnt.select(TARGETS).to_numpy())
        return Line(ridge, effects, tuple(features))

    return local_walk.walk(rows, folds, learn)


def _inputs(rows: pl.DataFrame, effects: Effects, features: Sequence[str]) -> NDArray[np.float64]:
    return rows.select(*(pl.col(name).cast(pl.Float64) for name in features), effects.column()).to_numpy()
