"""Promotion: whether a newly trained version replaces the champion, and why, on bars that neither was trained on.

Input: the champion's record and the result of ``train``. Output: a decision with its reason. Both are evaluated on the
same bars: those after the champion's training data, which the challenger's walk-forward predicted out of sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
from pyspark.sql import functions as F

from financelake_assets.config import ModelSettings
from financelake_assets.model import judgement, metrics
from financelake_assets.model.calibration import calibrated
from financelake_assets.model.learning import Model, predicted
from financelake_assets.model.training import Trained
from financelake_assets.model.training_rows import KEY, utc
from financelake_assets.plugins import PluginError, installed

if TYPE_CHECKING:
    from financelake_assets.model.record import ModelRecord

_LEAST_ROWS = 250


@dataclass(frozen=True)
class PromotionDecision:
    """Whether to promote the challenger, and the reason."""

    promote: bool
    reason: str


def decide(
    current: ModelRecord | None, trained: Trained, load: Callable[[ModelRecord], Model], now: datetime
) -> PromotionDecision:
    """Decide whether the new version replaces the champion.

    Args:
        current: the champion.
        trained: the challenger.
        load: loads the champion's model.
        now: the time of the decision.
    """
    if current is None:
        return PromotionDecision(True, "the first version: there is no other to compare it with")
    if current.outdated:
        return PromotionDecision(
            True, f"{current.model_version} is of an earlier release, and this release cannot score with it"
        )
    if (current.interval, current.horizon) != (trained.settings.interval, trained.settings.horizon):
        return PromotionDecision(True, f"{current.model_version} predicts {current.horizon} bars of {current.interval}")
    other = _other_plugins(current, trained)
    if other:
        return PromotionDecision(True, other)
    ours = unseen(trained.judged.rows, current)
    if len(ours) < _LEAST_ROWS:
        if _same_plugins(current, trained) and refits(current, trained.settings, trained.train_end, now):
            return PromotionDecision(
                True,
                f"{current.model_version} is {(now - current.trained_at).days} days old; the challenger has the same "
                f"settings and later training data, and {len(ours)} bars are too few for a comparison",
            )
        return PromotionDecision(
            False, f"only {len(ours)} bars are outside the training data of both versions; {_LEAST_ROWS} are needed"
        )
    first: datetime = ours["event_time"].min()  # type: ignore[assignment]
    bars = trained.labelled.where(F.col("event_time") >= F.lit(utc(first)))
    try:
        raw = predicted(load(current), bars, *KEY, "expected_move")
    except PluginError as error:
        return PromotionDecision(True, f"this lake cannot score with {current.model_version}: {error}")
    theirs = calibrated(raw, current.calibration).select(*KEY, pl.col("predicted_return").alias("champion_return"))
    same = _same_settings(current, trained.settings) and _same_plugins(current, trained)
    expired = now - current.trained_at >= timedelta(days=trained.settings.max_age_days)
    must_add = not same and not expired
    return compare(ours.join(theirs, on=list(KEY)), current.model_version, current.horizon, must_add=must_add)


def unseen(rows: pl.DataFrame, current: ModelRecord) -> pl.DataFrame:
    """The rows that the champion did not learn: those of each symbol behind its own end, which may be years apart.

    Args:
        rows: symbol and event_time, in UTC without a zone.
        current: the champion.
    """
    symbols = rows["symbol"].unique().to_list()
    ends = {
        symbol: known.replace(tzinfo=None) for symbol in symbols if (known := current.learnt_of(symbol)) is not None
    }
    if not ends:
        return rows
    learnt_to = pl.col("symbol").replace_strict(ends, default=None, return_dtype=pl.Datetime("us"))
    return rows.filter(learnt_to.is_null() | (pl.col("event_time") > learnt_to))


def refits(current: ModelRecord, settings: ModelSettings, train_end: datetime, now: datetime) -> bool:
    """Whether a training repeats an old champion with the same settings on later bars.

    A walk-forward judges settings that are fitted again and again, so such a version needs no proof of its own. Without
    it a lake of few bars would be left with a champion that is too old to give signals.

    Args:
        current: the champion.
        settings: of the training.
        train_end: up to when it learnt, in UTC without a zone.
        now: when this is decided.
    """
    aged = now - current.trained_at >= timedelta(days=settings.trains_after_days)
    later = train_end > current.train_end.replace(tzinfo=None)
    return aged and later and _same_settings(current, settings)


def _same_settings(current: ModelRecord, settings: ModelSettings) -> bool:
    return ModelSettings.model_validate(current.parameters).of_the_forest() == settings.of_the_forest()


def _same_plugins(current: ModelRecord, trained: Trained) -> bool:
    return current.made_with == trained.made_with


def _other_plugins(current: ModelRecord, trained: Trained) -> str | None:
    """Why the champion cannot predict the challenger's bars: one of its plug-ins is not in use as it was."""
    for name, facts in current.plugins.items():
        if trained.made_with.plugins.get(name) != facts:
            return (
                f"{current.model_version} was trained with the plug-in {name} {facts['version']}, which is not in use "
                "any more, so this lake cannot score with it"
            )
    problem = installed.problem(current.learner, (), "model")
    return None if problem is None else f"this lake cannot score with {current.model_version}: {problem}"


def compare(rows: pl.DataFrame, champion: str, horizon: int, *, must_add: bool) -> PromotionDecision:
    """Compare two forecasts of the same bars.

    A challenger loses when it is significantly worse than the naive forecast or than the champion, by squared errors in
    units of the expected move: the skill's 95 % interval is entirely below zero. One with other settings must also show
    that it says something that the champion does not (``judgement.adds``): few bars hardly ever show that noise is
    worse than a champion that knows a little.

    Args:
        rows: symbol, event_time, realised_return, expected_move, predicted_return and champion_return.
        champion: its version, for the text of the reason.
        horizon: in bars.
        must_add: whether the challenger has to prove itself: not where it has the champion's own settings and learnt
            later bars too, nor where the champion is too old to give signals.
    """
    move = rows["expected_move"].to_numpy()
    actual, ours, theirs = (
        rows[name].to_numpy() / move for name in ("realised_return", "predicted_return", "champion_return")
    )
    for other, error in (("the naive forecast", actual), (champion, actual - theirs)):
        interval = judgement.by_bar(actual - ours, error, rows, horizon).interval
        if math.isnan(interval.low):
            return PromotionDecision(False, f"too few times among {len(rows)} unseen bars to compare with {other}")
        found = f"skill over {other} on {len(rows)} unseen bars: {interval.low:+.4f} … {interval.high:+.4f}"
        if interval.high < 0:
            return PromotionDecision(False, f"worse; {found}")
    gain = f"skill {metrics.skill(actual - ours, actual - theirs):+.4f} over it on {len(rows)} unseen bars"
    if not must_add:
        return PromotionDecision(True, f"not worse than {champion}: {gain}")
    more = judgement.adds(actual - ours, actual - theirs, rows, horizon)
    if more.interval.low > 0:
        return PromotionDecision(True, f"says what {champion} does not, t {more.t:+.2f}: {gain}")
    return PromotionDecision(
        False, f"other settings, and no proof that they say what {champion} does not, t {more.t:+.2f}: {gain}"
    )
