from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats
from sklearn import metrics as sk

from financelake_assets.model import metrics

Pair = tuple[metrics.Floats, metrics.Floats]
numbers = st.floats(-1e6, 1e6, allow_nan=False, width=32)


def qlike(volatility: metrics.Floats, returns: metrics.Floats) -> float:
    return float(np.mean(metrics.qlike_losses(volatility, returns)))


@st.composite
def pairs(draw: st.DrawFn, least: int = 3) -> Pair:
    count = draw(st.integers(least, 60))
    one = arrays.arrays(np.float64, count, elements=numbers)
    return draw(one), draw(one)


@given(pairs())
def test_r2_is_scikit_learns(pair: Pair) -> None:
    actual, predicted = pair
    if np.sum((actual - actual.mean()) ** 2) > 1e-6:
        assert metrics.r2(actual, predicted) == pytest.approx(sk.r2_score(actual, predicted), rel=1e-9)


@given(pairs())
def test_ranks_and_rank_correlation_are_scipys(pair: Pair) -> None:
    left, right = pair
    np.testing.assert_array_equal(metrics.ranks(left), stats.rankdata(left))
    if len(np.unique(left)) > 1 and len(np.unique(right)) > 1:
        assert metrics.rank_correlation(left, right) == pytest.approx(stats.spearmanr(left, right).statistic, abs=1e-9)


def test_correlation_is_scipys() -> None:
    random = np.random.default_rng(1)
    left = random.standard_normal(80)
    right = 0.3 * left + random.standard_normal(80)
    found = stats.pearsonr(left, right)
    assert metrics.correlation(left, right) == pytest.approx(found.statistic)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(counts: tuple[int, int]) -> None:
    successes, trials = counts
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    found = metrics.wilson(successes, trials)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_qlike_is_twice_the_normal_distributions_log_loss_without_its_constant() -> None:
    random = np.random.default_rng(8)
    volatility, returns = random.uniform(0.005, 0.03, 500), random.standard_normal(500) * 0.02
    likelihood = stats.norm.logpdf(returns, scale=volatility).mean()
    assert qlike(volatility, returns) == pytest.approx(-2 * likelihood - math.log(2 * math.pi))
    assert qlike(np.full(500, returns.std()), returns) < qlike(np.full(500, 0.1), returns)


@given(st.floats(0.001, 0.5), st.floats(0.2, 5), st.integers(0, 100))
def test_qlike_has_its_least_at_the_true_size_in_whatever_unit(size: float, wrong: float, seed: int) -> None:
    """The two reasons for it (Patton 2011): the root mean square is the best constant, and units shift all alike."""
    returns = np.random.default_rng(seed).standard_normal(200) * size
    best = math.sqrt(float(np.mean(returns**2)))
    losses = [qlike(np.full(200, one), returns) for one in (best, best * wrong)]
    assert losses[0] <= losses[1]
    of_percent = [qlike(np.full(200, 100 * one), 100 * returns) for one in (best, best * wrong)]
    assert of_percent[1] - of_percent[0] == pytest.approx(losses[1] - losses[0], abs=1e-9)


def test_brier_is_scikit_learns() -> None:
    random = np.random.default_rng(2)
    probability, happened = random.random(50), random.random(50) > 0.5
    assert metrics.brier(probability, happened) == pytest.approx(sk.brier_score_loss(happened, probability))


def test_mase_of_the_naive_forecast_in_training_is_one() -> None:
    change = np.array([1.0, -2.0, 3.0])
    assert metrics.mase(change, change) == 1.0
    assert metrics.mase(change / 2, change) == 0.5


def test_out_of_sample_r2_compares_with_the_mean_known_before() -> None:
    actual = np.array([0.02, -0.01, 0.03])
    mean = np.full(3, 0.01)
    assert metrics.oos_r2(actual, mean, mean) == 0.0
    assert metrics.oos_r2(actual, actual, mean) == 1.0
    # Σ(r-0)² = 0.0014, Σ(r-0.01)² = 0.0009
    assert metrics.oos_r2(actual, np.zeros(3), mean) == pytest.approx(1 - 0.0014 / 0.0009)


@given(pairs())
def test_the_naive_forecast_has_no_skill_and_a_perfect_one_all(pair: Pair) -> None:
    error, _ = pair
    if np.any(error**2 > 0):
        assert metrics.skill(error, error) == 0.0
        assert metrics.skill(np.zeros_like(error), error) == 1.0


def test_direction_leaves_out_what_did_not_move_and_what_was_not_called() -> None:
    actual = np.array([0.1, -0.1, 0.0, 0.2, 0.3])
    found = metrics.direction(actual, np.array([1.0, 1.0, 1.0, 0.0, 2.0]))
    assert (found.calls, found.hit_rate, found.majority_rate) == (3, pytest.approx(2 / 3), pytest.approx(2 / 3))


@pytest.mark.parametrize(
    "number",
    [
        metrics.r2(np.ones(5), np.ones(5)),
        metrics.skill(np.ones(3), np.zeros(3)),
        metrics.correlation(np.ones(5), np.arange(5.0)),
        metrics.direction(np.zeros(4), np.ones(4)).hit_rate,
        metrics.wilson(0, 0).low,
    ],
)
def test_what_has_no_meaning_is_not_a_number(number: float) -> None:
    assert math.isnan(number)
