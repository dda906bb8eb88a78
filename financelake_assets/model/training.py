"""Training: bars → a fitted pipeline, its calibration, and how it did out of sample.

Enters: whole series of silver bars. Leaves: a ``Trained`` that the registry can save. The forest is judged by a
walk-forward first and then fitted once more on everything, so that no metric comes from a row that was learnt. The
same bars, settings and seed give the same forest.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import numpy as np
import polars as pl
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.regression import RandomForestRegressionModel, RandomForestRegressor
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from financelake_assets.config import ModelSettings
from financelake_assets.model.calibration import Calibration, calibrate
from financelake_assets.model.connect import activated
from financelake_assets.model.evaluation import Judged, evaluate
from financelake_assets.model.features import FEATURES, bar_length, with_features
from financelake_assets.model.labels import LABEL, with_labels
from financelake_assets.model.splits import Fold, in_holdout, walk_forward

RAW = "raw_prediction"
"""The forest's own prediction, in units of the expected move."""

KEY = ("symbol", "asset_class", "event_time")
"""What tells labelled rows apart; they are of one interval."""

_FACTS = (*KEY, "target_time", "price", "realised_return", "expected_move", LABEL)
_FITS_AT_ONCE = 2  # a fit of a small forest mostly waits for its next job to be scheduled


class NotEnoughHistoryError(ValueError):
    """There are too few labelled bars to learn anything from."""


@dataclass(frozen=True)
class Trained:
    """A fitted pipeline and all that is known of it, not yet registered.

    ``judged`` are its predictions out of sample; ``labelled`` the Spark rows that it learnt from, cached.
    """

    session: SparkSession
    settings: ModelSettings
    silver_version: int
    model: PipelineModel
    calibration: Calibration
    importance: dict[str, float]
    labelled: DataFrame
    judged: Judged
    metrics: list[dict[str, Any]]
    train_start: datetime
    train_end: datetime
    rows: int


def train(
    session: SparkSession,
    bars: DataFrame,
    settings: ModelSettings,
    silver_version: int,
    log: Callable[[str], None],
) -> Trained:
    """Train a version of the random forest and judge it out of sample.

    Args:
        session: the session of ``bars``.
        bars: silver bars of the settings' interval.
        settings: the forest, horizon, folds and holdout.
        silver_version: Delta version of silver that ``bars`` were read at.
        log: where progress goes.

    Raises:
        NotEnoughHistoryError: fewer labelled bars than the settings ask for.
    """
    labelled = _labelled(bars, settings.horizon).persist()
    facts = _facts(labelled)
    if len(facts) < settings.min_rows:
        raise NotEnoughHistoryError(
            f"{len(facts)} labelled bars of {settings.interval}, {settings.min_rows} are needed"
        )
    log(f"{len(facts)} labelled bars of {facts['symbol'].n_unique()} symbols with {len(FEATURES)} features")
    embargo = bar_length(settings.interval) * settings.horizon
    folds = walk_forward(facts["event_time"].to_numpy(), settings.folds, embargo)
    raw = _walk(session, labelled, folds, settings, log)
    scored = facts.join(raw, on=list(KEY), how="inner").sort("event_time", "symbol")
    judged = _judge(facts, scored, folds, settings)
    log(f"{len(judged.rows)} bars predicted out of sample")
    with activated(session):
        model = pipeline(settings).fit(labelled)
        log("fitted on all of them")
        forest = cast("RandomForestRegressionModel", model.stages[-1])
        weights = forest.featureImportances.toArray()
    return Trained(
        session=session,
        settings=settings,
        silver_version=silver_version,
        model=model,
        calibration=_calibration(scored, settings.coverage),
        importance={name: float(weight) for name, weight in zip(FEATURES, weights, strict=True)},
        labelled=labelled,
        judged=judged,
        metrics=evaluate(judged),
        train_start=facts["event_time"].min(),  # type: ignore[arg-type]
        train_end=facts["target_time"].max(),  # type: ignore[arg-type]
        rows=len(facts),
    )


def pipeline(settings: ModelSettings) -> Pipeline:
    """The unfitted pipeline: features to one vector, then the forest."""
    forest = RandomForestRegressor(
        featuresCol="inputs",
        labelCol=LABEL,
        predictionCol=RAW,
        numTrees=settings.trees,
        maxDepth=settings.depth,
        minInstancesPerNode=settings.min_instances_per_node,
        subsamplingRate=settings.subsampling_rate,
        seed=settings.seed,
    )
    # a row with a feature missing cannot be scored; it must not stop the stream either
    return Pipeline(
        stages=[VectorAssembler(inputCols=list(FEATURES), outputCol="inputs", handleInvalid="skip"), forest]
    )


