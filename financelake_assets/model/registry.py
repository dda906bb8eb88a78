"""The model registry: versions in gold.models, their metrics in gold.model_metrics, their files in the models folder.

Input: what ``registration`` wrote after a training. Output: ``ModelRecord``s, and at any time at most one champion of
each market: its version that was promoted last. If two processes of one machine write, the second waits; a reader never
waits. Nothing here needs Spark.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.files import locked
from financelake_assets.model import artifacts, dissimilarity, forest, plugged_features, plugged_model
from financelake_assets.model.card import model_card
from financelake_assets.model.champions import champions_of, serving, with_status
from financelake_assets.model.dissimilarity import Gauged
from financelake_assets.model.evaluation import ALL, HOLDOUT
from financelake_assets.model.features import FEATURES
from financelake_assets.model.forest import Forest
from financelake_assets.model.markets import Market
from financelake_assets.model.outputs import Predictor
from financelake_assets.model.plugged_model import PluggedModel
from financelake_assets.model.record import ModelRecord, Status
from financelake_assets.model.schema import BASELINE_METRICS, MODEL_METRICS, MODELS, WALK_FORWARD
from financelake_assets.model.verdict import QUESTIONS
from financelake_assets.plugins import installed
from financelake_assets.storage.delta import TableSpec

_OF_A_BASELINE = (
    *QUESTIONS,
    *("predictable_t", "skill", "skill_low", "skill_high"),
    *("over_forest", "over_forest_low", "over_forest_high"),
)


class UnknownVersionError(FinanceLakeError, LookupError):
    """The registry has no such version."""


def champion(settings: Settings, market: Market) -> ModelRecord | None:
    """The version whose predictions of a market are used; ``None`` before its first training."""
    return champions_of(versions(settings)).get(market)


def champions(settings: Settings) -> dict[Market, ModelRecord]:
    """The champions of the markets that the settings want a model for, that of the shortest bars first."""
    return serving(versions(settings), settings.model)


def versions(settings: Settings, then: DeltaTable | None = None) -> list[ModelRecord]:
    """Every registered version, the oldest first.

    Args:
        settings: the lake.
        then: gold.models at an earlier version; unset means as it is now.
    """
    table = MODELS.open(settings) if then is None else then
    if table is None:
        return []
    rows = pl.scan_delta(table).sort("trained_at").collect().to_dicts()
    return with_status([ModelRecord.parse(row) for row in rows])


def get(settings: Settings, version: str, then: DeltaTable | None = None) -> ModelRecord:
    """One version by its name; ``then`` as in ``versions``.

    Raises:
        UnknownVersionError: it was never registered, or not yet.
    """
    known = {record.model_version: record for record in versions(settings, then)}
    if version not in known:
        there = ", ".join(known) or "none"
        has, at = ("has", "") if then is None else ("had", f" at version {then.version()} of gold.models")
        raise UnknownVersionError(
            f"no model {version}; the registry {has} {there}{at}.",
            remedy="`financelake model list` shows all versions.",
        )
    return known[version]


def load_predictor(settings: Settings, record: ModelRecord) -> Predictor:
    """Load a version for scoring outside Spark: its forests or its model of a user's own, and its landmarks.

    Raises:
        ArtifactError: see ``load_forest``.
        PluginError: see ``load_plugged``.
    """
    predictor = load_plugged(settings, record) if record.learner else load_forest(settings, record)
    landmarks = dissimilarity.read(artifacts.folder_of(settings.models_dir, record.model_version))
    return predictor if landmarks is None else Gauged(predictor, landmarks)


def load_plugged(settings: Settings, record: ModelRecord) -> PluggedModel:
    """Load a version that a model of a user's own learnt, after verifying its files.

    Raises:
        ArtifactError: they differ from what was saved; and see ``refuse_other_features``.
        PluginError: a plug-in that the version was trained with is not installed as it was, or cannot be loaded.
    """
    refuse_other_features(settings, record)
    (learner,) = installed.recorded(record.learner, settings.skipped_plugins, "model")
    artifacts.verify(settings.models_dir, record.model_version, record.manifest_sha256)
    return plugged_model.load(learner, artifacts.folder_of(settings.models_dir, record.model_version))


def load_forest(settings: Settings, record: ModelRecord) -> Forest:
    """Load the forests of a version for scoring outside Spark, after verifying its files.

    Raises:
        ArtifactError: they differ from what was saved; and see ``refuse_other_features``.
        PluginError: see ``refuse_other_features``.
    """
    refuse_other_features(settings, record)
    artifacts.verify(settings.models_dir, record.model_version, record.manifest_sha256)
    return forest.read(artifacts.pipeline_of(settings.models_dir, record.model_version))


def refuse_other_features(settings: Settings, record: ModelRecord) -> None:
    """Make sure that this code makes the features that a version needs.

    Raises:
        ArtifactError: it does not.
        PluginError: a plug-in that the version was trained with is not installed as it was.
    """
    if record.outdated:
        raise artifacts.ArtifactError(f"model {record.model_version} is of an earlier release; train a new model")
    of_plugins = plugged_features.columns_of(installed.recorded(record.plugins, settings.skipped_plugins))
    unknown = sorted(set(record.features) - {*FEATURES, *of_plugins})
    if unknown:
        raise artifacts.ArtifactError(
            f"model {record.model_version} needs features that this release does not have: {', '.join(unknown)}; "
            "train a new model"
        )


def promote(settings: Settings, version: str, reason: str) -> ModelRecord:
    """Make a version the champion of its market by hand, for example to roll back.

    Raises:
        UnknownVersionError: it was never registered.
        ArtifactError: its files differ from what was saved.
    """
    with writing(settings):
        record = get(settings, version)
        artifacts.verify(settings.models_dir, version, record.manifest_sha256)
        current = champion(settings, record.market)
        now = datetime.now(UTC)
        MODELS.ensure(settings).update(
            predicate=f"model_version = '{version}'",
            new_values={
                "status": Status.CHAMPION.value,
                "status_reason": _quoted(reason),
                # as a number: delta-rs converts a datetime through a float and sometimes loses a microsecond
                "promoted_at": pa.scalar(now, pa.timestamp("us", "UTC")).value,
            },
        )
        if current is not None and current.model_version != version:
            retire(settings, current.model_version, f"replaced by {version}: {reason}")
    return replace(record, status=Status.CHAMPION, status_reason=reason, promoted_at=now)


def metadata(record: ModelRecord) -> dict[str, Any]:
    """The facts of a version to show, as plain values."""
    return {
        "model_version": record.model_version,
        "market": record.market.name,
        "interval": record.interval,
        "horizon": record.horizon,
        "status": f"{record.status}: {record.status_reason}",
        "verdict": record.verdict.value,
        "silver_version": record.silver_version,
        "trials": record.trials,
        "refits": None if record.refits is None else record.refits.sentence,
        "overfitting": None if record.overfitting is None else record.overfitting.sentence,
        "held_back": None if record.held_back is None else record.held_back.sentence,
        "plugins": {name: facts["version"] for name, facts in record.plugins.items()},
        "labels": {name: facts["version"] for name, facts in record.labels.items()},
        "learner": {name: facts["version"] for name, facts in record.learner.items()},
        "costs": {name: facts["version"] for name, facts in record.costs.items()},
        "parameters": record.parameters,
    }


def card(settings: Settings, record: ModelRecord) -> str:
    """The model card of a version, in Markdown."""
    version = record.model_version
    return model_card(record, metrics_of(settings, version), baseline_metrics_of(settings, version))


def walk_of(settings: Settings, version: str) -> pl.DataFrame:
    """A version's rows of gold.walk_forward, by symbol and time; none where they are not kept."""
    rows = WALK_FORWARD.scan(settings).filter(pl.col("model_version") == version)
    return rows.sort(*WALK_FORWARD.key).collect()


