"""Leaks planted on purpose: what was not known at the time must not reach a figure, and each leak has a test for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from financelake_assets.config import ModelSettings
from financelake_assets.intervals import SERIES
from financelake_assets.model import training, training_rows
from financelake_assets.model.adaptive import WIDENING
from financelake_assets.model.cadence import retraining
from financelake_assets.model.features import FEATURES, features_of
from financelake_assets.model.labels import LABEL, LABELS, labels_of
from financelake_assets.model.outputs import RAW, RAW_SIZE, RAW_UP
from financelake_assets.model.promotion import unseen
from financelake_assets.model.record import ModelRecord
from financelake_assets.model.splits import Fold, LeakError, refits, refuse_leaks, walk_forward, with_newest
from financelake_assets_tests.model import market

DAY = timedelta(days=1)
SETTINGS = ModelSettings(folds=4)
MADE = ["predicted_return", "low", "high", "probability_up", "volatility", "naive_volatility"]
BASELINES = ["training_mean", "training_naive"]


def walked(days: int = 1_000, horizon: int = 1) -> pl.DataFrame:
    """Labelled rows of two symbols with the raw predictions of forests that know a part of the outcome."""
    random = np.random.default_rng(11)
    parts = []
    for symbol, asset_class in (("A", "stock"), ("B", "crypto")):
        actual, noise = random.standard_normal((2, days)) * 0.01
        start = np.datetime64("2015-01-01", "us") + np.arange(days) * np.timedelta64(1, "D")
        parts.append(
            pl.DataFrame(
                {
                    "symbol": symbol,
                    "asset_class": asset_class,
                    "event_time": start,
                    "target_time": start + horizon * np.timedelta64(1, "D"),
                    "price": 100.0,
                    "realised_return": actual,
                    "delayed_return": actual,
                    "traded_return": actual,
                    "expected_move": 0.01,
                    "execution_bps": 3.0,
                    LABEL: actual / 0.01,
                    RAW: (0.3 * actual + noise) / 0.01,
                    RAW_UP: 0.5 + np.clip(10 * actual + noise, -0.4, 0.4),
                    RAW_SIZE: np.abs(actual + noise) / 0.01,
                }
            )
        )
    return pl.concat(parts).sort("event_time", "symbol")


def folds_of(rows: pl.DataFrame, embargo: timedelta = DAY) -> list[Fold]:
    return walk_forward(rows["event_time"].to_numpy(), SETTINGS.folds, embargo)


def refitted(rows: pl.DataFrame, embargo: timedelta = DAY) -> list[Fold]:
    """The folds with the newest two refits of a live lake that trains every 30 days."""
    folds, times = folds_of(rows, embargo), rows["event_time"].to_numpy()
    made = refits(folds[1:], times, lambda count, days: retraining(count, days, SETTINGS))
    return with_newest(folds, made, rows["target_time"].to_numpy(), 2, 0)


def judged(rows: pl.DataFrame, folds: list[Fold]) -> pl.DataFrame:
    """What the training makes of the walk's raw predictions."""
    facts = rows.select(training_rows.FACTS)
    numbered = pl.coalesce(pl.when(fold.judges(pl.col("event_time"), pl.lit)).then(fold.number) for fold in folds)
    scored = rows.with_columns(fold=numbered.cast(pl.Int32)).drop_nulls("fold")
    forecast = training._forecasts(facts, scored, folds, SETTINGS)
    made = training._judge(facts, forecast, SETTINGS).rows.sort("event_time", "symbol")
    # as the interval was calibrated: that its factor follows from earlier rows alone is tested in test_adaptive.py
    middle, half = (pl.col("low") + pl.col("high")) / 2, (pl.col("high") - pl.col("low")) / 2 / pl.col(WIDENING)
    return made.with_columns(low=middle - half, high=middle + half)


def test_a_fold_is_calibrated_by_what_was_known_before_it() -> None:
    rows = walked()
    folds = refitted(rows)
    assert [fold.refit for fold in folds] == [None] * 4 + [1, 2]
    whole = judged(rows, folds)
    for place, fold in enumerate(folds[1:], start=1):
        # another world from the embargo on: no forecast of this fold or an earlier one may know of it
        later = pl.col("target_time") >= fold.learn_before
        other = rows.with_columns(
            pl.when(later).then(-3 * pl.col(name)).otherwise(pl.col(name)).alias(name)
            for name in (LABEL, "realised_return")
        )
        until = pl.col("event_time") < fold.end
        changed = judged(other, folds)
        one, two = (each.filter(until).select("fold", *MADE, *BASELINES) for each in (whole, changed))
        assert len(one) > 300
        assert_frame_equal(one, two)
        # and the test sees it when they do: the next fold or refit is calibrated by this one
        for following in folds[place + 1 : place + 2]:
            tested = following.judges(pl.col("event_time"), pl.lit)
            one, two = (each.filter(tested).select(MADE) for each in (whole, changed))
            assert not one.equals(two)


