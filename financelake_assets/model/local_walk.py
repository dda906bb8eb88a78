"""The walk-forward of models that learn in this process: the linear one beside the forests, and those of users.

Input: scorable rows with their inputs and targets. Output: raw out-of-sample predictions of every fold, as the forests
make them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from financelake_assets.model.labels import SIZE, TARGET, UP
from financelake_assets.model.outputs import OUTPUTS, RAW, RAW_SIZE, RAW_UP, Predictor
from financelake_assets.model.splits import Fold

TARGETS = (TARGET, UP, SIZE)
"""What each of ``OUTPUTS`` is learnt from."""

_LIMITS = {RAW: (-np.inf, np.inf), RAW_UP: (0.0, 1.0), RAW_SIZE: (0.0, np.inf)}


def walk(
    rows: pl.DataFrame,
    folds: Sequence[Fold],
    fit: Callable[[pl.DataFrame], Predictor],
    judged: Callable[[Fold, Predictor, pl.DataFrame], None] = lambda *_: None,
) -> pl.DataFrame:
    """Raw out-of-sample predictions of every fold's bars.

    Args:
        rows: symbol, asset_class, event_time and target_time in UTC without a zone, the inputs, and ``TARGETS``; the
            target is null where nothing is learnt of a row.
        folds: in order.
        fit: learns rows.
        judged: called with each fold, what was fitted for it, and the rows that it was tested on.

    Returns:
        The key of each tested row with ``OUTPUTS``, ``fold``, ``refit`` and ``learnt_until``.
    """
    known = rows.filter(pl.col(TARGET).is_not_null())
    parts = []
    for fold in folds:
        learnt = known.filter(fold.learns_from(pl.col("target_time"), _literal))
        tested = rows.filter(fold.judges(pl.col("event_time"), _literal))
        model = fit(learnt)
        parts.append(
            tested.select("symbol", "asset_class", "event_time").with_columns(
                *model.predict(tested).get_columns(),
                fold=pl.lit(fold.number, pl.Int32),
                refit=pl.lit(fold.refit, pl.Int32),
                learnt_until=pl.lit(learnt["target_time"].max(), pl.Datetime("us")),
            )
        )
        judged(fold, model, tested)
    return pl.concat(parts)


def outputs_of(made: NDArray[np.float64]) -> pl.DataFrame:
    """Predictions of ``TARGETS``, a column each, as ``OUTPUTS``: a probability is from 0 to 1, a size not negative."""
    return pl.DataFrame({name: np.clip(made[:, place], *_LIMITS[name]) for place, name in enumerate(OUTPUTS)})


def _literal(moment: Any) -> pl.Expr:
    return pl.lit(moment.replace(tzinfo=None), pl.Datetime("us"))
