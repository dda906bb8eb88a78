"""Learning: rows → the model that is served, and what models of the earlier folds say of each later one.

Input: scorable rows, the folds, and the rows of the final fit. Output: a ``Learnt``. The forests learn in Spark; a
model of a user's own learns in this process, by the same folds. What follows in a training is the same for both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import cast

import polars as pl
from pyspark.ml import PipelineModel
from pyspark.ml.regression import RandomForestRegressionModel
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from financelake_assets.config import ModelSettings
from financelake_assets.model import baselines, linear, plugged_model
from financelake_assets.model.dissimilarity import Gauged, Landmarks, landmarks_of
from financelake_assets.model.features import SYMBOL_WEEKDAY
from financelake_assets.model.importance import permutation_importance
from financelake_assets.model.labels import LABEL, TARGET
from financelake_assets.model.local_walk import TARGETS, walk
from financelake_assets.model.outputs import OUTPUTS, RAW, RETURNS, WEEKDAY_EFFECT, Predictor
from financelake_assets.model.pipeline import boosted, fit, local, predictions
from financelake_assets.model.plugged_model import PluggedModel
from financelake_assets.model.splits import Fold, last_as_a_whole
from financelake_assets.model.training_rows import KEY, MOST_LOCAL_BARS, utc
from financelake_assets.plugins import Plugin, PluginError
from financelake_assets.spark_sessions import activated

_MOST_LANDMARK_ROWS = 100_000  # of more rows that a forest learnt, a sample stands for all
_FITS_AT_ONCE = 2  # the fit of a small forest mostly waits for Spark to schedule its next job

Model = PipelineModel | PluggedModel


@dataclass(frozen=True)
class Learnt:
    """What was learnt.

    ``model`` is fitted on the latest rows, for which the ``landmarks`` stand. ``raw`` are the out-of-sample predictions
    of the folds with ``DISSIMILARITY`` from what each fold learnt, ``beside`` those of the baselines by name.
    ``importance`` is by impurity, empty for a model without any; ``permutation`` by shuffling the inputs of the last
    fold's model.
    """

    model: Model
    landmarks: Landmarks
    raw: pl.DataFrame
    beside: dict[str, pl.DataFrame]
    importance: dict[str, float]
    permutation: dict[str, float]


def by_forests(
    scorable: DataFrame,
    latest: DataFrame,
    folds: list[Fold],
    settings: ModelSettings,
    inputs: tuple[str, ...],
    log: Callable[[str], None],
) -> Learnt:
    """Let forests learn in Spark; the fits run in parallel and independently.

    Args:
        scorable: see ``training_rows.scorable_rows``.
        latest: the rows of the final fit.
        folds: in order.
        settings: of the forests.
        inputs: the columns that they see.
        log: called with each line of progress.
    """
    session = scorable.sparkSession
    with ThreadPoolExecutor(_FITS_AT_ONCE) as workers:
        final = workers.submit(_final, session, latest, settings, inputs, log)  # first, because it takes longest
        raw, beside, permutation = _walk(session, scorable, folds, settings, inputs, workers, log)
        model, landmarks, importance = final.result()
    return Learnt(model, landmarks, raw, beside, importance, permutation)


def by_plugin(
    plugin: Plugin,
    scorable: DataFrame,
    count: int,
    latest: DataFrame,
    folds: list[Fold],
    settings: ModelSettings,
    features: Sequence[str],
    log: Callable[[str], None],
) -> Learnt:
    """Let a model of a user's own learn in this process.

    Args:
        plugin: the model.
        scorable: see ``training_rows.scorable_rows``.
        count: of them.
        latest: the rows of the final fit.
        folds: in order.
        settings: the seed of the permutation.
        features: names of the inputs, without the weekday effect.
        log: called with each line of progress.

    Raises:
        PluginError: there are too many rows for this process, or the model fails or cannot be served.
    """
    if count > MOST_LOCAL_BARS:
        raise PluginError(
            f"{plugin.title} learns in one process, and {count} bars are more than {MOST_LOCAL_BARS}",
            remedy="Let the forest learn this interval, or choose symbols (FINANCELAKE_MODEL__SYMBOLS).",
        )
    rows, newest = (_in_this_process(some, features) for some in (scorable, latest))
    plugged_model.examine(plugin, newest, features)
    log(f"{plugin.title} can be served: the same again, row by row, and from its files")
    permutation: dict[str, float] = {}

    explained = last_as_a_whole(folds)

    def judged(fold: Fold, model: Predictor, tested: pl.DataFrame) -> None:
        log(f"{fold.name}: {tested.height} bars from {fold.start:%Y-%m-%d}")
        if fold.start == explained.start:
            own = cast("PluggedModel", cast("Gauged", model).predictor)
            shuffled = rows.filter(explained.judges(pl.col("event_time"), pl.lit))
            permutation.update(plugged_model.permutation_importance(own, shuffled, LABEL, settings.seed))

    # a model of a user's own does not tell what it uses most: its inputs count alike
    alike = dict.fromkeys(features, 1.0)
    raw = walk(
        rows,
        folds,
        lambda some: Gauged(plugged_model.fit(plugin, some, features), landmarks_of(some, alike, settings.seed)),
        judged,
    )
    model = plugged_model.fit(plugin, newest, features)
    log("fitted on all labelled bars" if settings.window_days is None else f"fitted on {settings.window_days} days")
    return Learnt(model, landmarks_of(newest, alike, settings.seed), raw, {}, {}, permutation)


def refit_by_plugin(plugin: Plugin, latest: DataFrame, features: Sequence[str]) -> PluggedModel:
    """Fit only the final model of ``by_plugin``: the same rows give the same model.

    Raises:
        PluginError: the model fails.
    """
    return plugged_model.fit(plugin, _in_this_process(latest, features), features)


def predicted(model: Model, rows: DataFrame, *names: str) -> pl.DataFrame:
    """The raw predictions of a model: the named columns and ``OUTPUTS``.

    Args:
        model: of the session that is the active one, where it is a pipeline.
        rows: the inputs and the named columns.
        names: columns to keep.

    Raises:
        PluginError: a model of a user's own fails.
    """
    if not isinstance(model, PluggedModel):
        return predictions(model, rows, *names)
    inputs = [SYMBOL_WEEKDAY if name == WEEKDAY_EFFECT else name for name in model.inputs]
    own = local(rows.select(*dict.fromkeys((*names, *inputs))))
    return own.select(names).with_columns(model.predict(own).get_columns())


def by_a_line(
    scorable: DataFrame, count: int, folds: list[Fold], features: Sequence[str], log: Callable[[str], None]
) -> dict[str, pl.DataFrame]:
    """The linear model's raw predictions, where the rows and their inputs fit in this process.

    Args:
        scorable: see ``training_rows.scorable_rows``.
        count: of them.
        folds: in order.
        features: names of the inputs, without the weekday effect.
        log: called with a line where there is none.
    """
    if count > MOST_LOCAL_BARS:
        log(f"no linear model beside the forest: {count} bars are more than {MOST_LOCAL_BARS}")
        return {}
    return {baselines.LINEAR: linear.walk(_in_this_process(scorable, features), folds, features)}


def _in_this_process(rows: DataFrame, features: Sequence[str]) -> pl.DataFrame:
    return local(rows.select(*KEY, "target_time", LABEL, *TARGETS, SYMBOL_WEEKDAY, *features)).sort(KEY)


def _final(
    session: SparkSession,
    latest: DataFrame,
    settings: ModelSettings,
    inputs: tuple[str, ...],
    log: Callable[[str], None],
) -> tuple[PipelineModel, Landmarks, dict[str, float]]:
    """The pipeline that is saved, the landmarks of what it learnt, and the importance of its inputs by impurity."""
    model = fit(session, latest, settings, inputs)
    with activated(session):
        importance = _importance(model, inputs)
    log("fitted on all labelled bars" if settings.window_days is None else f"fitted on {settings.window_days} days")
    return model, _landmarks(latest, importance, settings.seed), importance


def _importance(model: PipelineModel, inputs: tuple[str, ...]) -> dict[str, float]:
    """How much the trees of the returns' forest split on each input."""
    weights = cast("RandomForestRegressionModel", model.stages[RETURNS]).featureImportances.toArray()
    return {name: float(weight) for name, weight in zip(inputs, weights, strict=True)}


