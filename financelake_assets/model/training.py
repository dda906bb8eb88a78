"""Training: bars → a fitted model, its calibration, and its out-of-sample results.

Input: complete series of silver bars. Output: a ``Trained`` that the registry can save. A walk-forward evaluates the
model first; then it is fitted once more on all data. So no metric comes from a training row. The same bars,
settings and seed give the same model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from financelake_assets.config import ModelSettings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.intervals import bar_length
from financelake_assets.model import baselines, other_series, plugin_frames
from financelake_assets.model.adaptive import WIDENING, widened
from financelake_assets.model.cadence import retraining
from financelake_assets.model.calibration import _SMALLEST_SIZE, Calibration, OutOfSample, calibrate, calibrated
from financelake_assets.model.costs import Costs
from financelake_assets.model.dissimilarity import Landmarks
from financelake_assets.model.drift import Reference, reference_of
from financelake_assets.model.evaluation import Judged, evaluate
from financelake_assets.model.features import FEATURES, reach
from financelake_assets.model.holdout import cut_offs, in_holdout
from financelake_assets.model.labels import LABEL, TARGET
from financelake_assets.model.learning import Model, by_a_line, by_forests, by_plugin, refit_by_plugin
from financelake_assets.model.other_series import NONE, OtherBars
from financelake_assets.model.outputs import RAW, RAW_SIZE, RAW_UP
from financelake_assets.model.pipeline import INPUTS, fit, local
from financelake_assets.model.plugged_features import Plugins, columns_of
from financelake_assets.model.record import MadeWith
from financelake_assets.model.schema import WALK_FORWARD
from financelake_assets.model.splits import Fold, Times, refits, refuse_leaks, walk_forward, with_newest
from financelake_assets.model.training_rows import KEY, Bars, chosen, facts_of, scorable_rows, utc
from financelake_assets.plugins import Plugin, PluginError
from financelake_assets.plugins.declaration import facts_by_name

_LEAST_FOLDS = 2  # the first fold only calibrates the others
_LEAST_LEARNT = 50  # rows that a label leaves before a fold


class NotEnoughHistoryError(FinanceLakeError, ValueError):
    """There are too few labelled bars to train on."""


@dataclass(frozen=True)
class Trained:
    """A fitted model and its results, not yet registered.

    ``judged`` are its out-of-sample predictions whose outcomes are known; ``walked`` are all of them, as rows of
    gold.walk_forward without the version's name; ``importance`` is by impurity, ``permutation`` by shuffling the inputs
    of the last fold's model; ``reference`` has the distributions of the features; ``labelled`` are the Spark rows.
    ``landmarks`` stand for the rows that the model learnt.
    ``baselines`` are the metrics of each baseline by name, see ``baselines.judged_beside``.
    ``learnt_until`` is the latest target time of each symbol, and ``later_share`` the share of rows that are later than
    the earliest of them: what was learnt of the future of a market that ended before the others.
    ``plugins`` are the feature plug-ins in use, ``label`` is what was learnt, if not our own label, ``learner`` what
    learnt it, if not the forest, and ``costs`` are those that changed the costs of the trades that are judged.
    """

    session: SparkSession
    settings: ModelSettings
    silver_version: int
    model: Model
    landmarks: Landmarks
    calibration: Calibration
    importance: dict[str, float]
    permutation: dict[str, float]
    reference: Reference
    labelled: DataFrame
    judged: Judged
    walked: pl.DataFrame
    metrics: list[dict[str, Any]]
    baselines: dict[str, list[dict[str, Any]]]
    train_start: datetime
    train_end: datetime
    learnt_until: dict[str, datetime]
    later_share: float
    rows: int
    plugins: Plugins = ()
    costs: Plugins = ()
    label: Plugin | None = None
    learner: Plugin | None = None

    @property
    def made_with(self) -> MadeWith:
        """What the version records of the plug-ins that decide what it predicts."""
        return MadeWith(
            plugins=facts_by_name(self.plugins),
            labels=facts_by_name([] if self.label is None else [self.label]),
            learner=facts_by_name([] if self.learner is None else [self.learner]),
        )


def train(
    session: SparkSession,
    bars: Bars,
    settings: ModelSettings,
    silver_version: int,
    log: Callable[[str], None],
    costs: Costs | None = None,
    plugins: Plugins = (),
    label: Plugin | None = None,
    learner: Plugin | None = None,
    others: OtherBars = NONE,
) -> Trained:
    """Train a version of the random forest, or of a model of a user's own, and evaluate it out of sample.

    Args:
        session: a session of the Spark server.
        bars: silver bars of the settings' interval, see ``training_rows.read_bars``.
        settings: the forest, horizon, folds and holdout.
        silver_version: the Delta version of silver from which ``bars`` were read.
        log: called with each line of progress.
        costs: of an execution; unset means the default settings.
        plugins: the feature plug-ins to learn from too.
        label: what to learn of the return; unset is our own label.
        learner: the model that learns; unset is the forest.
        others: bars of the other series that the features ask for.

    Raises:
        PluginError: a plug-in fails, or knows what was not known, or leaves too few rows; nothing is trained.
        NotEnoughHistoryError: fewer labelled bars than the settings ask for.
    """
    charged = Costs() if costs is None else costs
    examined = [*plugins, *charged.functions, *([] if label is None else [label])]
    if examined:
        other_series.refuse_missing(plugins, settings.interval, others)
        plugin_frames.refuse_unsafe(plugins, charged, label, settings.horizon, chosen(bars, settings), others)
        log(f"no leak found in {', '.join(plugin.title for plugin in examined)}")
    features = (*FEATURES, *columns_of(plugins))
    with plugin_frames.errors_told():
        scorable = scorable_rows(session, bars, settings, plugins, charged, label, others)
    labelled = scorable.where(F.col(LABEL).isNotNull())
    everything = facts_of(scorable)
    facts = everything.drop_nulls(LABEL)
    if len(facts) < settings.min_rows:
        raise NotEnoughHistoryError(
            f"{len(facts)} labelled bars of {settings.interval}; {settings.min_rows} are needed"
        )
    log(f"{len(facts)} labelled bars of {facts['symbol'].n_unique()} symbols with {len(features) + 1} features")
    embargo = bar_length(settings.interval) * settings.horizon
    folds = walk_forward(facts["event_time"].to_numpy(), settings.folds, embargo, _window(settings))
    if len(folds) < _LEAST_FOLDS:
        raise NotEnoughHistoryError(f"the bars share too few times to be split into {settings.folds} folds")
    folds = _with_refits(folds, chosen(bars, settings), everything, settings)
    newest = [fold for fold in folds if fold.refit is not None]
    if newest:
        log(f"{len(newest)} refits as a live lake makes them, from {newest[0].start:%Y-%m-%d}")
    latest = _latest(_learnable(scorable, label, folds, settings), facts, settings)
    if learner is None:
        learnt = by_forests(scorable, latest, folds, settings, (*INPUTS, *columns_of(plugins)), log)
    else:
        learnt = by_plugin(learner, scorable, everything.height, latest, folds, settings, features, log)
    beside = {**learnt.beside, **by_a_line(scorable, everything.height, folds, features, log)}
    refuse_leaks(learnt.raw, embargo)
    scored = _with_facts(everything, learnt.raw)
    walked = _forecasts(facts, scored, folds, settings)
    judged = _judge(facts, walked, settings)
    log(f"{len(judged.rows)} bars predicted out of sample")
    compared = {}
    for name, made in beside.items():
        refuse_leaks(made, embargo)
        compared[name] = baselines.judged_beside(judged, judged_walk(everything, made, folds, settings))
    return Trained(
        session=session,
        settings=settings,
        silver_version=silver_version,
        model=learnt.model,
        landmarks=learnt.landmarks,
        calibration=_calibration(scored.drop_nulls(LABEL), settings.coverage),
        importance=learnt.importance,
        permutation=learnt.permutation,
        # also of the rows that a label leaves out: they are scored like all others
        reference=reference_of(
            local(_latest(labelled, facts, settings).select("event_time", *features)).sort("event_time"),
            columns_of(plugins),
        ),
        labelled=labelled,
        judged=judged,
        walked=_rows_of_the_walk(walked, judged, settings),
        metrics=evaluate(judged),
        baselines=compared,
        train_start=facts["event_time"].min(),  # type: ignore[arg-type]
        train_end=facts["target_time"].max(),  # type: ignore[arg-type]
        learnt_until=(until := learnt_until(facts)),
        later_share=later_share(facts, until),
        rows=len(facts),
        plugins=plugins,
        costs=tuple(charged.functions),
        label=label,
        learner=learner,
    )


def learnt_until(facts: pl.DataFrame) -> dict[str, datetime]:
    """The latest target time of each symbol's labelled rows, in UTC without a zone."""
    return dict(facts.group_by("symbol").agg(pl.col("target_time").max()).sort("symbol").iter_rows())