@pytest.mark.parametrize("horizon", [1, 5])
def test_no_row_depends_on_bars_behind_its_own_horizon(horizon: int) -> None:
    """A z-score over all rows, for one, would change when later bars come."""

    def rows(frame: pl.DataFrame) -> pl.DataFrame:
        return labels_of(features_of(frame), horizon).filter("scorable")

    def leaky(frame: pl.DataFrame) -> pl.DataFrame:
        return rows(frame).with_columns(rsi=(pl.col("rsi") - pl.col("rsi").mean()).over(SERIES))

    frame = market.bars("A", market.moves(400, 4))
    cut = market.START + timedelta(days=300)
    known = [*FEATURES, *(name for name in LABELS.names if name not in ("delayed_return", "traded_return"))]

    def both(make: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
        short = make(frame.filter(pl.col("event_time") <= cut)).filter(pl.col("target_time") <= cut)
        return short.select(known), make(frame).filter(pl.col("target_time") <= cut).select(known)

    one, two = both(rows)
    assert len(one) > 200
    assert_frame_equal(one, two)
    assert not two.equals(both(leaky)[1])
    assert not both(leaky)[0].equals(both(leaky)[1])


@pytest.mark.parametrize(
    ("planted", "embargo", "horizon"),
    [("no purge", DAY, 1), ("no embargo", timedelta(0), 1), ("an embargo of one bar for five", DAY, 5)],
)
def test_a_walk_that_learns_what_overlaps_its_test_is_refused(planted: str, embargo: timedelta, horizon: int) -> None:
    rows = walked(horizon=horizon)

    def tested(folds: list[Fold], purged: bool) -> pl.DataFrame:
        parts = []
        for fold in folds:
            own = rows.filter(fold.judges(pl.col("event_time"), pl.lit))
            before = fold.learns_from(pl.col("target_time"), pl.lit) if purged else pl.col("event_time") < fold.start
            until = rows.filter(before)["target_time"].max()
            own = own.select("event_time", fold=pl.lit(fold.number), refit=pl.lit(fold.refit, pl.Int32))
            parts.append(own.with_columns(learnt_until=pl.lit(until)))
        return pl.concat(parts)

    due = horizon * DAY
    refuse_leaks(tested(folds_of(rows, due), purged=True), due)
    with pytest.raises(LeakError, match="fold 1 learnt a label"):
        refuse_leaks(tested(folds_of(rows, embargo), purged=planted != "no purge"), due)
    # a leak of one refit is found, where the fold as a whole has none
    refuse_leaks(tested(refitted(rows, due), purged=True), due)
    leaky = refitted(rows, embargo)[-1:]
    with pytest.raises(LeakError, match="fold 4, refit 2 learnt a label"):
        refuse_leaks(
            pl.concat([tested(refitted(rows, due)[:-1], purged=True), tested(leaky, purged=planted != "no purge")]), due
        )


def test_spark_and_arrays_are_asked_the_same_question() -> None:
    rows = walked(200)
    for fold in walk_forward(rows["event_time"].to_numpy(), 3, DAY, 30 * DAY):
        learnt = fold.learns_from(rows["target_time"].to_numpy())
        tested = fold.judges(rows["event_time"].to_numpy())
        assert learnt.any()
        assert rows.select(fold.learns_from(pl.col("target_time"), pl.lit)).to_series().to_list() == learnt.tolist()
        assert rows.select(fold.judges(pl.col("event_time"), pl.lit)).to_series().to_list() == tested.tolist()


def test_a_promotion_is_decided_on_what_the_champion_did_not_learn_of_each_market() -> None:
    """Markets of one lake may end years apart: the later one's end is not the earlier one's."""
    rows = walked(100)
    start = datetime(2015, 1, 1, tzinfo=UTC)
    ends = {"A": start + 20 * DAY, "B": start + 90 * DAY}

    def record(**changes: Any) -> ModelRecord:
        row = {"learnt_until": ends, "train_end": max(ends.values()), **changes}
        row["learnt_of"] = lambda symbol: ModelRecord.learnt_of(cast("ModelRecord", SimpleNamespace(**row)), symbol)
        return cast("ModelRecord", SimpleNamespace(**row))

    found = unseen(rows, record())
    counts = dict(found.group_by("symbol").len().iter_rows())
    assert counts == {"A": 79, "B": 9}
    assert all(
        (own["event_time"] > ends[str(symbol)].replace(tzinfo=None)).all()
        for (symbol,), own in found.group_by("symbol")
    )
    assert len(unseen(rows, record(learnt_until={"B": ends["B"]}))) == 100 + 9  # it never saw A
    # an earlier release kept one end for all
    assert len(unseen(rows, record(learnt_until={}))) == 2 * 9


def test_what_was_learnt_of_later_years_is_told() -> None:
    rows = walked(100)
    facts = rows.filter((pl.col("symbol") == "B") | (pl.col("event_time") < datetime(2015, 1, 21)))
    until = training.learnt_until(facts)
    assert until == {"A": datetime(2015, 1, 21), "B": datetime(2015, 4, 11)}
    assert training.later_share(facts, until) == pytest.approx(80 / 120)
    assert training.later_share(rows, training.learnt_until(rows)) == 0.0
