"""The linear model beside the forests: ridge regression on the same inputs, by the same folds, in this process.

Input: scorable rows with their inputs and labels. Output: raw out-of-sample predictions of every fold, as the forests
make them. It is there to be compared with: where a straight line sees no edge either, "no edge" is not the forest's
fault. It is never served, so nothing can be chosen of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from financelake_assets.model.features import SYMBOL_WEEKDAY
from financelake_assets.model.labels import SIZE, TARGET, UP
from financelake_assets.model.metrics import Floats
from financelake_assets.model.outputs import EFFECT_PRIOR_ROWS, OUTPUTS, RAW, RAW_SIZE, RAW_UP, WEEKDAY_EFFECT
from financelake_assets.model.splits import Fold

NAME = "linear"

TARGETS = (TARGET, UP, SIZE)
"""What each of ``OUTPUTS`` is learnt from."""

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


def walk(rows: pl.DataFrame, folds: Sequence[Fold], features: Sequence[str]) -> pl.DataFrame:
    """Raw out-of-sample predictions of every fold's bars.

    Args:
        rows: symbol, asset_class, event_time and target_time in UTC without a zone, ``SYMBOL_WEEKDAY``, the features
            and ``TARGETS``; the target is null where nothing is learnt of a row.
        folds: in order.
        features: names of the inputs; the weekday effect is added, as the forests have it.

    Returns:
        The key of each tested row with ``OUTPUTS``, ``fold`` and ``learnt_until``.
    """
    known = rows.filter(pl.col(TARGET).is_not_null())
    parts = []
    for fold in folds:
        learnt = known.filter(fold.learns_from(pl.col("target_time"), _literal))
        tested = rows.filter(fold.judges(pl.col("event_time"), _literal))
        effects = weekday_effects(learnt)
        model = fit(_inputs(learnt, effects, features), learnt.select(TARGETS).to_numpy())
        made = model.predict(_inputs(tested, effects, features))
        parts.append(
            tested.select("symbol", "asset_class", "event_time").with_columns(
                **{name: pl.Series(column) for name, column in zip(OUTPUTS, _bounded(made), strict=True)},
                fold=pl.lit(fold.number, pl.Int32),
                learnt_until=pl.lit(learnt["target_time"].max(), pl.Datetime("us")),
            )
        )
    return pl.concat(parts)


@dataclass(frozen=True)
class Effects:
    """The mean target of each category of symbol and weekday, and that of all rows for a category without any."""

    by_category: pl.DataFrame
    overall: float


def weekday_effects(learnt: pl.DataFrame) -> Effects:
    """The mean target of each symbol's weekday, shrunk to that of all rows as Spark's ``TargetEncoder`` does.

    Args:
        learnt: ``SYMBOL_WEEKDAY`` and the target.
    """
    overall = float(learnt[TARGET].mean())  # type: ignore[arg-type]
    weight = pl.len() / (pl.len() + EFFECT_PRIOR_ROWS)
    effect = weight * pl.col(TARGET).mean() + (1 - weight) * overall
    return Effects(learnt.group_by(SYMBOL_WEEKDAY).agg(effect.alias(WEEKDAY_EFFECT)), overall)


def _inputs(rows: pl.DataFrame, effects: Effects, features: Sequence[str]) -> NDArray[np.float64]:
    joined = rows.join(effects.by_category, on=SYMBOL_WEEKDAY, how="left", maintain_order="left")
    effect = pl.col(WEEKDAY_EFFECT).fill_null(effects.overall)
    return joined.select(*(pl.col(name).cast(pl.Float64) for name in features), effect).to_numpy()


def _bounded(made: NDArray[np.float64]) -> list[Floats]:
    """The outputs as columns: a probability is between 0 and 1, and no move is smaller than none."""
    limits = {RAW: (-np.inf, np.inf), RAW_UP: (0.0, 1.0), RAW_SIZE: (0.0, np.inf)}
    return [np.clip(made[:, number], *limits[name]) for number, name in enumerate(OUTPUTS)]


def _literal(moment: Any) -> pl.Expr:
    return pl.lit(moment.replace(tzinfo=None), pl.Datetime("us"))
