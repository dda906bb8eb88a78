"""The linear model beside the forests, against scikit-learn and by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from financelake_assets.config import ModelSettings
from financelake_assets.model import linear, training
from financelake_assets.model.baselines import judged_beside
from financelake_assets.model.costs import Costs, with_costs
from financelake_assets.model.evaluation import ALL, HOLDOUT, Judged
from financelake_assets.model.features import FEATURES, SYMBOL_WEEKDAY, features_of
from financelake_assets.model.labels import LABEL, TARGET, labels_of
from financelake_assets.model.outputs import EFFECT_PRIOR_ROWS, RAW, RAW_SIZE, RAW_UP
from financelake_assets.model.splits import Fold, refits, refuse_leaks, walk_forward, with_newest
from financelake_assets.model.targets import with_target
from financelake_assets.model.training_rows import FACTS
from financelake_assets.model.weekday_effects import weekday_effects
from financelake_assets_tests.model import market

DAY = timedelta(days=1)
SETTINGS = ModelSettings(folds=3)


def made_up(rows: int, columns: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    inputs = random.standard_normal((rows, columns)) * random.uniform(0.1, 10, columns) + random.uniform(-5, 5, columns)
    known = inputs[:, :1] / inputs[:, :1].std()
    return inputs, np.hstack([0.5 * known, 0.05 * known]) + random.standard_normal((rows, 2))


@given(st.integers(40, 300), st.integers(1, 12), st.integers(0, 1_000))
def test_it_is_the_ridge_regression_of_scikit_learn(rows: int, columns: int, seed: int) -> None:
    inputs, targets = made_up(rows, columns, seed)
    found = linear.fit(inputs, targets)
    fresh, _ = made_up(50, columns, seed + 1)
    standard, tested = ((each - inputs.mean(axis=0)) / inputs.std(axis=0) for each in (inputs, fresh))
    for number, penalty in enumerate(found.penalty):
        theirs = Ridge(alpha=penalty * rows).fit(standard, targets[:, number])
        assert found.predict(fresh)[:, number] == pytest.approx(theirs.predict(tested), rel=1e-7, abs=1e-9)


@given(st.integers(30, 120), st.integers(1, 6), st.integers(0, 1_000))
def test_its_penalty_has_the_least_error_of_generalised_cross_validation(rows: int, columns: int, seed: int) -> None:
    inputs, targets = made_up(rows, columns, seed)
    standard = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)

    def error(penalty: float, target: np.ndarray) -> float:
        """With the matrix that makes fitted values of the target, which is n by n."""
        inverse = np.linalg.inv(standard.T @ standard + rows * penalty * np.eye(columns))
        hat = standard @ inverse @ standard.T + np.full((rows, rows), 1 / rows)
        left = target - hat @ target
        return float(np.mean(left**2) / (1 - np.trace(hat) / rows) ** 2)

    for number, penalty in enumerate(linear.fit(inputs, targets).penalty):
        errors = [error(one, targets[:, number]) for one in linear._PENALTIES]
        assert error(penalty, targets[:, number]) == pytest.approx(min(errors), rel=1e-9)


def test_of_noise_it_keeps_next_to_nothing_and_a_constant_column_does_no_harm() -> None:
    random = np.random.default_rng(3)
    inputs = np.hstack([random.standard_normal((5_000, 10)), np.full((5_000, 1), 7.0)])
    found = linear.fit(inputs, random.standard_normal((5_000, 1)))
    assert np.std(found.predict(inputs)) < 0.05
    assert found.weights[-1, 0] == 0.0


def rows_of(persistence: float, days: int = 900) -> pl.DataFrame:
    """Those of two symbols."""
    return scorable([market.bars(name, market.moves(days, seed, persistence)) for name, seed in (("A", 1), ("B", 2))])


def scorable(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Scorable rows of symbols, as the training has them."""
    rows = with_target(labels_of(with_costs(features_of(pl.concat(frames)), Costs()), 1), 1).filter("scorable")
    return rows.with_columns(pl.col(pl.Datetime("us", "UTC")).dt.replace_time_zone(None)).sort("event_time", "symbol")


def folds_of(rows: pl.DataFrame) -> list[Fold]:
    return walk_forward(rows["event_time"].to_numpy(), SETTINGS.folds, DAY)


def judged(rows: pl.DataFrame, raw: pl.DataFrame, folds: list[Fold] | None = None) -> Judged:
    """What the training makes of raw predictions."""
    folds = folds_of(rows) if folds is None else folds
    facts = rows.select(FACTS)
    scored = facts.join(raw, on=["symbol", "asset_class", "event_time"]).sort("event_time", "symbol")
    known = facts.drop_nulls(LABEL)
    return training._judge(known, training._forecasts(known, scored, folds, SETTINGS), SETTINGS)


def test_it_finds_a_straight_line_and_in_noise_none() -> None:
    """With r' = r/2 + noise a straight line is the truth."""
    for persistence, answer in ((0.5, "edge"), (0.0, "no edge")):
        rows = rows_of(persistence)
        found = judged(rows, linear.walk(rows, folds_of(rows), FEATURES))
        row = next(row for row in judged_beside(found, found) if (row["fold"], row["symbol"]) == (HOLDOUT, ALL))
        assert row["predictable"] == answer
        assert row["over_forest"] == 0.0
        if persistence:
            assert 0.15 < row["skill"] < 0.35
            assert row["brier"] < 0.24