def later_share(facts: pl.DataFrame, until: Mapping[str, datetime]) -> float:
    """The share of labelled rows that are later than the last one of the symbol that ends first."""
    return float((facts["target_time"] > min(until.values())).mean())  # type: ignore[arg-type]


def refit(
    session: SparkSession,
    bars: Bars,
    settings: ModelSettings,
    plugins: Plugins = (),
    label: Plugin | None = None,
    learner: Plugin | None = None,
    others: OtherBars = NONE,
) -> tuple[Model, DataFrame]:
    """Fit only the final model: the same bars, settings and seed give the same model as ``train``.

    Args:
        session: a session of the Spark server.
        bars: silver bars of the settings' interval, as at the training.
        settings: as at the training.
        plugins: as at the training.
        label: as at the training.
        learner: as at the training.
        others: as at the training.

    Returns:
        The model, and the labelled rows.
    """
    with plugin_frames.errors_told():
        scorable = scorable_rows(session, bars, settings, plugins, label=label, others=others)
    labelled = scorable.where(F.col(LABEL).isNotNull())
    latest = _latest(scorable.where(F.col(TARGET).isNotNull()), facts_of(labelled), settings)
    if learner is not None:
        return refit_by_plugin(learner, latest, (*FEATURES, *columns_of(plugins))), labelled
    return fit(session, latest, settings, (*INPUTS, *columns_of(plugins))), labelled


