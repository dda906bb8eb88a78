"""The walk of a search: a candidate's settings → what its forests say inside the training period, fold by fold.

Input: silver bars, of which those of the holdout are taken away before anything is computed. So no feature, no label
and no outcome of a trade knows them. Output: judged rows of each fold. The folds are purged and have an embargo, as
those of a training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_

import numpy as np
import polars as pl
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from financelake_assets.config import ModelSettings
from financelake_assets.intervals import bar_length
from financelake_assets.model import other_series, plugin_frames
from financelake_assets.model.costs import Costs
from financelake_assets.model.holdout import cut_offs, in_holdout
from financelake_assets.model.labels import LABEL, TARGET
from financelake_assets.model.other_series import NONE, OtherBars
from financelake_assets.model.pipeline import INPUTS, fit, local, predictions
from financelake_assets.model.plugged_features import Plugins, columns_of
from financelake_assets.model.record import MadeWith
from financelake_assets.model.splits import Fold, Times, refuse_leaks, walk_forward
from financelake_assets.model.training import NotEnoughHistoryError, judged_walk
from financelake_assets.model.training_rows import KEY, Bars, chosen, facts_of, scorable_rows, utc
from financelake_assets.plugins import Plugin
from financelake_assets.plugins.declaration import facts_by_name
from financelake_assets.spark_sessions import activated

FOLDS = 4
"""As many as when the default settings were chosen (docs/decisions/0003-model-choices.md); the first only calibrates
the others."""

_LEAST_LEARNT = 50  # rows before a fold, below which a window is too short to be judged


@dataclass(frozen=True)
class Made:
    """What a market is learnt with: the plug-ins in use, and the costs that trades are judged by.

    ``others``: bars of the other series that the features ask for; those that were not yet known at a bar, as any of
    the holdout, change no row.
    """

    plugins: Plugins = ()
    costs: Costs | None = None
    label: Plugin | None = None
    others: OtherBars = NONE

    @property
    def made_with(self) -> MadeWith:
        """The same as a version records it."""
        return MadeWith(facts_by_name(self.plugins), facts_by_name([] if self.label is None else [self.label]))


@dataclass(frozen=True)
class Judged:
    """What is known of a candidate after a fold: the rows of all folds until then that have an outcome."""

    fold: int
    folds: int
    rows: pl.DataFrame


@dataclass(frozen=True)
class Period:
    """A market's training period.

    ``scorable``: its Spark rows; ``everything``: their ``FACTS``; ``known``: when the target of each row that can be
    learnt is known; ``inputs``: of the forests.
    """

    session: SparkSession
    scorable: DataFrame
    everything: pl.DataFrame
    known: Times
    inputs: tuple[str, ...]

    @property
    def days(self) -> int:
        """How long it is."""
        first, last = self.everything["event_time"].min(), self.everything["event_time"].max()
        return int((last - first).days)  # type: ignore[operator, union-attr]


def holdout_starts(session: SparkSession, bars: Bars, settings: ModelSettings, made: Made) -> dict[str, datetime]:
    """When the holdout of each symbol begins: its cut-off, or the first bar that a training would hold out.

    A search asks this once, at its beginning. Without a cut-off the answer depends on how many labelled bars there are.

    Args:
        session: a session of the Spark server.
        bars: of the market, all.
        settings: the holdout.
        made: what the market is learnt with.

    Returns:
        By symbol, in UTC without a zone. A symbol of which nothing is held out has the time of its last outcome.
    """
    with plugin_frames.errors_told():
        scorable = scorable_rows(session, bars, settings, made.plugins, made.costs, made.label, made.others)
        facts = facts_of(scorable).drop_nulls(LABEL)
    since = cut_offs(settings)
    symbols = facts["symbol"].to_numpy().astype(str)
    held = in_holdout(symbols, facts["event_time"].to_numpy(), settings.holdout_fraction, since)
    found = (
        facts.with_columns(held=pl.Series(held))
        .group_by("symbol")
        .agg(pl.col("event_time").filter("held").min().alias("first"), pl.col("target_time").max().alias("last"))
    )
    return {
        symbol: datetime.combine(since[symbol], datetime.min.time()) if symbol in since else first or last
        for symbol, first, last in found.sort("symbol").iter_rows()
    }


def bars_before(bars: Bars, until: Mapping[str, datetime]) -> Bars:
    """The bars of each symbol before its time; none of a symbol without one.

    Args:
        bars: of a market.
        until: by symbol, in UTC without a zone; see ``holdout_starts``.
    """
    if isinstance(bars, pl.DataFrame):
        end = pl.col("symbol").replace_strict(dict(until), default=None, return_dtype=pl.Datetime("us"))
        return bars.filter(pl.col("event_time") < end.dt.replace_time_zone("UTC"))
    before = [
        (F.col("symbol") == symbol) & (F.col("event_time") < F.lit(utc(end)).cast("timestamp"))
        for symbol, end in until.items()
    ]
    return bars.where(reduce(or_, before, F.lit(False)))


def training_period(
    session: SparkSession, bars: Bars, settings: ModelSettings, made: Made, until: Mapping[str, datetime]
) -> Period:
    """A market's rows before its holdout.

    Args:
        session: a session of the Spark server.
        bars: of the market; those of the holdout are not looked at.
        settings: the lake's for the market.
        made: what the market is learnt with.
        until: when the holdout of each symbol begins.

    Raises:
        PluginError: a plug-in fails, or knows what was not known.
        NotEnoughHistoryError: fewer labelled bars than the settings ask for.
    """
    own = bars_before(bars, until)
    costs = Costs() if made.costs is None else made.costs
    if made.plugins or costs.functions or made.label is not None:
        other_series.refuse_missing(made.plugins, settings.interval, made.others)
        own_bars = chosen(own, settings)
        plugin_frames.refuse_unsafe(made.plugins, costs, made.label, settings.horizon, own_bars, made.others)
    with plugin_frames.errors_told():
        scorable = scorable_rows(session, own, settings, made.plugins, costs, made.label, made.others)
    everything = facts_of(scorable)
    labelled = everything[LABEL].count()
    if labelled < settings.min_rows:
        raise NotEnoughHistoryError(
            f"{labelled} labelled bars of {settings.interval} before the holdout; {settings.min_rows} are needed",
            remedy="Load more history, or search when it has come.",
        )
    known = local(scorable.where(F.col(TARGET).isNotNull()).select("target_time"))["target_time"].to_numpy()
    return Period(session, scorable, everything, known, (*INPUTS, *columns_of(made.plugins)))


def walk(period: Period, settings: ModelSettings) -> Iterator[Judged]:
    """Judge a candidate fold by fold; whoever has seen enough stops asking.

    Args:
        period: where all folds lie.
        settings: of the candidate.

    Yields:
        After each fold from the second on. Nothing at all where the window leaves a fold too few rows.
    """
    embargo = bar_length(settings.interval) * settings.horizon
    labelled = period.everything.drop_nulls(LABEL)["event_time"].to_numpy()
    window = None if settings.window_days is None else timedelta(days=settings.window_days)
    folds = walk_forward(labelled, FOLDS, embargo, window)
    if any(np.count_nonzero(fold.learns_from(period.known)) < _LEAST_LEARNT for fold in folds):
        return
    parts: list[pl.DataFrame] = []
    for fold in folds:
        parts.append(_said(period, fold, settings))
        if fold.number > 1:
            raw = pl.concat(parts)
            refuse_leaks(raw, embargo)
            rows = judged_walk(period.everything, raw, folds[: fold.number], settings).rows
            yield Judged(fold.number, len(folds), rows)


def _said(period: Period, fold: Fold, settings: ModelSettings) -> pl.DataFrame:
    """What forests that learnt before a fold say of its bars, see ``local_walk.walk``."""
    learnt = period.scorable.where(F.col(TARGET).isNotNull()).where(
        fold.learns_from(F.col("target_time"), lambda moment: F.lit(utc(moment)))
    )
    tested = period.scorable.where(fold.judges(F.col("event_time"), lambda moment: F.lit(utc(moment))))
    model = fit(period.session, learnt, settings, period.inputs)
    # of the rows themselves, as in a training: what the fold says is not what its forests got
    (until,) = local(learnt.agg(F.max("target_time").alias("until")))["until"]
    with activated(period.session):
        rows = predictions(model, tested, *KEY)
    return rows.with_columns(
        fold=pl.lit(fold.number, pl.Int32),
        refit=pl.lit(None, pl.Int32),
        learnt_until=pl.lit(until, pl.Datetime("us")),
    )
