"""Registration: what a training made → files, metrics and a version in the registry; and its pipeline back into Spark.

Input: the result of ``train``. Output: a ``ModelRecord``, champion or challenger of its market. This is the part of the
registry that needs Spark. A version is visible only when its files and metrics are complete.
"""

from __future__ import annotations

import math
import re
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from deltalake import write_deltalake
from deltalake.exceptions import DeltaError
from numpy.typing import NDArray
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from financelake_assets.config import ModelSettings, Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.model import (
    artifacts,
    forest,
    held_back,
    judgement,
    markets,
    metrics,
    other_reading,
    plugged_features,
    registry,
    trials,
)
from financelake_assets.model.cadence import refits_of
from financelake_assets.model.champions import champions_of
from financelake_assets.model.contributions import contributions, paths_of
from financelake_assets.model.evaluation import ALL, HOLDOUT
from financelake_assets.model.features import FEATURES, SYMBOL_WEEKDAY
from financelake_assets.model.learning import Model, predicted
from financelake_assets.model.markets import Market
from financelake_assets.model.outputs import OUTPUTS, RETURNS, WEEKDAY_EFFECT
from financelake_assets.model.overfitting import NOTHING_KNOWN
from financelake_assets.model.pipeline import local
from financelake_assets.model.plugged_model import PluggedModel
from financelake_assets.model.promotion import PromotionDecision, decide
from financelake_assets.model.record import ModelRecord, Status
from financelake_assets.model.schema import BASELINE_METRICS, MODEL_METRICS, MODELS, WALK_FORWARD
from financelake_assets.model.training import Trained, refit
from financelake_assets.model.training_rows import KEY, read_bars, utc
from financelake_assets.model.verdict import Verdict
from financelake_assets.plugins import installed
from financelake_assets.plugins.declaration import facts_by_name
from financelake_assets.silver.schema import BARS
from financelake_assets.spark_sessions import activated

_EXPLAINED_BARS = 256
"""So many bars tell what the inputs contribute on average, in about two seconds."""

_WALKS_KEPT = 10
"""So many versions' out-of-sample forecasts are kept beside the new one's and the champion's: a table of millions of
bars would otherwise grow by most of its size with every training."""


def load(spark: SparkSession, settings: Settings, record: ModelRecord) -> Model:
    """Load a version's pipeline into Spark, or its model of a user's own, after verifying its files.

    Raises:
        ArtifactError: they differ from what was saved, or this code makes other features than the version needs.
        PluginError: a plug-in that it was trained with is not installed as it was.
    """
    if record.learner:
        return registry.load_plugged(settings, record)
    registry.refuse_other_features(settings, record)
    return artifacts.read(spark, settings.models_dir, record.model_version, record.manifest_sha256)


@dataclass(frozen=True)
class Reproduction:
    """A version trained again beside the saved one: bars that both predicted, and how many predictions differ."""

    bars: int
    differing: int


def reproduce(spark: SparkSession, settings: Settings, record: ModelRecord) -> Reproduction:
    """Train a version again from its record, and compare it with the saved one.

    The record has the Delta version of silver, the parameters and the seed.

    Raises:
        ArtifactError: see ``load``.
        FinanceLakeError: silver's history no longer has that version.
    """
    try:
        BARS.scan(settings, record.silver_version)
    except DeltaError as error:
        raise FinanceLakeError(
            f"silver/bars no longer has its version {record.silver_version}, the training data of "
            f"{record.model_version}: {error}.",
            remedy="Name a newer model, or keep history for longer (FINANCELAKE_MAINTENANCE__RETENTION_HOURS).",
        ) from error
    saved = load(spark, settings, record)
    parameters = ModelSettings.model_validate(record.parameters)
    plugins = installed.recorded(record.plugins, settings.skipped_plugins)
    label = next(iter(installed.recorded(record.labels, settings.skipped_plugins, "label")), None)
    bars = read_bars(spark, settings, record.silver_version, record.market)
    learner = next(iter(installed.recorded(record.learner, settings.skipped_plugins, "model")), None)
    others = other_reading.of_lake(settings, BARS.scan(settings, record.silver_version), plugins, record.interval)
    again, rows = refit(spark, bars, parameters, plugins, label, learner, others)
    both = predicted(saved, rows, *KEY).join(predicted(again, rows, *KEY), on=KEY, validate="1:1")
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_right")) for name in OUTPUTS)
    return Reproduction(both.height, both.filter(differs).height)