def judged_walk(everything: pl.DataFrame, raw: pl.DataFrame, folds: list[Fold], settings: ModelSettings) -> Judged:
    """Judge the raw predictions of a walk: each fold calibrated from those before it, beside the outcomes.

    Args:
        everything: ``FACTS`` of all rows that could be predicted.
        raw: the predictions of the folds.
        folds: in order; the first only calibrates.
        settings: the horizon, the holdout and the coverage.
    """
    facts = everything.drop_nulls(LABEL)
    return _judge(facts, _forecasts(facts, _with_facts(everything, raw), folds, settings), settings)


def _with_refits(folds: list[Fold], bars: Bars, everything: pl.DataFrame, settings: ModelSettings) -> list[Fold]:
    """The folds with the newest refits that a live lake would have made; the first fold, which calibrates, has none.

    Args:
        folds: in order.
        bars: of the symbols that are learnt from.
        everything: ``FACTS`` of the rows that can be predicted.
        settings: when a training is due, and how many refits there may be.
    """
    if settings.refits == 0:
        return folds
    predicted = everything["event_time"].to_numpy()
    # silver's bars are counted, as the live lake does
    made = refits(folds[1:], _times(bars), lambda rows, days: retraining(rows, days, settings))
    useful = [refit for refit in made if refit.judges(predicted).any()]
    known = everything.drop_nulls(LABEL)["target_time"].to_numpy()
    return with_newest(folds, useful, known, settings.refits, settings.refit_rows)


def _times(bars: Bars) -> Times:
    """The starts of bars, in UTC without a zone."""
    if isinstance(bars, pl.DataFrame):
        return bars["event_time"].dt.replace_time_zone(None).to_numpy()
    return local(bars.select("event_time"))["event_time"].to_numpy()


def _with_facts(everything: pl.DataFrame, raw: pl.DataFrame) -> pl.DataFrame:
    return everything.join(raw, on=list(KEY), how="inner").sort("event_time", "symbol")


def _window(settings: ModelSettings) -> timedelta | None:
    return None if settings.window_days is None else timedelta(days=settings.window_days)


def _learnable(scorable: DataFrame, label: Plugin | None, folds: list[Fold], settings: ModelSettings) -> DataFrame:
    """The rows that can be learnt.

    Raises:
        PluginError: the label leaves too few, in all or before a fold.
    """
    rows = scorable.where(F.col(TARGET).isNotNull())
    if label is not None:
        known = local(rows.select("target_time"))["target_time"].to_numpy()
        if len(known) < settings.min_rows:
            raise PluginError(f"{label.title} leaves {len(known)} rows to learn; {settings.min_rows} are needed")
        for fold in folds:
            left = int(fold.learns_from(known).sum())
            if left < _LEAST_LEARNT:
                raise PluginError(
                    f"{label.title} leaves {left} rows before {fold.start:%Y-%m-%d}; {_LEAST_LEARNT} are needed"
                )
    return rows