def test_the_canary_finds_a_correlation_of_a_twentieth_and_nothing_once_it_is_shuffled() -> None:
    """What is there has an IC of 0.05; the training's folds, calibration, holdout and verdict must see one so small."""
    planted = [market.moves(6_000, seed, 0.05) for seed in range(100, 120)]
    random = np.random.default_rng(100)
    for moves, answer in ((planted, "edge"), ([random.permutation(one) for one in planted], "no edge")):
        rows = scorable([market.bars(f"S{number}", one) for number, one in enumerate(moves)])
        found = judged(rows, linear.walk(rows, folds_of(rows), FEATURES))
        row = next(row for row in judged_beside(found, found) if (row["fold"], row["symbol"]) == (HOLDOUT, ALL))
        assert row["predictable"] == answer
        assert (0.01 < row["ic"] < 0.06) == (answer == "edge")
        assert row["smallest_edge"] < 0.05**2


def test_its_skill_is_measured_over_the_forests() -> None:
    rows = rows_of(0.5)
    known = judged(rows, linear.walk(rows, folds_of(rows), FEATURES))
    nothing = Judged(known.rows.with_columns(predicted_return=pl.lit(0.0)), 1, known.coverage)
    for row in judged_beside(nothing, known):
        # over a forest that repeats the last price it is the skill itself
        assert row["over_forest"] == pytest.approx(row["skill"])
        assert row["over_forest_low"] == pytest.approx(row["skill_low"])
    assert all(row["over_forest"] < 0 for row in judged_beside(known, nothing) if row["symbol"] == ALL)


def test_no_fold_knows_of_later_bars() -> None:
    rows = rows_of(0.5)
    folds = folds_of(rows)
    whole = linear.walk(rows, folds, FEATURES)
    refuse_leaks(whole, DAY)
    for fold in folds:
        later = pl.col("target_time") >= fold.learn_before
        other = rows.with_columns(
            pl.when(later).then(-3 * pl.col(name)).otherwise(pl.col(name)).alias(name) for name in linear.TARGETS
        )
        mine = pl.col("fold") <= fold.number
        assert linear.walk(other, folds, FEATURES).filter(mine).equals(whole.filter(mine))


def test_refits_take_the_end_of_the_last_fold_and_nothing_else_changes() -> None:
    rows = rows_of(0.5, 500)
    folds = folds_of(rows)
    made = refits(folds[1:], rows["event_time"].to_numpy(), lambda _, days: days >= 60)
    walked = with_newest(folds, made, rows["target_time"].to_numpy(), 2, 0)
    found, plain = linear.walk(rows, walked, FEATURES), linear.walk(rows, folds, FEATURES)
    refuse_leaks(found, DAY)
    assert found["refit"].drop_nulls().unique().to_list() == [1, 2]
    key = ["event_time", "symbol"]
    both = [raw.sort(key) for raw in (found, plain)]
    assert both[0].select(*key, "fold").equals(both[1].select(*key, "fold"))
    old = both[0]["refit"].is_null()
    assert both[0].filter(old).equals(both[1].filter(old))
    newer, of_fold = both[0].filter(~old), both[1].filter(~old)["learnt_until"]
    assert (newer["learnt_until"] >= of_fold).all()
    assert (newer["learnt_until"] > of_fold).any(), "the first refit may be at the fold's own begin"
    # a refit is the model of all that was known an embargo before it
    for fold in walked[-2:]:
        alone = linear.walk(rows, [replace(fold, number=9)], FEATURES)
        assert alone.drop("fold").sort(key).equals(newer.filter(refit=fold.refit).drop("fold"))
        last = rows.filter(pl.col("target_time") < fold.learn_before)["target_time"].max()
        assert alone["learnt_until"].unique().to_list() == [last]
    outcomes = [judged(rows, raw, folds).rows for raw, folds in ((found, walked), (plain, folds))]
    assert len(outcomes[0]) == len(outcomes[1])
    assert outcomes[0]["fold"].equals(outcomes[1]["fold"])


def test_a_weekday_effect_is_that_of_sparks_encoder() -> None:
    """``w = n / (n + 200)`` of a category's mean, the rest of the mean of all rows."""
    learnt = pl.DataFrame({SYMBOL_WEEKDAY: [1] * 300 + [2] * 100, TARGET: [1.0] * 300 + [-1.0] * 100})
    found = weekday_effects(learnt)
    by = found.by_category
    assert found.overall == 0.5
    weight = 300 / (300 + EFFECT_PRIOR_ROWS)
    assert by[1] == pytest.approx(weight * 1.0 + (1 - weight) * 0.5)
    assert by[2] == pytest.approx(-1 / 3 + 2 / 3 * 0.5)


def test_outputs_are_in_their_bounds() -> None:
    made = linear.walk(rows_of(0.9, 300), folds_of(rows_of(0.9, 300)), FEATURES)
    assert made[RAW_UP].is_between(0, 1).all()
    assert (made[RAW_SIZE] >= 0).all()
    assert made[RAW].is_finite().all()