def save(settings: Settings, trained: Trained) -> ModelRecord:
    """Register a trained version: files, then metrics, then the version as champion or challenger of its market."""
    now = datetime.now(UTC)
    market = markets.of_training(trained.settings, settings.model)
    prefix = markets.version_prefix(_learner(trained), market)
    version = f"{prefix}-{now:%Y%m%dt%H%M%S}-{uuid.uuid4().hex[:4]}"
    digest = artifacts.write(lambda folder: _save_files(trained, folder), settings.models_dir, version)
    moved = mean_contributions(trained, artifacts.pipeline_of(settings.models_dir, version))
    with registry.writing(settings):
        current = registry.champion(settings, market)
        decision = decide(current, trained, lambda record: load(trained.session, settings, record), now)
        _note_trial(settings, trained, market)
        record = _record(settings, version, now, digest, trained, decision, moved, market)
        _append(settings, MODEL_METRICS, [{"model_version": version, **row} for row in trained.metrics])
        _append(
            settings,
            BASELINE_METRICS,
            [
                {"model_version": version, "baseline": baseline, **row}
                for baseline, rows in trained.baselines.items()
                for row in rows
            ],
        )
        _keep_walk(settings, version, trained.walked)
        _append(settings, MODELS, [record.row()])
        if decision.promote and current is not None:
            registry.retire(settings, current.model_version, f"replaced by {version}")
    return record


def _learner(trained: Trained) -> str:
    """What learnt a version, for its name: ``rf``, or the name of the model of a user's own."""
    if trained.learner is None:
        return "rf"
    return re.sub("[^a-z0-9]+", "-", trained.learner.name.lower()).strip("-")[:40] or "model"


def _save_files(trained: Trained, folder: Path) -> None:
    """Write the model's files; those of a pipeline are written by the Spark server, which sees the same path."""
    trained.landmarks.save(folder)
    if isinstance(trained.model, PluggedModel):
        trained.model.save(folder)
        return
    with activated(trained.session):
        trained.model.write().save(str(folder / artifacts.PIPELINE))


def _note_trial(settings: Settings, trained: Trained, market: Market) -> None:
    """Tell the ledger of the strategy that was trained, promoted or not: it was looked at."""
    judged = trained.judged
    sharpe, steps = trials.sharpe_of(judged.rows)
    trial = trials.strategy_trial(trained.settings, settings, sharpe, steps, trained.made_with)
    trials.note(settings, trial)
    trials.keep_returns(settings, trial, market.name, trials.daily(judged.rows))


def _record(
    settings: Settings,
    version: str,
    now: datetime,
    digest: str,
    trained: Trained,
    decision: PromotionDecision,
    moved: dict[str, float],
    market: Market,
) -> ModelRecord:
    # of symbols whose bars all lie before their cut-offs nothing is held out
    judged = next((row for row in trained.metrics if row["fold"] == HOLDOUT and row["symbol"] == ALL), None)
    return ModelRecord(
        model_version=version,
        status=Status.CHAMPION if decision.promote else Status.CHALLENGER,
        status_reason=decision.reason,
        verdict=Verdict.NOT_ENOUGH_DATA if judged is None else Verdict(judged["verdict"]),
        trained_at=now,
        silver_version=trained.silver_version,
        silver_rows=_silver_rows(settings, trained),
        train_start=trained.train_start.replace(tzinfo=UTC),
        train_end=trained.train_end.replace(tzinfo=UTC),
        learnt_until={symbol: time.replace(tzinfo=UTC) for symbol, time in trained.learnt_until.items()},
        later_share=trained.later_share,
        horizon=trained.settings.horizon,
        interval=trained.settings.interval,
        features=(*FEATURES, *plugged_features.columns_of(trained.plugins)),
        parameters=trained.settings.model_dump(mode="json"),
        importance=trained.importance,
        permutation=trained.permutation,
        contributions=moved,
        reliability=_reliability(trained),
        reference=trained.reference,
        trials=trials.tried(settings).count,
        refits=refits_of(trained.walked),
        calibration=trained.calibration,
        manifest_sha256=digest,
        promoted_at=now if decision.promote else None,
        plugins=trained.made_with.plugins,
        labels=trained.made_with.labels,
        learner=trained.made_with.learner,
        costs=facts_by_name(trained.costs),
        overfitting=trials.overfitting(settings).get(market.name, NOTHING_KNOWN),
        held_back=held_back.judge(trained.judged.rows, trained.settings.horizon, trained.landmarks.threshold),
    )


