"""Dissimilarity: beside scikit-learn's nearest neighbours, and what must hold whatever was learnt."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors

from financelake_assets.model import dissimilarity, held_back, local_walk
from financelake_assets.model.dissimilarity import Gauged, Landmarks, landmarks_of
from financelake_assets.model.features import FEATURES
from financelake_assets.model.held_back import HeldBack
from financelake_assets.model.local_walk import outputs_of
from financelake_assets.model.outputs import DISSIMILARITY, OUTPUTS
from financelake_assets_tests.model.test_linear import folds_of, rows_of

START = datetime(2020, 1, 1)
WEIGHTS = {"a": 1.0, "b": 0.3, "c": 0.05}
SEED = 7


def rows(count: int, seed: int = 1, *, tails: bool = False) -> pl.DataFrame:
    """Rows of three features; with tails a few are far from all others."""
    random = np.random.default_rng(seed)
    values = random.standard_cauchy((count, 3)) if tails else random.standard_normal((count, 3))
    times = pl.Series("event_time", [START + timedelta(days=day) for day in range(count)])
    return pl.DataFrame(values * (1.0, 20.0, 0.01) + (0.0, 5.0, 100.0), schema=list(WEIGHTS)).with_columns(times)


def of(marks: Landmarks, frame: pl.DataFrame) -> np.ndarray:
    return marks.of(frame).to_numpy()


def test_it_is_the_index_of_meyer_and_pebesma_by_nearest_neighbours() -> None:
    learnt, other = rows(400), rows(100, 2)
    found = landmarks_of(learnt, WEIGHTS, SEED)
    values = learnt.select(list(WEIGHTS)).to_numpy()
    weight = np.array(list(WEIGHTS.values())) / values.std(axis=0)
    near = NearestNeighbors(n_neighbors=1).fit(values * weight)
    distances = near.kneighbors(other.select(list(WEIGHTS)).to_numpy() * weight)[0][:, 0]
    apart = pairwise_distances(values * weight)
    typical = apart[np.triu_indices(400, 1)].mean()
    assert of(found, other) * found.threshold == pytest.approx(distances / typical, abs=1e-3)
    # the limit is from rows of other fifths of the time
    stretch = np.arange(400) * 5 // 400
    across = np.where(stretch[:, None] == stretch, np.inf, apart).min(axis=1) / typical
    low, high = np.quantile(across, (0.25, 0.75))
    assert found.threshold == pytest.approx(high + 1.5 * (high - low), abs=1e-3)


@settings(max_examples=15, deadline=None)
@given(st.integers(5, 900), st.integers(0, 2**32 - 1), st.booleans())
def test_a_row_that_was_learnt_is_never_beyond_and_a_far_one_always_is(count: int, seed: int, tails: bool) -> None:
    learnt = rows(count, seed, tails=tails)
    found = landmarks_of(learnt, WEIGHTS, SEED)
    assert of(found, learnt).max() <= 1
    assert len(found.rows) <= 1_000
    for name in WEIGHTS:
        reach = learnt[name].max() - learnt[name].min()  # type: ignore[operator]
        far = learnt.with_columns(pl.col(name) + pl.Series([100.0, -100.0] * count).head(count) * reach * 100)
        assert of(found, far).min() > 1, name
        assert of(found, learnt.with_columns(pl.lit(np.inf).alias(name))).min() > 1


@settings(max_examples=10, deadline=None)
@given(st.floats(1e-6, 1e6), st.floats(-1e3, 1e3), st.sampled_from(list(WEIGHTS)))
def test_the_unit_of_a_feature_does_not_matter(factor: float, shift: float, name: str) -> None:
    learnt, other = rows(300), rows(50, 2)
    changed = (pl.col(name) + shift) * factor
    same = landmarks_of(learnt.with_columns(changed), WEIGHTS, SEED)
    found = of(landmarks_of(learnt, WEIGHTS, SEED), other)
    assert of(same, other.with_columns(changed)) == pytest.approx(found, abs=3e-3)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_it_is_the_same_to_the_last_bit_in_any_batch_and_from_its_file(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], seed: int
) -> None:
    """Live scoring and a back-test score other numbers of bars at once, in other processes."""
    found, other = landmarks_of(rows(800, tails=True), WEIGHTS, SEED), rows(sum(sizes), seed, tails=True)
    folder = tmp_path_factory.mktemp("version")
    found.save(folder)
    read = dissimilarity.read(folder)
    assert read is not None
    assert read.threshold == found.threshold
    starts = np.cumsum([0, *sizes[:-1]])
    parts = [of(read, other.slice(int(start), size)) for start, size in zip(starts, sizes, strict=True)]
    assert np.concatenate(parts).tolist() == of(found, other).tolist()


def test_a_version_of_an_earlier_release_has_none(tmp_path: Path) -> None:
    assert dissimilarity.read(tmp_path) is None


def test_only_what_the_model_uses_counts() -> None:
    learnt, other = rows(300), rows(50, 2)
    found = landmarks_of(learnt, {**WEIGHTS, "b": 0.0}, SEED)
    assert found.names == ("a", "c")
    assert of(found, other.with_columns(b=pl.lit(1e9))).tolist() == of(found, other).tolist()
    # a feature that never changed was not learnt of, whatever a model says of it
    still = landmarks_of(learnt.with_columns(b=pl.lit(0.3)), WEIGHTS, SEED)
    assert still.names == ("a", "c")
    # a forest that never split says nothing of any
    assert landmarks_of(learnt, dict.fromkeys(WEIGHTS, 0.0), SEED).names == tuple(WEIGHTS)
    one = learnt.with_columns(pl.lit(1.0).alias(name) for name in WEIGHTS)
    alike = landmarks_of(one, WEIGHTS, SEED)
    assert of(alike, one).tolist() == [0.0] * 300
    assert of(alike, learnt).min() > 1


def test_a_bar_that_lacks_a_feature_has_none() -> None:
    found = landmarks_of(rows(50), WEIGHTS, SEED)
    lacking = rows(4).with_columns(a=pl.Series([1.0, None, 1.0, float("nan")]))
    assert found.of(lacking).is_null().to_list() == [False, True, False, True]


class Coin:
    """Predicts nothing."""

    def predict(self, frame: pl.DataFrame) -> pl.DataFrame:
        return outputs_of(np.full((frame.height, len(OUTPUTS)), 0.5))


def test_a_fold_knows_only_what_it_learnt() -> None:
    """Another world behind a fold's embargo changes nothing of the fold's limit."""
    whole = rows_of(0.0, 400)

    def walked(frame: pl.DataFrame) -> pl.DataFrame:
        alike = dict.fromkeys(FEATURES, 1.0)
        return local_walk.walk(frame, folds_of(frame), lambda some: Gauged(Coin(), landmarks_of(some, alike, SEED)))

    found = walked(whole)
    assert found[DISSIMILARITY].null_count() == 0
    for fold in folds_of(whole):
        later = pl.col("event_time") >= fold.end
        other = walked(whole.with_columns(pl.when(later).then(-3.0).otherwise("rsi").alias("rsi")))
        until = pl.col("fold") <= fold.number
        assert_frame_equal(found.filter(until), other.filter(until), check_exact=True)
        if fold.number < len(folds_of(whole)):
            assert not found.equals(other)


def judged(days: int, seed: int, worse: float, share: float = 0.1) -> HeldBack:
    """A forecast of nothing, on days of two symbols; errors of what is held back are larger by a factor."""
    random = np.random.default_rng(seed)
    beyond = random.random(2 * days) < share
    actual = random.standard_normal(2 * days) * np.where(beyond, worse, 1.0) * 0.01
    frame = pl.DataFrame(
        {
            "symbol": np.repeat(["A", "B"], days),
            "event_time": np.tile(np.datetime64("2015-01-01", "us") + np.arange(days) * np.timedelta64(1, "D"), 2),
            "realised_return": actual,
            "predicted_return": random.standard_normal(2 * days) * 0.001,
            "expected_move": 0.01,
            DISSIMILARITY: np.where(beyond, 1.5, 0.5),
        }
    )
    return held_back.judge(frame, 1, 0.4)


def test_it_says_whether_what_it_holds_back_was_predicted_worse() -> None:
    found = judged(1_000, 1, 2.0)
    assert found.error is not None
    assert found.error.held_back == pytest.approx(4, abs=1)
    assert found.error.others == pytest.approx(1, abs=0.1)
    assert f"{found.error.held_back:.2f} squared expected moves, that of the others " in found.sentence
    assert f" {found.error.others:.2f}: worse. Their skill" in found.sentence
    assert ": better. Their skill" in judged(1_000, 1, 0.5).sentence
    assert "too few to be told apart" in judged(60, 1, 2.0).sentence
    assert judged(100, 1, 2.0, share=0.0).sentence.endswith("held back 0.0% of 200 bars out of sample.")
    assert held_back.parse(json.dumps(asdict(found))) == found
    assert held_back.parse(None) is None


def test_where_nothing_is_worse_it_says_so_in_one_of_twenty_cases() -> None:
    found = [judged(500, seed, 1.0, share=0.2) for seed in range(200)]
    for name in ("error", "skill"):
        alarms = sum(getattr(one, name).answer("worse", "better") != "not told apart" for one in found)
        assert 2 <= alarms <= 20, name