def _labelled(bars: DataFrame, horizon: int) -> DataFrame:
    rows = with_labels(with_features(bars), horizon).where(F.col("scorable") & F.col(LABEL).isNotNull())
    # a forest's samples depend on the order of its rows: fix it, whatever order silver's files are in
    parts = ("symbol", "event_time")
    return rows.select(*_FACTS, *FEATURES).repartition(2, *parts).sortWithinPartitions(*parts)


def _facts(labelled: DataFrame) -> pl.DataFrame:
    """What judging needs of the labelled rows, in UTC without a zone."""
    return local(labelled.select(*_FACTS))


def local(rows: DataFrame) -> pl.DataFrame:
    """Spark rows on this side; times are UTC without a zone, as numpy has them."""
    found = pl.DataFrame(pl.from_arrow(rows.toArrow()))
    return found.with_columns(pl.col(pl.Datetime("us", "UTC")).dt.replace_time_zone(None))


def _walk(
    session: SparkSession,
    labelled: DataFrame,
    folds: list[Fold],
    settings: ModelSettings,
    log: Callable[[str], None],
) -> pl.DataFrame:
    """The forest's raw predictions for every fold's bars, each from a forest that has seen none of them."""

    def predict(fold: Fold) -> pl.DataFrame:
        learnt = labelled.where(F.col("target_time") < F.lit(utc(fold.learn_before)))
        tested = labelled.where(F.col("event_time") >= F.lit(utc(fold.start)))
        tested = tested.where(F.col("event_time") < F.lit(utc(fold.end)))
        with activated(session):
            rows = local(pipeline(settings).fit(learnt).transform(tested).select(*KEY, RAW))
        log(f"fold {fold.number} of {len(folds)}: {len(rows)} bars from {fold.start:%Y-%m-%d}")
        return rows.with_columns(pl.lit(fold.number, dtype=pl.Int32).alias("fold"))

    with ThreadPoolExecutor(_FITS_AT_ONCE) as workers:
        return pl.concat(workers.map(predict, folds))


def _judge(facts: pl.DataFrame, scored: pl.DataFrame, folds: list[Fold], settings: ModelSettings) -> Judged:
    """Calibrate every fold from the folds before it, as one could have at the time; the first has none before it."""
    held_out = in_holdout(
        facts["symbol"].to_numpy().astype(str), facts["event_time"].to_numpy(), settings.holdout_fraction
    )
    marked = facts.select(*KEY, pl.Series("held_out", held_out))
    parts = []
    for fold in folds[1:]:
        before = scored.filter(pl.col("fold") < fold.number, pl.col("target_time") < fold.learn_before)
        calibration = _calibration(before, settings.coverage)
        tested = scored.filter(pl.col("fold") == fold.number)
        learnt = facts.filter(pl.col("target_time") < fold.learn_before)
        parts.append(calibrated(tested, calibration).join(_baselines(learnt), on="symbol", how="left"))
    rows = pl.concat(parts) if parts else pl.DataFrame()
    return Judged(rows.join(marked, on=list(KEY)), settings.horizon, settings.coverage)


def _baselines(learnt: pl.DataFrame) -> pl.DataFrame:
    """Per symbol, the mean return and the mean absolute change of price in the rows that a fold learnt from."""
    change = pl.col("price") * (pl.col("realised_return").exp() - 1)
    return learnt.group_by("symbol").agg(
        pl.col("realised_return").mean().alias("training_mean"), change.abs().mean().alias("training_naive")
    )


def calibrated(scored: pl.DataFrame, calibration: Calibration) -> pl.DataFrame:
    """Turn raw predictions into returns with an interval and a probability.

    Args:
        scored: symbol, asset_class, expected_move and the raw prediction.
        calibration: fitted on other rows.
    """
    parts = []
    for (symbol, asset_class), rows in scored.group_by("symbol", "asset_class", maintain_order=True):
        errors = calibration.errors_of(str(symbol), str(asset_class))
        kept = calibration.shrinkage_of(str(symbol), str(asset_class)) * rows[RAW]
        move = rows["expected_move"]
        parts.append(
            rows.with_columns(
                (kept * move).alias("predicted_return"),
                ((kept + errors.low) * move).alias("low"),
                ((kept + errors.high) * move).alias("high"),
                pl.Series("probability_up", errors.probability_up(kept.to_numpy())),
            )
        )
    return pl.concat(parts)


def _calibration(scored: pl.DataFrame, coverage: float) -> Calibration:
    actual = (scored["realised_return"] / scored["expected_move"]).to_numpy()
    return calibrate(
        scored["symbol"].to_numpy().astype(str),
        scored["asset_class"].to_numpy().astype(str),
        scored[RAW].to_numpy(),
        scored[LABEL].to_numpy(),
        np.asarray(actual, dtype=np.float64),
        coverage,
    )


def utc(moment: datetime) -> str:
    """A literal that Spark reads as the same instant whatever the session's time zone.

    Args:
        moment: a time in UTC, with or without its zone.
    """
    return f"{moment.replace(tzinfo=None).isoformat(sep=' ')}Z"
