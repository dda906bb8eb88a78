"""The record of a trained version: its training data, its quality, and whether its predictions are used."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from financelake_assets.model import held_back, markets, overfitting
from financelake_assets.model.cadence import Refits
from financelake_assets.model.calibration import Calibration
from financelake_assets.model.drift import Reference
from financelake_assets.model.held_back import HeldBack
from financelake_assets.model.markets import Market
from financelake_assets.model.overfitting import Overfitting
from financelake_assets.model.schema import MODELS
from financelake_assets.model.verdict import Verdict
from financelake_assets.plugins import installed


class Status(StrEnum):
    """State of a version: in use, not promoted when it was trained, or no longer in use."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    RETIRED = "retired"


@dataclass(frozen=True)
class MadeWith:
    """The facts by name of the plug-ins that decide what a version predicts: its features, label and learner."""

    plugins: dict[str, dict[str, Any]] = field(default_factory=dict)
    labels: dict[str, dict[str, Any]] = field(default_factory=dict)
    learner: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelRecord:
    """One trained version: its training data, its quality, and whether its predictions are used.

    ``plugins``: the facts of each feature plug-in that it was trained with, by name; it is scored with the same.
    ``labels``: those of the label that it learnt, if that is not our own.
    ``learner``: those of the model that learnt, if that is not the forest; it is scored with the same.
    ``costs``: those of each plug-in that changed the costs of the trades which its *tradable* was judged by.
    ``contributions``: by how much each input moves a prediction, on average over bars of its last fold, see
    ``registration``; empty where a model of a user's own learnt, and for a version of an earlier release.
    ``overfitting``: what was known of overfitting by choice; ``None`` for a version of an earlier release.
    ``held_back``: what its limit of dissimilarity would have held back out of sample; ``None`` as before.
    ``refits``: those of its walk-forward; ``None`` where each fold had one forest.
    """

    model_version: str
    status: Status
    status_reason: str
    verdict: Verdict
    trained_at: datetime
    silver_version: int
    silver_rows: int
    train_start: datetime
    train_end: datetime
    learnt_until: dict[str, datetime]
    later_share: float | None
    horizon: int
    interval: str
    features: tuple[str, ...]
    parameters: dict[str, Any]
    importance: dict[str, float]
    permutation: dict[str, float]
    reliability: list[dict[str, float]]
    reference: Reference
    trials: int | None
    calibration: Calibration
    manifest_sha256: str
    promoted_at: datetime | None
    plugins: dict[str, dict[str, Any]] = field(default_factory=dict)
    labels: dict[str, dict[str, Any]] = field(default_factory=dict)
    learner: dict[str, dict[str, Any]] = field(default_factory=dict)
    costs: dict[str, dict[str, Any]] = field(default_factory=dict)
    contributions: dict[str, float] = field(default_factory=dict)
    overfitting: Overfitting | None = None
    held_back: HeldBack | None = None
    refits: Refits | None = None

    @property
    def market(self) -> Market:
        """The market that it predicts; a version of an earlier release has one too."""
        return markets.of_version(self.model_version, self.interval, self.horizon)

    def learnt_of(self, symbol: str) -> datetime | None:
        """Until when it learnt of a symbol; ``None`` for one that it did not learn of.

        A version of an earlier release does not tell symbols apart: it may have learnt all until its end.
        """
        return self.learnt_until.get(symbol) if self.learnt_until else self.train_end

    @property
    def coverage(self) -> float:
        """Nominal coverage of the prediction interval."""
        return float(self.parameters["coverage"])

    @property
    def made_with(self) -> MadeWith:
        """The plug-ins that decide what it predicts."""
        return MadeWith(self.plugins, self.labels, self.learner)

    def plugin_problem(self, skipped: Collection[str]) -> str | None:
        """Why it cannot be scored with its plug-ins here; ``None`` when it can be.

        Args:
            skipped: names that the settings switch off.
        """
        return installed.problem(self.plugins, skipped) or installed.problem(self.learner, skipped, "model")

    @property
    def plugin_bars(self) -> int:
        """How many bars its plug-ins need before a bar, in addition to those for the product's own features."""
        return max((int(facts["lookback"]) for facts in self.plugins.values()), default=0)

    @property
    def asks_for_others(self) -> bool:
        """Whether one of its plug-ins asks for bars of another series."""
        return any(facts.get("others") for facts in self.plugins.values())

    @property
    def outdated(self) -> bool:
        """Whether an earlier release made it, with forests that this release cannot score with."""
        return not self.calibration.direction

    def row(self) -> dict[str, Any]:
        """The record as a row of gold.models."""
        shrinkage, errors = self.calibration.dump()
        return {
            **{name: value for name, value in self.__dict__.items() if name in MODELS.schema.names},
            "learnt_until": json.dumps({symbol: time.isoformat() for symbol, time in self.learnt_until.items()}),
            "features": json.dumps(self.features),
            "plugins": json.dumps(self.plugins),
            "labels": json.dumps(self.labels),
            "learner": json.dumps(self.learner),
            "costs": json.dumps(self.costs),
            "overfitting": None if self.overfitting is None else json.dumps(asdict(self.overfitting)),
            "held_back": None if self.held_back is None else json.dumps(asdict(self.held_back)),
            "refits": None if self.refits is None else json.dumps(self.refits.dump()),
            "parameters": json.dumps(self.parameters),
            "importance": json.dumps(self.importance),
            "permutation": json.dumps(self.permutation),
            "contributions": json.dumps(self.contributions),
            "reliability": json.dumps(self.reliability),
            "reference": self.reference.dump(),
            "residual_quantiles": errors,
            "shrinkage": shrinkage,
        }

    @classmethod
    def parse(cls, row: dict[str, Any]) -> ModelRecord:
        """The inverse of ``row``."""
        calibration = Calibration.parse(row["shrinkage"], row["residual_quantiles"])
        rest = {name: value for name, value in row.items() if name not in ("shrinkage", "residual_quantiles")}
        return cls(
            **{
                **rest,
                "status": Status(row["status"]),
                "verdict": Verdict(row["verdict"]),
                "features": tuple(json.loads(row["features"])),
                "parameters": json.loads(row["parameters"]),
                "importance": json.loads(row["importance"]),
                # versions of earlier releases lack these fields
                "permutation": json.loads(row.get("permutation") or "{}"),
                "contributions": json.loads(row.get("contributions") or "{}"),
                "reliability": json.loads(row.get("reliability") or "[]"),
                "reference": Reference.parse(row.get("reference")),
                "trials": row.get("trials"),
                "plugins": json.loads(row.get("plugins") or "{}"),
                "labels": json.loads(row.get("labels") or "{}"),
                "learner": json.loads(row.get("learner") or "{}"),
                "costs": json.loads(row.get("costs") or "{}"),
                "overfitting": overfitting.parse(row.get("overfitting")),
                "held_back": held_back.parse(row.get("held_back")),
                "learnt_until": {
                    symbol: datetime.fromisoformat(time)
                    for symbol, time in json.loads(row.get("learnt_until") or "{}").items()
                },
                "later_share": row.get("later_share"),
                "refits": Refits.parse(json.loads(row.get("refits") or "{}")),
            },
            calibration=calibration,
        )