def metrics_of(settings: Settings, version: str) -> list[dict[str, Any]]:
    """A version's rows of gold.model_metrics, by fold and symbol; what an earlier release did not measure is null."""
    return _metrics_of(MODEL_METRICS, settings, version, "fold", "symbol")


def baseline_metrics_of(settings: Settings, version: str) -> list[dict[str, Any]]:
    """A version's rows of gold.baseline_metrics, by baseline, fold and symbol; an earlier release has none."""
    return _metrics_of(BASELINE_METRICS, settings, version, "baseline", "fold", "symbol")


def _metrics_of(spec: TableSpec, settings: Settings, version: str, *order: str) -> list[dict[str, Any]]:
    table = spec.open(settings)
    if table is None:
        return []
    found = pl.scan_delta(table).filter(pl.col("model_version") == version).sort(order).collect()
    return pl.concat([spec.empty, found], how="diagonal_relaxed").to_dicts()


def baselines(settings: Settings) -> dict[str, dict[str, dict[str, Any]]]:
    """What each version's baselines reach on the holdout of all symbols, to show: by version and baseline."""
    rows = BASELINE_METRICS.scan(settings).filter(pl.col("fold") == HOLDOUT, pl.col("symbol") == ALL)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows.select("model_version", "baseline", *_OF_A_BASELINE).sort("baseline").collect().to_dicts():
        told = {name: row[name] for name in _OF_A_BASELINE}
        found.setdefault(row["model_version"], {})[row["baseline"]] = told
    return found


# -- writing ---------------------------------------------------------------------------------------------


@contextmanager
def writing(settings: Settings) -> Iterator[None]:
    """The registry's lock among the processes of this machine."""
    settings.models_dir.mkdir(parents=True, exist_ok=True)
    with locked(settings.models_dir / ".registry.lock"):
        yield


def retire(settings: Settings, version: str, reason: str) -> None:
    """Give a version the status of one that was replaced."""
    MODELS.ensure(settings).update(
        predicate=f"model_version = '{version}'",
        new_values={"status": Status.RETIRED.value, "status_reason": _quoted(reason)},
    )


def _quoted(text: str) -> str:
    """Escape a text for delta-rs, which puts it between quotes without escaping."""
    return text.replace("'", "''")