def _landmarks(learnt: DataFrame, importance: Mapping[str, float], seed: int) -> Landmarks:
    """The landmarks of rows that a forest learnt.

    The weekday effect does not count: it is what was learnt of a symbol's weekday, not how a bar is.
    """
    weights = {name: weight for name, weight in importance.items() if name != WEEKDAY_EFFECT}
    by_chance = F.xxhash64("symbol", "event_time")
    few = learnt.select("symbol", "event_time", *weights).orderBy(by_chance).limit(_MOST_LANDMARK_ROWS)
    return landmarks_of(local(few).sort("event_time", "symbol"), weights, seed)


def _walk(
    session: SparkSession,
    scorable: DataFrame,
    folds: list[Fold],
    settings: ModelSettings,
    inputs: tuple[str, ...],
    workers: ThreadPoolExecutor,
    log: Callable[[str], None],
) -> tuple[pl.DataFrame, dict[str, pl.DataFrame], dict[str, float]]:
    """Raw out-of-sample predictions for every fold's bars, and the importance of the inputs in the last fold.

    First those of the forests, then those of the baselines that Spark fits, by name. As in a live lake, a bar whose
    outcome never becomes known (a price below zero) is predicted like any other.
    """
    importance: dict[str, float] = {}
    learnable, explained = scorable.where(F.col(TARGET).isNotNull()), last_as_a_whole(folds)

    def predict(fold: Fold) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        learnt = learnable.where(fold.learns_from(F.col("target_time"), _literal))
        tested = scorable.where(fold.judges(F.col("event_time"), _literal))
        model = fit(session, learnt, settings, inputs)
        # of the rows themselves: what the fold says is not what its forest got
        (until,) = local(learnt.agg(F.max("target_time").alias("until")))["until"]
        with activated(session):
            landmarks = _landmarks(learnt, _importance(model, inputs), settings.seed)
            seen = predictions(model, tested, *KEY, *landmarks.names)
            rows = seen.select(*KEY, *OUTPUTS, landmarks.of(seen))
            other = boosted(model, learnt, tested, settings, *KEY) if settings.boosted_trees else None
            if fold.start == explained.start:
                # the effect is looked up from the category of symbol and weekday, so that is what is shuffled
                names = [SYMBOL_WEEKDAY if name == WEEKDAY_EFFECT else name for name in inputs]
                shuffled = scorable.where(explained.judges(F.col("event_time"), _literal))
                outcomes = shuffled.where(F.col(LABEL).isNotNull()).select(LABEL, *names)
                importance.update(permutation_importance(model, outcomes, RAW, settings.seed))
        log(f"{fold.name}: {len(rows)} bars from {fold.start:%Y-%m-%d}")
        of_fold = [
            pl.lit(fold.number, dtype=pl.Int32).alias("fold"),
            pl.lit(fold.refit, dtype=pl.Int32).alias("refit"),
            pl.lit(until, pl.Datetime("us")).alias("learnt_until"),
        ]
        return rows.with_columns(of_fold), None if other is None else other.with_columns(of_fold)

    # the later folds have more training bars: start the longest first
    made = list(workers.map(predict, reversed(folds)))
    boosted_too = [other for _, other in made if other is not None]
    beside = {baselines.BOOSTED: pl.concat(boosted_too)} if boosted_too else {}
    raw = pl.concat([rows for rows, _ in made])
    return raw, beside, {WEEKDAY_EFFECT if name == SYMBOL_WEEKDAY else name: gain for name, gain in importance.items()}


def _literal(moment: datetime) -> Column:
    return F.lit(utc(moment))