def _latest(rows: DataFrame, facts: pl.DataFrame, settings: ModelSettings) -> DataFrame:
    """The training rows of the version: all rows, or those of a sliding window before the newest."""
    window = _window(settings)
    if window is None:
        return rows
    since: datetime = facts["target_time"].max() - window  # type: ignore[operator, assignment]
    return rows.where(F.col("target_time") >= F.lit(utc(since)))


def _forecasts(facts: pl.DataFrame, scored: pl.DataFrame, folds: list[Fold], settings: ModelSettings) -> pl.DataFrame:
    """Calibrate every fold, and refit, from what was forecast before, as one could have done then; not the first fold.

    Then the intervals adapt, bar by bar.

    Args:
        facts: the labelled rows.
        scored: raw predictions of the folds, with outcomes where they are known.
        folds: in order, with refits.
        settings: the coverage of the interval.
    """
    parts = []
    for fold in [fold for fold in folds if fold.number > folds[0].number]:
        known = pl.col(LABEL).is_not_null() & (pl.col("target_time") < fold.learn_before)
        calibration = _calibration(scored.filter((pl.col("event_time") < fold.start) & known), settings.coverage)
        tested = scored.filter(fold.judges(pl.col("event_time"), pl.lit))
        learnt = facts.filter(pl.col("target_time") < fold.learn_before)
        parts.append(calibrated(tested, calibration).join(_baselines(learnt), on="symbol", how="left"))
    if not parts:
        return pl.DataFrame()
    made = pl.concat(parts).with_columns(pl.lit(settings.coverage).alias("coverage"), pl.lit(None).alias(WIDENING))
    # as in gold, where each interval follows from those before it, whatever the fold
    return widened(made, settings.horizon, reach(settings.interval)).drop("coverage")


def _judge(facts: pl.DataFrame, walked: pl.DataFrame, settings: ModelSettings) -> Judged:
    """The calibrated rows whose outcomes are known, with those marked that are held out."""
    held_out = in_holdout(
        facts["symbol"].to_numpy().astype(str),
        facts["event_time"].to_numpy(),
        settings.holdout_fraction,
        cut_offs(settings),
    )
    marked = facts.select(*KEY, pl.Series("held_out", held_out))
    rows = walked.drop_nulls(LABEL).join(marked, on=list(KEY))
    return Judged(rows, settings.horizon, settings.coverage)


def _rows_of_the_walk(walked: pl.DataFrame, judged: Judged, settings: ModelSettings) -> pl.DataFrame:
    """Rows of gold.walk_forward without the version's name."""
    marked = judged.rows.select(*KEY, "held_out")
    rows = walked.join(marked, on=list(KEY), how="left").with_columns(
        interval=pl.lit(settings.interval), horizon=pl.lit(settings.horizon, pl.Int32)
    )
    made = [name for name in WALK_FORWARD.schema.names if name != "model_version"]
    return rows.select(made).with_columns(pl.col(pl.Datetime("us")).dt.replace_time_zone("UTC"))


def _baselines(learnt: pl.DataFrame) -> pl.DataFrame:
    """By symbol, the mean return and the mean absolute change of price in a fold's training rows."""
    change = pl.col("price") * (pl.col("realised_return").exp() - 1)
    return learnt.group_by("symbol").agg(
        pl.col("realised_return").mean().alias("training_mean"), change.abs().mean().alias("training_naive")
    )


def _calibration(scored: pl.DataFrame, coverage: float) -> Calibration:
    actual = scored["realised_return"] / scored["expected_move"]
    return calibrate(
        OutOfSample(
            symbol=scored["symbol"].to_numpy().astype(str),
            asset_class=scored["asset_class"].to_numpy().astype(str),
            raw=scored[RAW].to_numpy(),
            label=scored[LABEL].to_numpy(),
            actual=np.asarray(actual.to_numpy(), dtype=np.float64),
            up=scored[RAW_UP].to_numpy(),
            rose=(scored["realised_return"] > 0).cast(pl.Float64).to_numpy(),
            size=scored[RAW_SIZE].clip(_SMALLEST_SIZE).to_numpy(),
        ),
        coverage,
    )
