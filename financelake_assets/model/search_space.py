"""The space of a search: which settings of the forest are tried, and between which values.

Input: a lake's own settings, and how long a market's training period is. Output: settings of one candidate. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from financelake_assets.config import ModelSettings
from financelake_assets.errors import FinanceLakeError

SEARCHED = ("trees", "depth", "min_instances_per_node", "subsampling_rate", "features_a_split", "window_days")
"""What is searched. Horizon and symbols are another question, and another seed is no better forest."""

_TREES, _DEPTH, _LEAF, _ROWS = (10, 120), (2, 10), (10, 500), (0.25, 1.0)
_SHARES = (None, 0.1, 0.2, 0.5, 0.75, 1.0)
_PARTS_OF_THE_PERIOD = (2, 4, 8)
_SHORTEST_WINDOW = 30


class Suggests(Protocol):
    """What chooses the values of a candidate: a trial of optuna."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """A whole number from ``low`` to ``high``, both included."""

    def suggest_float(self, name: str, low: float, high: float) -> float:
        """A number from ``low`` to ``high``."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""


def candidate(trial: Suggests, own: ModelSettings, days: int) -> ModelSettings:
    """The settings of a candidate: those of the lake, and what the trial chooses.

    Args:
        trial: chooses.
        own: the lake's settings for the market; they lie in the space, wherever they are.
        days: how long the training period is. Windows are parts of it: what is long for bars of a minute is short for
            bars of a day.
    """
    rows = trial.suggest_float("subsampling_rate", *_around(_ROWS, own.subsampling_rate))
    given = {
        "trees": trial.suggest_int("trees", *_around(_TREES, own.trees), log=True),
        "depth": trial.suggest_int("depth", *_around(_DEPTH, own.depth)),
        "min_instances_per_node": trial.suggest_int(
            "min_instances_per_node", *_around(_LEAF, own.min_instances_per_node), log=True
        ),
        "subsampling_rate": rows if rows == own.subsampling_rate else round(rows, 2),
        "features_a_split": trial.suggest_categorical("features_a_split", _and(_SHARES, own.features_a_split)),
        "window_days": trial.suggest_categorical("window_days", _and(windows(days), own.window_days)),
    }
    return ModelSettings.model_validate({**own.model_dump(), **given})


def refuse_plugged(own: ModelSettings) -> None:
    """Make sure that the forest learns a market.

    Raises:
        FinanceLakeError: a model of the user's own does, whose parameters FinanceLake does not know.
    """
    learner = own.learners.get(own.interval)
    if learner is not None:
        raise FinanceLakeError(
            f"The plug-in {learner} learns {own.interval}, and its parameters are its own: there is no forest to tune.",
            remedy="Tune it in its own code, and tell the ledger: `financelake model tried`.",
        )


def parameters(settings: ModelSettings) -> dict[str, Any]:
    """The searched settings by name."""
    return {name: getattr(settings, name) for name in SEARCHED}


def windows(days: int) -> tuple[int | None, ...]:
    """The learning windows that are tried, in days: all history, and parts of the training period."""
    parts = {days // part for part in _PARTS_OF_THE_PERIOD}
    return (None, *sorted(part for part in parts if part >= _SHORTEST_WINDOW))


def as_variables(found: dict[str, Any]) -> list[str]:
    """Searched settings as the environment variables that make them the lake's own; one that is unset is left out."""
    return [f"FINANCELAKE_MODEL__{name.upper()}={value}" for name, value in found.items() if value is not None]


def _around(reach: tuple[Any, Any], own: Any) -> tuple[Any, Any]:
    return min(reach[0], own), max(reach[1], own)


def _and(choices: tuple[Any, ...], own: Any) -> tuple[Any, ...]:
    return choices if own in choices else (*choices, own)
