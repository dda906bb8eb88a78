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
from pyspark.ml import PipelineModel
from pyspark.sql import functions as F

from financelake_assets.config import ModelSettings
from financelake_assets.model import judgement, metrics
from financelake_assets.model.calibration import calibrated
from financelake_assets.model.pipeline import predictions
from financelake_assets.model.training import KEY, Trained, utc

if TYPE_CHECKING:
    from financelake_assets.model.record import ModelRecord

_LEAST_ROWS = 250


@dataclass(frozen=True)
class PromotionDecision:
    """Whether to promote the challenger, and the reason."""

    promote: bool
    reason: str


def decide(
    current: ModelRecord | None, trained: Trained, load: Callable[[ModelRecord], PipelineModel], now: datetime
) -> PromotionDecision:
    """Decide whether the new version replaces the champion.

    Args:
        current: the champion.
        trained: the challenger.
        load: loads the champion's pipeline.
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
    ours = trained.judged.rows.filter(pl.col("event_time") > current.train_end.replace(tzinfo=None))
    if len(ours) < _LEAST_ROWS:
        if refits(current, trained.settings, trained.train_end, now):
            return PromotionDecision(
                True,
                f"{current.model_version} is {(now - current.trained_at).days} days old; the challenger has the same "
                f"settings and later training data, and {len(ours)} bars are too few for a comparison",
            )
        return PromotionDecision(
            False, f"only {len(ours)} bars are outside the training data of both versions; {_LEAST_ROWS} are needed"
        )
    unseen = trained.labelled.where(F.col("event_time") > F.lit(utc(current.train_end)))
    raw = predictions(load(current), unseen, *KEY, "expected_move")
    theirs = calibrated(raw, current.calibration).select(*KEY, pl.col("predicted_return").alias("champion_return"))
    return compare(ours.join(theirs, on=list(KEY)), current.model_version, current.horizon)


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
    same = ModelSettings.model_validate(current.parameters).of_the_forest() == settings.of_the_forest()
    later = train_end > current.train_end.replace(tzinfo=None)
    return aged and later and same


def compare(rows: pl.DataFrame, champion: str, horizon: int) -> PromotionDecision:
    """Compare two forecasts of the same bars.

    A challenger wins when it is not significantly worse than the naive forecast and than the champion, by squared
    errors in units of the expected move: the skill's 95 % interval must not be entirely below zero.

    Args:
        rows: symbol, event_time, realised_return, expected_move, predicted_return and champion_return.
        champion: its version, for the text of the reason.
        horizon: in bars.
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
    gain = metrics.skill(actual - ours, actual - theirs)
    return PromotionDecision(True, f"not worse than {champion}: skill {gain:+.4f} over it on {len(rows)} unseen bars")
