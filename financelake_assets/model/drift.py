"""Drift: whether recent bars differ from the champion's training data, as pure functions of frames and numbers.

Input: the features of a version's training data, and those of recent bars; the scorecard. Output: the population
stability index of each feature, the share of bars outside the training data, live skill, and whether the model drifted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from financelake_assets.model import judgement, metrics
from financelake_assets.model.features import FEATURES
from financelake_assets.model.usual import Usual, limits, psi, usual

LEAST_ROWS = 200
"""With fewer recent bars there is no verdict: the index of two equal distributions is about (bins - 1) / rows."""

LARGE_PSI = 0.25
"""The usual limit of a large shift (Siddiqi 2006); a feature's own is larger where past stretches went beyond it."""

MOST_DRIFTED = 0.25
"""If more than this share of the features has a large shift, the model has drifted. One in a hundred past stretches has
a large shift of a given feature, so at most one in 25 has one of a quarter of the features (Markov's inequality)."""

MOST_OUTLIERS = 0.1
"""Share of outliers from which the model is taken for drifted, where no past stretches had more."""

_BINS = 10
# calendar features and the kind of bar change by themselves: no month is like the year
_NOT_JUDGED = ("weekday_", "season_", "hour_", "is_", "has_", "bars_missed")
JUDGED = tuple(name for name in FEATURES if not name.startswith(_NOT_JUDGED))
"""The features whose drift is measured."""


@dataclass(frozen=True)
class Spread:
    """Distribution of a feature: inner edges of its bins, the share in each bin, and the minimum and maximum."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    least: float
    greatest: float


@dataclass(frozen=True)
class Reference:
    """The distributions of the measured features in a version's training data, and the limits of usual shifts."""

    features: dict[str, Spread] = field(default_factory=dict)
    usual: list[Usual] = field(default_factory=list)

    def dump(self) -> str:
        """The reference as JSON."""
        features = {name: spread.__dict__ for name, spread in self.features.items()}
        return json.dumps({"features": features, "usual": [one.__dict__ for one in self.usual]})

    @classmethod
    def parse(cls, text: str | None) -> Reference:
        """The inverse of ``dump``; empty for a version without a reference."""
        stored = json.loads(text or "{}")
        # an earlier release kept the features alone
        features = stored["features"] if "usual" in stored else stored
        return cls(
            {
                name: Spread(tuple(one["edges"]), tuple(one["shares"]), one["least"], one["greatest"])
                for name, one in features.items()
            },
            [Usual(**one) for one in stored["usual"]] if "usual" in stored else [],
        )


@dataclass(frozen=True)
class Drift:
    """Drift of recent bars: ``psi`` by measured feature, ``outliers`` the share of bars outside the training data.

    ``usual`` holds the limits from past stretches of the same number of bars; ``None`` if the past is too short.
    """

    rows: int
    psi: dict[str, float]
    outliers: float
    usual: Usual | None = None

    @property
    def judged(self) -> bool:
        """Whether there are enough bars, now and in the past, to tell a drift from what is usual."""
        return self.rows >= LEAST_ROWS and self.usual is not None

    @property
    def drifted(self) -> list[str]:
        """Features with a large shift, the largest first."""
        own = {} if self.usual is None else self.usual.psi
        large = [name for name, value in self.psi.items() if value > max(LARGE_PSI, own.get(name, 0.0))]
        return sorted(large, key=lambda name: -self.psi[name])

    @property
    def share(self) -> float:
        """Share of the measured features with a large shift."""
        return len(self.drifted) / len(self.psi) if self.psi else 0.0

    @property
    def significant(self) -> bool:
        """Whether the model has drifted."""
        return self.judged and (self.share > MOST_DRIFTED or self.outliers > self.most_outliers)

    @property
    def most_outliers(self) -> float:
        """With a larger share of outliers than this, the model has drifted."""
        return MOST_OUTLIERS if self.usual is None else max(MOST_OUTLIERS, self.usual.outliers)


def reference_of(learnt: pl.DataFrame, of_plugins: Sequence[str] = ()) -> Reference:
    """Summarise the features of a version's training data.

    Args:
        learnt: the features in order of time.
        of_plugins: the columns of plug-ins, whose drift is measured like that of ``JUDGED``.
    """
    values = {name: learnt[name].to_numpy() for name in (*JUDGED, *of_plugins)}
    spreads = {name: _spread(own) for name, own in values.items()}
    return Reference(spreads, usual(values, {name: np.array(spread.edges) for name, spread in spreads.items()}))


def measure(reference: Reference, recent: pl.DataFrame) -> Drift:
    """Compare recent bars with the training data.

    Args:
        reference: of the version; features that it does not have are left out.
        recent: the features of recent scorable bars.
    """
    if recent.is_empty() or not reference.features:
        return Drift(len(recent), {}, 0.0)
    found, beyond = {}, np.zeros(len(recent), dtype=bool)
    for name, spread in reference.features.items():
        values = recent[name].to_numpy()
        found[name] = float(psi(np.array(spread.shares), _shares(values, np.array(spread.edges))))
        beyond |= (values < spread.least) | (values > spread.greatest)
    return Drift(len(recent), found, float(beyond.mean()), limits(reference.usual, len(recent)))


@dataclass(frozen=True)
class LiveSkill:
    """Skill over the naive forecast for predictions whose horizon has passed, with its 95 % interval."""

    rows: int
    skill: float
    interval: metrics.Interval

    @property
    def worse(self) -> bool:
        """Whether the forecasts are significantly worse than the naive forecast."""
        return self.rows >= LEAST_ROWS and self.interval.high < 0


def live_skill(scorecard: pl.DataFrame) -> LiveSkill:
    """Compute the skill of one version's rows of gold.scorecard, in units of the expected move."""
    found = judgement.skill(scorecard)
    return LiveSkill(judgement.known(scorecard).height, found.value, found.interval)


def _spread(values: metrics.Floats) -> Spread:
    edges = np.unique(np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:-1]))
    shares = _shares(values, edges)
    return Spread(tuple(map(float, edges)), tuple(map(float, shares)), float(values.min()), float(values.max()))


def _shares(values: metrics.Floats, edges: metrics.Floats) -> metrics.Floats:
    counts = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)
    return np.asarray(counts / len(values), dtype=np.float64)
