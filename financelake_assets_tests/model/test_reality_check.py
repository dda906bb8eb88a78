"""Hansen's test: its errors on worthless strategies, its power, and the answer of an independent implementation."""

from __future__ import annotations

import numpy as np
import pytest
from arch.bootstrap import SPA
from hypothesis import given, settings
from hypothesis import strategies as st

from financelake_assets.model import reality_check
from financelake_assets.model.reality_check import block, p_value


def returns(days: int, count: int, seed: int, edge: float = 0.0, memory: float = 0.0) -> np.ndarray:
    """Returns of worthless strategies, of which the first one may have an edge; they may depend on the day before."""
    made = np.random.default_rng(seed).standard_normal((days + 50, count))
    for day in range(1, len(made)):
        made[day] += memory * made[day - 1]
    made = made[50:]
    made[:, 0] += edge
    return made


@pytest.mark.parametrize(("memory", "most"), [(0.0, 0.05), (0.3, 0.10)])
def test_of_worthless_strategies_one_set_in_twenty_looks_good(memory: float, most: float) -> None:
    """Of 300 days that depend on the day before, it is one in ten: the errors of so few blocks are not well known."""
    found = np.array([p_value(returns(300, 8, seed, memory=memory), samples=200) for seed in range(200)])
    # 200 sets: a standard error of 1.5 to 2.1 points
    assert np.mean(found < 0.05) < most + 3 * 0.015
    assert np.mean(found) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_one_that_earns_is_found_among_many_that_do_not(seed: int) -> None:
    assert p_value(returns(1_000, 40, seed, edge=0.2)) < 0.01


@pytest.mark.parametrize("memory", [0.0, 0.3, 0.6])
def test_blocks_are_long_enough_for_the_standard_error_of_days_that_depend(memory: float) -> None:
    """Of such returns the mean has the standard error ``1 / ((1 - memory) sqrt(days))``."""
    found = []
    for seed in range(20):
        made = returns(1_000, 1, seed, memory=memory)
        found.append(np.std(reality_check._sampled_means(made, 300, seed)) * np.sqrt(1_000) * (1 - memory))
    assert np.mean(found) == pytest.approx(1, abs=0.12)


def test_days_that_do_not_depend_are_drawn_nearly_one_by_one() -> None:
    lengths = [
        [np.median([block(returns(1_000, 1, seed, memory=m)[:, 0]) for seed in range(30)])] for m in (0, 0.5, 0.8)
    ]
    assert lengths[0][0] < 3 < lengths[1][0] < lengths[2][0]
    assert block(np.zeros(300)) == 1


def test_poor_strategies_do_not_hide_a_good_one() -> None:
    """White's reality check compares with all of them at their best; Hansen's leaves out those that cannot be best."""
    good = returns(500, 5, 3, edge=0.13)
    poor = returns(500, 200, 4) - 1.0
    assert p_value(np.hstack([good, poor])) == pytest.approx(p_value(good), abs=0.02)


@pytest.mark.parametrize(("seed", "edge"), [(1, 0.0), (2, 0.05), (3, 0.1), (4, 0.15), (5, -0.2)])
def test_it_says_what_an_independent_implementation_says(
    seed: int, edge: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """arch compares means that are not divided by their errors, so the strategies have the same error here."""
    made = returns(400, 6, seed, edge)
    made = (made - made.mean(axis=0)) / made.std(axis=0) + made.mean(axis=0)
    monkeypatch.setattr(reality_check, "block", lambda _: 1.0)
    oracle = SPA(np.zeros(400), -made, block_size=1, reps=2_000, bootstrap="stationary", seed=7)  # of losses
    oracle.compute()
    assert p_value(made) == pytest.approx(oracle.pvalues["consistent"], abs=0.04)  # two bootstraps


@settings(max_examples=25)
@given(st.integers(0, 1_000), st.permutations(range(4)), st.lists(st.floats(1e-3, 1e3), min_size=4, max_size=4))
def test_neither_order_nor_units_matter_and_it_is_a_probability(
    seed: int, order: list[int], units: list[float]
) -> None:
    made = returns(60, 4, seed)
    found = p_value(made, samples=200)
    assert 0 <= found <= 1
    assert found == p_value(made[:, order], samples=200)
    assert found == pytest.approx(
        p_value(made * np.array(units), samples=200), abs=0.011
    )  # two ties may fall otherwise


def test_a_strategy_without_risk_or_that_never_trades_counts_for_nothing() -> None:
    made = returns(300, 3, 6)
    still = np.hstack([made, np.zeros((300, 1)), np.full((300, 1), 0.1)])
    assert p_value(still) == pytest.approx(p_value(made), abs=0.03)
    assert p_value(np.zeros((300, 2))) == 1.0


@pytest.mark.parametrize("made", [np.zeros((2, 3)), np.zeros((9, 0)), np.full((9, 2), np.nan)])
def test_what_cannot_be_judged_is_an_error(made: np.ndarray) -> None:
    with pytest.raises(ValueError, match="cannot be judged"):
        p_value(made)
