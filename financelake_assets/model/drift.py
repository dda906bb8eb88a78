"""Drift: whether recent bars are like those that the champion learnt from, as pure functions of frames and numbers.

Enters: the features that a version learnt from, and those of recent bars; the scorecard. Leaves: the population
stability index of each feature, the share of bars beyond all that was learnt, live skill, and what follows from them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from financelake_assets.model import judgement, metrics
from financelake_assets.model.features import FEATURES

LEAST_ROWS = 200
"""Fewer recent bars than this say nothing: the index of two equal distributions is about (bins - 1) / rows."""

LARGE_PSI = 0.25
"""The usual limit of a large shift (Siddiqi 2006)."""

MOST_DRIFTED = 0.25
"""Share of the features with a large shift from which the model is taken for drifted."""

MOST_OUTLIERS = 0.1

_BINS = 10
_FLOOR = 1e-4  # a share of 0 has no logarithm
# the calendar and what kind of bar it is move by themselves: no month is like the year
_NOT_JUDGED = ("weekday_", "season_", "hour_", "is_", "has_", "bars_missed")
JUDGED = tuple(name for name in FEATURES if not name.startswith(_NOT_JUDGED))
"""The features whose drift counts."""


@dataclass(frozen=True)
class Spread:
    """How a feature was distributed: inner edges of its bins, the share in each, and the least and greatest value."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    least: float
    greatest: float


@dataclass(frozen=True)
class Reference:
    """The distributions of the judged features among the bars that a version learnt from."""

    features: dict[str, Spread] = field(default_factory=dict)

    def dump(self) -> str:
        """As JSON."""
        return json.dumps({name: spread.__dict__ for name, spread in self.features.items()})

    @classmethod
    def parse(cls, text: str | None) -> Reference:
        """The inverse of ``dump``; nothing for a version that kept none."""
        stored = json.loads(text or "{}")
        return cls(
            {
                name: Spread(tuple(one["edges"]), tuple(one["shares"]), one["least"], one["greatest"])
                for name, one in stored.items()
            }
        )


@dataclass(frozen=True)
class Drift:
    """What recent bars are like: ``psi`` of each judged feature, ``outliers`` the share of bars beyond the learnt."""

    rows: int
    psi: dict[str, float]
    outliers: float

    @property
    def drifted(self) -> list[str]:
        """Features with a large shift, the largest first."""
        return sorted((name for name, value in self.psi.items() if value > LARGE_PSI), key=lambda name: -self.psi[name])

    @property
    def share(self) -> float:
        """Share of the judged features with a large shift."""
        return len(self.drifted) / len(self.psi) if self.psi else 0.0

    @property
    def significant(self) -> bool:
        """Whether the model is taken for drifted."""
        return self.rows >= LEAST_ROWS and (self.share > MOST_DRIFTED or self.outliers > MOST_OUTLIERS)


def reference_of(learnt: pl.DataFrame) -> Reference:
    """Summarise the features of the bars that a version learns from."""
    return Reference({name: _spread(learnt[name].to_numpy()) for name in JUDGED})


def measure(reference: Reference, recent: pl.DataFrame) -> Drift:
    """Compare recent bars with what was learnt.

    Args:
        reference: of the version; features that it does not know are left out.
        recent: the features of recent scorable bars.
    """
    if recent.is_empty() or not reference.features:
        return Drift(len(recent), {}, 0.0)
    psi, beyond = {}, np.zeros(len(recent), dtype=bool)
    for name, spread in reference.features.items():
        values = recent[name].to_numpy()
        psi[name] = _psi(np.array(spread.shares), _shares(values, np.array(spread.edges)))
        beyond |= (values < spread.least) | (values > spread.greatest)
    return Drift(len(recent), psi, float(beyond.mean()))


@dataclass(frozen=True)
class LiveSkill:
    """Skill over the naive forecast of predictions whose horizon is over, with its 95 % interval."""

    rows: int
    skill: float
    interval: metrics.Interval

    @property
    def worse(self) -> bool:
        """Whether the forecasts are worse than naive beyond chance."""
        return self.rows >= LEAST_ROWS and self.interval.high < 0


def live_skill(scorecard: pl.DataFrame) -> LiveSkill:
    """Judge the rows of one version in gold.scorecard, in units of the expected move."""
    found = judgement.skill(scorecard)
    return LiveSkill(judgement.known(scorecard).height, found.value, found.interval)


def _spread(values: metrics.Floats) -> Spread:
    edges = np.unique(np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:-1]))
    shares = _shares(values, edges)
    return Spread(tuple(map(float, edges)), tuple(map(float, shares)), float(values.min()), float(values.max()))


def _shares(values: metrics.Floats, edges: metrics.Floats) -> metrics.Floats:
    counts = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)
    return np.asarray(counts / len(values), dtype=np.float64)


def _psi(expected: metrics.Floats, found: metrics.Floats) -> float:
    """Population stability index, ``Σ(q-p)·log(q/p)``."""
    p, q = np.maximum(expected, _FLOOR), np.maximum(found, _FLOOR)
    return float(np.sum((q - p) * np.log(q / p)))