def mean_contributions(trained: Trained, pipeline: Path) -> dict[str, float]:
    """By how much each input moves a prediction of the return: its mean absolute contribution, in expected moves.

    It is measured on bars of the last fold, chosen by a hash of their keys, with the forest that will be served. A
    model of a user's own does not tell, and has none.
    """
    if isinstance(trained.model, PluggedModel):
        return {}
    own = forest.read(pipeline)
    judged = trained.judged.rows
    since: datetime = judged.filter(pl.col("fold") == judged["fold"].max())["event_time"].min()  # type: ignore[assignment]
    names = [SYMBOL_WEEKDAY if name == WEEKDAY_EFFECT else name for name in own.inputs]
    chosen = trained.labelled.where(F.col("event_time") >= F.lit(utc(since))).orderBy(
        F.xxhash64("symbol", "event_time")
    )
    values = own.inputs_of(local(chosen.limit(_EXPLAINED_BARS).select(*names))).cast(pl.Float64).to_numpy()
    found = contributions(paths_of(forest.nodes_of(forest.stages_of(pipeline)[RETURNS])), values)
    return {name: float(mean) for name, mean in zip(own.inputs, np.abs(found).mean(axis=0), strict=True)}


def _reliability(trained: Trained) -> list[dict[str, float]]:
    """The reliability curve of the probability of up on the holdout."""
    rows = trained.judged.rows.filter("held_out")
    happened = (rows["realised_return"] > 0).to_numpy()
    horizon = trained.settings.horizon

    def interval(some: NDArray[np.bool_]) -> metrics.Interval:
        own = rows.filter(pl.Series(some))
        reach = judgement.overlap(own, horizon)
        return judgement.proportion(happened[some].astype(np.float64), judgement.days(own), reach)

    return [asdict(one) for one in metrics.reliability(rows["probability_up"].to_numpy(), happened, interval)]


def _silver_rows(settings: Settings, trained: Trained) -> int:
    """The bars of the market in silver at the training; a version of an earlier release has those of all intervals."""
    own = BARS.scan(settings, trained.silver_version).filter(pl.col("interval") == trained.settings.interval)
    return int(own.select(pl.len()).collect().item())


def _keep_walk(settings: Settings, version: str, walked: pl.DataFrame) -> None:
    """Write what the version forecast out of sample, and delete that of versions which are older than those kept."""
    known = registry.versions(settings)
    kept = {record.model_version for record in known[-_WALKS_KEPT:]}
    kept |= {record.model_version for record in champions_of(known).values()}
    table = WALK_FORWARD.ensure(settings)
    rows = walked.with_columns(pl.lit(version).alias("model_version"), pl.col(pl.Float64).fill_nan(None))
    source = rows.select(WALK_FORWARD.schema.names).to_arrow().cast(WALK_FORWARD.schema)
    write_deltalake(table, source, mode="append")
    names = ", ".join(f"'{name}'" for name in sorted({*kept, version}))
    table.delete(f"model_version NOT IN ({names})")


def _append(settings: Settings, table: Any, rows: list[dict[str, Any]]) -> None:
    clean = [{name: _known(value) for name, value in row.items()} for row in rows]
    new = pa.Table.from_pylist(clean, schema=table.schema)
    write_deltalake(table.ensure(settings), new, mode="append")


def _known(value: Any) -> Any:
    """Values for a table: NaN becomes null, and a time is UTC."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value
