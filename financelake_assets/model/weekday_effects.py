"""The weekday effect of models that learn in this process: the mean target of a symbol's weekday, as Spark encodes it.

Input: rows to learn. Output: an effect for each category of symbol and weekday, as an input of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from financelake_assets.model.features import SYMBOL_WEEKDAY
from financelake_assets.model.labels import TARGET
from financelake_assets.model.outputs import EFFECT_PRIOR_ROWS, WEEKDAY_EFFECT


@dataclass(frozen=True)
class Effects:
    """The mean target of each category of symbol and weekday, and that of all rows for a category without any."""

    by_category: Mapping[int, float]
    overall: float

    def column(self) -> pl.Expr:
        """The effect of each row, from its category."""
        category = pl.col(SYMBOL_WEEKDAY).cast(pl.Int64)
        known = category.replace_strict(dict(self.by_category), default=self.overall, return_dtype=pl.Float64)
        return known.alias(WEEKDAY_EFFECT)


def weekday_effects(learnt: pl.DataFrame) -> Effects:
    """The mean target of each symbol's weekday, shrunk to that of all rows as Spark's ``TargetEncoder`` does.

    Args:
        learnt: ``SYMBOL_WEEKDAY`` and the target.
    """
    overall = float(learnt[TARGET].mean())  # type: ignore[arg-type]
    weight = pl.len() / (pl.len() + EFFECT_PRIOR_ROWS)
    effect = weight * pl.col(TARGET).mean() + (1 - weight) * overall
    found = learnt.sort(SYMBOL_WEEKDAY).group_by(SYMBOL_WEEKDAY, maintain_order=True).agg(effect.alias(WEEKDAY_EFFECT))
    return Effects(dict(found.iter_rows()), overall)
