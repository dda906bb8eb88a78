"""Statistics of an equity curve against empyrical, scipy and published figures."""

import math

import empyrical
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from financelake_assets.gold.paper import statistics

steps = st.floats(-0.3, 0.4).map(lambda step: round(step, 6))
curves = st.lists(steps, min_size=5, max_size=200).map(np.array).filter(lambda found: np.std(found) > 1e-6)


def agrees(ours: float, theirs: float) -> bool:
    return ours == pytest.approx(theirs, rel=1e-9, abs=1e-12)


@given(curves)
def test_figures_agree_with_empyrical(found: np.ndarray):
    assert agrees(statistics.sharpe(found, 252), empyrical.sharpe_ratio(found, annualization=252))
    assert agrees(statistics.max_drawdown(found), empyrical.max_drawdown(found))
    assert agrees(statistics.yearly_return(found, 252), empyrical.annual_return(found, annualization=252))
    assert agrees(statistics.yearly_volatility(found, 252), empyrical.annual_volatility(found, annualization=252))
    if (found < 0).any():
        assert agrees(statistics.sortino(found, 252), empyrical.sortino_ratio(found, annualization=252))
        assert agrees(statistics.calmar(found, 252), empyrical.calmar_ratio(found, annualization=252))


@given(curves, st.floats(-0.2, 0.2))
def test_the_probabilistic_sharpe_ratio_is_the_published_formula(found: np.ndarray, benchmark: float):
    ratio = np.mean(found) / np.std(found, ddof=1)
    third, fourth = stats.skew(found), stats.kurtosis(found, fisher=False)
    spread = 1 - third * ratio + (fourth - 1) / 4 * ratio**2
    wanted = (
        math.nan if spread <= 0 else stats.norm.cdf((ratio - benchmark) * np.sqrt(len(found) - 1) / np.sqrt(spread))
    )
    assert statistics.probabilistic_sharpe(found, benchmark) == pytest.approx(wanted, rel=1e-6, abs=1e-9, nan_ok=True)


def test_the_deflated_sharpe_ratio_of_the_paper():
    # Bailey & López de Prado (2014), "A numerical example": 1,250 days, yearly Sharpe 2.5, skewness -3, kurtosis 10,
    # 100 trials with a variance of 1/2 a year: the benchmark is 0.1132 a day and the deflated ratio 0.9004
    assert statistics.expected_best_sharpe(0.5 / 250, 100) == pytest.approx(0.1132, abs=5e-5)
    ratio = 2.5 / math.sqrt(250)
    variance = 1 + 3 * ratio + (10 - 1) / 4 * ratio**2
    found = stats.norm.cdf((ratio - statistics.expected_best_sharpe(0.5 / 250, 100)) * math.sqrt((1250 - 1) / variance))
    assert found == pytest.approx(0.9004, abs=5e-5)


def test_more_trials_deflate_more():
    found = np.random.default_rng(1).normal(0.001, 0.01, 500)
    by_trials = [statistics.deflated_sharpe(found, 0.001, trials) for trials in (1, 2, 10, 100)]
    assert by_trials == sorted(by_trials, reverse=True)
    assert by_trials[0] == statistics.probabilistic_sharpe(found)


def test_profits():
    profits = np.array([3.0, -1.0, 2.0, -1.5, 0.0])
    assert statistics.win_rate(profits) == pytest.approx(0.4)
    assert statistics.profit_factor(profits) == pytest.approx(2.0)
    assert math.isnan(statistics.win_rate(np.empty(0)))
    assert math.isnan(statistics.profit_factor(np.array([1.0])))


def test_figures_without_a_meaning_are_not_numbers():
    none, flat = np.empty(0), np.zeros(5)
    for found in (none, flat):
        assert math.isnan(statistics.sharpe(found))
        assert math.isnan(statistics.sortino(found))
        assert math.isnan(statistics.probabilistic_sharpe(found))
        assert math.isnan(statistics.calmar(found, 252))
    assert math.isnan(statistics.max_drawdown(none))
    assert statistics.max_drawdown(flat) == 0


def test_returns_end_with_the_ruin():
    np.testing.assert_allclose(statistics.returns(np.array([100.0, 110.0, 99.0])), [0.1, -0.1])
    np.testing.assert_allclose(statistics.returns(np.array([100.0, -5.0, 50.0])), [-1.05])
    assert len(statistics.returns(np.array([100.0]))) == 0
