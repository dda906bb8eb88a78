from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from financelake_assets.model.drift import JUDGED, LARGE_PSI, Reference, live_skill, measure, reference_of


def frame(rows: int, seed: int, shift: float = 0.0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    return pl.DataFrame({name: random.standard_normal(rows) + shift for name in JUDGED})


@pytest.fixture(scope="module")
def reference() -> Reference:
    return reference_of(frame(20_000, 1))


def test_bars_like_those_learnt_have_not_drifted(reference: Reference):
    found = measure(reference, frame(1_000, 2))
    assert max(found.psi.values()) < 0.05
    assert not found.significant
    assert found.outliers < 0.01


def test_a_shift_is_large_in_the_features_that_shifted(reference: Reference):
    moved = frame(1_000, 3).with_columns(pl.col("rsi") + 1.0)
    found = measure(reference, moved)
    assert found.drifted == ["rsi"]
    assert not found.significant  # one feature of many
    assert measure(reference, frame(1_000, 3, shift=1.0)).significant


def test_the_index_is_that_of_its_formula():
    learnt = pl.DataFrame({name: np.arange(1000) / 1000 for name in JUDGED})
    recent = pl.DataFrame({name: np.arange(1000) / 2000 for name in JUDGED})  # the lower half alone
    found = measure(reference_of(learnt), recent).psi["rsi"]
    expected = 5 * (0.2 - 0.1) * math.log(2) + 5 * (1e-4 - 0.1) * math.log(1e-4 / 0.1)
    assert found == pytest.approx(expected, rel=0.02)
    assert found > LARGE_PSI


def test_values_beyond_all_that_was_learnt_are_outliers(reference: Reference):
    odd = frame(1_000, 4).with_columns(
        pl.when(pl.int_range(pl.len()) < 200).then(50.0).otherwise(pl.col("rsi")).alias("rsi")
    )
    found = measure(reference, odd)
    assert found.outliers == pytest.approx(0.2, abs=0.02)
    assert found.significant


def test_few_bars_say_nothing(reference: Reference):
    assert not measure(reference, frame(50, 5, shift=3.0)).significant
    assert measure(reference, frame(0, 5)).psi == {}


def test_a_constant_feature_is_not_drift_and_becoming_constant_is():
    learnt = frame(1_000, 6).with_columns(pl.lit(0.0).alias("parkinson"))
    found = measure(reference_of(learnt), learnt.with_columns(pl.lit(0.0).alias("rsi")))
    assert found.psi["parkinson"] == 0
    assert found.drifted == ["rsi"]


def test_a_reference_comes_back_as_it_was(reference: Reference):
    assert Reference.parse(reference.dump()) == reference
    assert Reference.parse(None) == Reference()


def scorecard(predicted: np.ndarray, realised: np.ndarray) -> pl.DataFrame:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    return pl.DataFrame(
        {
            "event_time": [start + timedelta(days=day) for day in range(len(predicted))],
            "predicted_return": predicted,
            "realised_return": realised,
            "volatility": 0.02,
            "symbol": "A",
            "horizon": 1,
        }
    ).with_columns(pl.col("event_time").cast(pl.Datetime("us", "UTC")))


def test_live_skill_tells_good_from_bad_from_unknown():
    realised = np.random.default_rng(7).standard_normal(500) * 0.02
    assert live_skill(scorecard(realised / 2, realised)).skill == pytest.approx(0.75)
    assert live_skill(scorecard(-realised, realised)).worse
    assert not live_skill(scorecard(np.zeros(500), realised)).worse
    assert not live_skill(scorecard(-realised[:100], realised[:100])).worse  # too few
    assert live_skill(scorecard(realised, realised).head(0)).rows == 0
