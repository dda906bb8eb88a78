from __future__ import annotations

import itertools
import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from financelake_assets.model import overfitting
from financelake_assets.model.overfitting import LEAST_DAYS, LEAST_TRIALS, judge, probability


def returns(days: int, trials: int, seed: int, edge: float = 0.0) -> np.ndarray:
    """Daily returns of worthless trials, of which the first one may have an edge."""
    made = np.random.default_rng(seed).standard_normal((days, trials))
    made[:, 0] += edge
    return made


def test_the_choice_among_worthless_trials_is_a_choice_by_lot() -> None:
    found = [probability(returns(300, 11, seed)) for seed in range(400)]
    # the mean of 400 has an error of 0.012; an odd number of trials has one at the median, which counts a half
    assert np.mean(found) == pytest.approx(0.5, abs=4 * np.std(found) / math.sqrt(400))
    assert np.std(found) < 0.3


@pytest.mark.parametrize("seed", range(5))
def test_one_that_is_truly_better_is_chosen_and_stays_better(seed: int) -> None:
    assert probability(returns(1_000, 20, seed, edge=0.3)) < 0.01


def test_what_is_good_in_one_half_because_it_is_bad_in_the_other_is_overfitted() -> None:
    """Each trial earns in one block alone; a steady one beats all of them, and is never chosen."""
    blocks = np.repeat(np.eye(10), 30, axis=0)
    noise = np.random.default_rng(1).standard_normal((300, 10))
    # those of the chosen blocks are the best of one half, and have nothing in the other one
    assert probability(10 * blocks - 1 + 0.1 * noise) > 0.99


@given(
    arrays.arrays(np.float64, (40, 5), elements=st.integers(-9, 9).map(float)),
    st.permutations(range(5)),
    st.lists(st.floats(1e-6, 1e6), min_size=5, max_size=5),
)
def test_neither_the_order_of_trials_nor_their_units_matter(
    made: np.ndarray, order: list[int], units: list[float]
) -> None:
    found = probability(made)
    assert 0 <= found <= 1
    assert probability(made[:, order]) == pytest.approx(found)
    assert probability(made * np.array(units)) == pytest.approx(found)
    assert probability(made * units[0]) == pytest.approx(found)


@given(arrays.arrays(np.float64, (40, 5), elements=st.integers(-9, 9).map(float)))
def test_the_order_of_blocks_does_not_matter(made: np.ndarray) -> None:
    assert probability(made[::-1]) == pytest.approx(probability(made))
    assert probability(np.roll(made, 4, axis=0)) == pytest.approx(probability(made))


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_share_of_logits_below_zero(seed: int) -> None:
    """Step by step as in the article, with ``log(w / (1 - w))`` of the relative rank w."""
    made = returns(97, 8, seed)
    parts = np.array_split(made, 6)
    logits = []
    for chosen in itertools.combinations(range(6), 3):
        inside = np.concatenate([parts[n] for n in chosen])
        outside = np.concatenate([parts[n] for n in range(6) if n not in chosen])
        best = int(np.argmax(inside.mean(axis=0) / inside.std(axis=0)))
        ratios = outside.mean(axis=0) / outside.std(axis=0)
        rank = (int(np.sum(ratios <= ratios[best]))) / 9
        logits.append(math.log(rank / (1 - rank)))
    assert probability(made, blocks=6) == pytest.approx(np.mean(np.array(logits) < 0))


def test_the_same_trial_twice_or_one_that_never_trades_says_nothing() -> None:
    same = np.repeat(returns(300, 1, 1), 10, axis=1)
    assert probability(same) == 0.5
    assert probability(np.zeros((300, 10))) == 0.5
    # nothing at all is better than what always loses
    assert probability(np.hstack([np.zeros((300, 1)), returns(300, 9, 2) - 1])) == 0.0


@pytest.mark.parametrize("made", [np.ones((300, 1)), np.ones((9, 5)), np.full((300, 5), np.nan)])
def test_what_cannot_be_split_is_refused(made: np.ndarray) -> None:
    with pytest.raises(ValueError, match="cannot be split into 10 blocks of finite returns"):
        probability(made)
    with pytest.raises(ValueError, match="cannot be split into 3 blocks"):
        probability(np.ones((300, 5)), blocks=3)


def test_too_few_trials_or_days_have_no_number() -> None:
    for days, trials in ((5_000, LEAST_TRIALS - 1), (LEAST_DAYS - 1, 50), (0, 0)):
        found = judge(returns(days, max(trials, 1), 1)[:, :trials])
        assert found.probability is None
        assert f"of {trials} strategies are kept, on {days} common days; 10 strategies and 250 days" in found.sentence
        assert overfitting.parse(json.dumps(asdict(found))) == found


def test_a_number_stands_beside_what_luck_gives() -> None:
    found = judge(returns(600, 12, 4, edge=0.4))
    assert found.probability is not None
    assert found.low is not None
    assert found.high is not None
    assert found.probability < found.low < 0.5 < found.high
    assert "luck alone gives" in found.sentence
    assert found.best_p is not None
    assert found.best_p < 0.01
    assert "In less than 1% of cases the best of as many worthless ones would have earned as much" in found.sentence
    assert "best of 12 strategies" in found.sentence
    assert "600 days" in found.sentence
    assert overfitting.parse(json.dumps(asdict(found))) == found
    assert overfitting.parse(None) is None


def test_a_worthless_best_is_said_to_be_one_and_an_earlier_release_said_nothing() -> None:
    found = judge(returns(400, 3, 1))
    assert found.best_p is not None
    assert found.best_p > 0.1
    assert f"In {found.best_p:.0%} of cases the best of as many worthless ones would have earned" in found.sentence
    assert "a worthless one would have earned as much as the only strategy." in judge(returns(400, 1, 2)).sentence
    old = asdict(found)
    del old["best_p"]
    parsed = overfitting.parse(json.dumps(old))
    assert parsed is not None
    assert "of cases" not in parsed.sentence


def test_luck_gives_what_it_is_said_to_give() -> None:
    luck = overfitting.by_luck(LEAST_TRIALS)
    outside = sum(
        not luck.low <= probability(returns(500, LEAST_TRIALS, 10_000 + seed)) <= luck.high for seed in range(400)
    )
    assert outside <= 400 * 0.05 + 3.5 * math.sqrt(400 * 0.05 * 0.95)
