"""Models of a user's own in the place of the forests: three regressors, for the return, the rise and the size.

Input: a plug-in and rows. Output: a scorer that gives what the forests give, and its files. The regressors write and
read their own files; beside them stands what FinanceLake needs, as JSON. Nothing here needs Spark.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from financelake_assets.model.features import SYMBOL_WEEKDAY
from financelake_assets.model.local_walk import TARGETS, outputs_of
from financelake_assets.model.outputs import OUTPUTS, RAW, WEEKDAY_EFFECT
from financelake_assets.model.weekday_effects import Effects, weekday_effects
from financelake_assets.plugins import Plugin, PluginError, regressors
from financelake_assets.plugins.regressors import Regressor

FOLDER = "plugin"
_FACTS = "inputs.json"
_MOST_EXAMINED, _MOST_SHUFFLED = 2_000, 5_000


@dataclass(frozen=True)
class PluggedModel:
    """What a plug-in has learnt.

    ``inputs``: the columns of the regressors, in their order; ``regressors``: one for each of ``OUTPUTS``.
    """

    plugin: Plugin
    inputs: tuple[str, ...]
    effects: Effects
    regressors: tuple[Regressor, ...]

    def predict(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The raw predictions.

        Args:
            rows: the features, and the category of symbol and weekday.

        Returns:
            ``OUTPUTS`` of each row; null if an input is missing.

        Raises:
            PluginError: a regressor fails, or gives a number that is not finite.
        """
        inputs = _inputs(rows, self.effects, self.inputs)
        known = inputs.select(pl.all_horizontal(pl.all().is_finite().fill_null(False))).to_series()
        whole = inputs.filter(known)
        made: NDArray[np.float64] = np.full((rows.height, len(OUTPUTS)), np.nan)
        if whole.height:
            table = whole.to_arrow()
            said = np.column_stack([regressors.predicted(self.plugin, one, table) for one in self.regressors])
            self._refuse_gaps(said, rows.filter(known))
            made[known.to_numpy()] = said
        return outputs_of(made).fill_nan(None)

    def _refuse_gaps(self, said: NDArray[np.float64], rows: pl.DataFrame) -> None:
        wrong = np.argwhere(~np.isfinite(said))
        if len(wrong):
            place, column = wrong[0]
            bar = rows.row(int(place), named=True)
            raise PluginError(
                f"{self.plugin.title} predicts {said[place, column]} for {bar.get('symbol')} at "
                f"{bar.get('event_time'):%Y-%m-%d %H:%M}"
            )

    def save(self, folder: Path) -> None:
        """Write all files of the model into a version's folder.

        Raises:
            PluginError: a regressor cannot be saved.
        """
        own = folder / FOLDER
        for output, regressor in zip(OUTPUTS, self.regressors, strict=True):
            regressors.save(self.plugin, regressor, own / output)
        effects = {str(category): effect for category, effect in self.effects.by_category.items()}
        facts = {"inputs": self.inputs, "effects": effects, "overall": self.effects.overall}
        (own / _FACTS).write_text(json.dumps(facts, indent=1))


def fit(plugin: Plugin, learnt: pl.DataFrame, features: Sequence[str]) -> PluggedModel:
    """Let a plug-in learn rows.

    Args:
        plugin: a model.
        learnt: the features, ``SYMBOL_WEEKDAY`` and ``TARGETS`` of each row.
        features: names of the inputs; the weekday effect is added, as the forests have it.

    Raises:
        PluginError: it fails, or takes too long.
    """
    effects, inputs = weekday_effects(learnt), (*features, WEEKDAY_EFFECT)
    table = _inputs(learnt, effects, inputs).to_arrow()
    made = (regressors.fitted(plugin, table, _target(learnt, name)) for name in TARGETS)
    return PluggedModel(plugin, inputs, effects, tuple(made))


def load(plugin: Plugin, folder: Path) -> PluggedModel:
    """The model in a version's folder, whose files must be verified before.

    Args:
        plugin: exactly the one that saved it.
        folder: of the version.

    Raises:
        PluginError: a regressor cannot be loaded.
    """
    facts: dict[str, Any] = json.loads((folder / FOLDER / _FACTS).read_text())
    effects = Effects({int(category): effect for category, effect in facts["effects"].items()}, facts["overall"])
    made = tuple(regressors.load(plugin, folder / FOLDER / output) for output in OUTPUTS)
    return PluggedModel(plugin, tuple(facts["inputs"]), effects, made)


def examine(plugin: Plugin, rows: pl.DataFrame, features: Sequence[str]) -> None:
    """Examine a model on the newest rows that can be learnt; see ``regressors.examine``.

    Args:
        plugin: a model.
        rows: as for ``fit``, with event_time.
        features: names of the inputs.

    Raises:
        PluginError: it cannot be served.
    """
    newest = rows.sort("event_time", "symbol").tail(_MOST_EXAMINED)
    table = _inputs(newest, weekday_effects(newest), (*features, WEEKDAY_EFFECT)).to_arrow()
    regressors.examine(plugin, table, _target(newest, TARGETS[0]))


def permutation_importance(model: PluggedModel, tested: pl.DataFrame, label: str, seed: int) -> dict[str, float]:
    """The relative rise of the mean squared error when an input is shuffled (Breiman 2001).

    Args:
        model: that did not learn ``tested``.
        tested: rows with the label and the inputs.
        label: what the return's regressor is compared with; rows without it are left out.
        seed: of the choice of rows and of the shuffle.
    """
    known = tested.filter(pl.col(label).is_not_null())
    rows = known.sample(min(known.height, _MOST_SHUFFLED), seed=seed)

    def error(some: pl.DataFrame) -> float:
        return float(((some[label] - model.predict(some)[RAW]) ** 2).mean())  # type: ignore[arg-type]

    whole, found = error(rows), {}
    for number, name in enumerate(model.inputs):
        # the effect is looked up from the category of symbol and weekday, so that is what is shuffled
        shuffled = SYMBOL_WEEKDAY if name == WEEKDAY_EFFECT else name
        other = error(rows.with_columns(pl.col(shuffled).shuffle(seed + number)))
        found[name] = other / whole - 1 if whole > 0 else 0.0
    return found


def _inputs(rows: pl.DataFrame, effects: Effects, names: Sequence[str]) -> pl.DataFrame:
    return rows.with_columns(effects.column()).select(pl.col(name).cast(pl.Float64) for name in names)


def _target(rows: pl.DataFrame, name: str) -> pa.Array:
    return pa.array(rows[name].cast(pl.Float64).to_numpy())
