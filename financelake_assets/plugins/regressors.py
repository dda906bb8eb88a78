"""Calls of a model of a user's own: it fits and predicts on Arrow, and what it gives is checked before its use.

Input: the plug-in, a table of inputs and a target. Output: a fitted regressor, and numbers. A regressor is saved and
loaded by its own code, in a folder of its own.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from financelake_assets.plugins.calling import MOST_SECONDS, guarded
from financelake_assets.plugins.declaration import Plugin, PluginError

MOST_FIT_SECONDS = 600.0
"""A fit may take so long; a training makes three for each fold, and three more."""

MOST_SECONDS_A_ROW = 1e-3
"""Predictions of many rows, as a training makes them, may take so long."""

_TOLERANCE = 1e-6
_EXAMINED_ALONE = 50


class Regressor(Protocol):
    """What a class must have to be a model."""

    def fit(self, features: pa.Table, target: pa.Array) -> object:
        """Learn.

        Args:
            features: columns of numbers without gaps, one row for each bar, in the order of symbols and time.
            target: a number for each row.
        """

    def predict(self, features: pa.Table) -> pa.Array:
        """A finite number for each row, from this row alone."""

    def save(self, folder: Path) -> object:
        """Write what was learnt as files in an empty folder."""

    @classmethod
    def load(cls, folder: Path) -> Regressor:
        """What ``save`` wrote."""


def fitted(plugin: Plugin, features: pa.Table, target: pa.Array, seconds: float = MOST_FIT_SECONDS) -> Regressor:
    """A regressor that has learnt.

    Raises:
        PluginError: it fails, or takes too long.
    """

    def fit() -> Regressor:
        made = cast("Regressor", plugin.function())
        made.fit(features, target)
        return made

    return guarded(plugin, seconds, f"to learn {features.num_rows} rows", fit)


def predicted(plugin: Plugin, regressor: Regressor, features: pa.Table) -> NDArray[np.float64]:
    """What a regressor says of each row; values that are not finite are the caller's to refuse.

    Raises:
        PluginError: it fails, takes too long, or gives other rows or types.
    """
    seconds = max(MOST_SECONDS, features.num_rows * MOST_SECONDS_A_ROW)
    said = guarded(
        plugin, seconds, f"to predict {features.num_rows} rows", lambda: _numbers(regressor.predict(features))
    )
    if said.shape != (features.num_rows,):
        raise PluginError(f"{plugin.title} gives predictions of the shape {said.shape} for {features.num_rows} rows")
    return said


def save(plugin: Plugin, regressor: Regressor, folder: Path) -> None:
    """Let a regressor write its files into a new folder.

    Raises:
        PluginError: it fails, or writes none.
    """
    folder.mkdir(parents=True)
    guarded(plugin, MOST_SECONDS, "to save itself", lambda: regressor.save(folder))
    if not any(path.is_file() for path in folder.rglob("*")):
        raise PluginError(f"{plugin.title} saves no file")


def load(plugin: Plugin, folder: Path) -> Regressor:
    """The regressor that was saved in a folder, whose files must be verified before.

    Raises:
        PluginError: it fails.
    """
    made = cast("type[Regressor]", plugin.function)
    return guarded(plugin, MOST_SECONDS, "to load itself", lambda: made.load(folder))


def examine(plugin: Plugin, features: pa.Table, target: pa.Array) -> None:
    """Make sure that a model is what can be served: the same again, each row by itself, and from its files.

    Args:
        plugin: a model.
        features: rows to learn.
        target: of each.

    Raises:
        PluginError: the first examination that fails, with the first row that differs.
    """
    one = fitted(plugin, features, target)
    whole = predicted(plugin, one, features)
    _refuse_gaps(plugin, whole)
    _compare(plugin, "repeatable", "when it learns the same rows again", whole, _again(plugin, features, target))
    places = sorted({int(place) for place in np.linspace(0, features.num_rows - 1, _EXAMINED_ALONE)})
    alone = np.array([predicted(plugin, one, features.slice(place, 1))[0] for place in places])
    _compare(plugin, "row by row", "of the row alone", whole[places], alone, places)
    with tempfile.TemporaryDirectory() as folder:
        save(plugin, one, Path(folder) / "saved")
        back = predicted(plugin, load(plugin, Path(folder) / "saved"), features)
    _compare(plugin, "saved", "when it is saved and loaded", whole, back)


def _again(plugin: Plugin, features: pa.Table, target: pa.Array) -> NDArray[np.float64]:
    return predicted(plugin, fitted(plugin, features, target), features)


def _refuse_gaps(plugin: Plugin, said: NDArray[np.float64]) -> None:
    wrong = np.flatnonzero(~np.isfinite(said))
    if len(wrong):
        raise PluginError(f"{plugin.title} predicts {said[wrong[0]]} for row {wrong[0]} of those that it learnt")


def _compare(
    plugin: Plugin,
    check: str,
    words: str,
    whole: NDArray[np.float64],
    other: NDArray[np.float64],
    places: list[int] | None = None,
) -> None:
    size = np.maximum(np.abs(whole), np.median(np.abs(whole)))
    wrong = np.flatnonzero(~(np.abs(whole - other) <= _TOLERANCE * size))
    if len(wrong):
        first = wrong[0]
        row = first if places is None else places[first]
        raise PluginError(
            f"{plugin.title} is refused ({check}): the prediction of row {row} is {whole[first]:.9g}, and "
            f"{other[first]:.9g} {words}"
        )


def _numbers(said: Any) -> NDArray[np.float64]:
    if isinstance(said, (pa.Array, pa.ChunkedArray)):
        said = said.to_numpy(zero_copy_only=False) if isinstance(said, pa.Array) else said.to_numpy()
    if not isinstance(said, np.ndarray) or said.dtype.kind not in "fiub":
        raise TypeError(f"predictions are {getattr(said, 'dtype', type(said).__name__)}, not an Arrow array of numbers")
    return said.astype(np.float64)
