from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import signal, stats
from statsmodels.api import OLS
from statsmodels.stats.multitest import multipletests

from financelake_assets.model import inference
from financelake_assets.model.inference import Estimate
from financelake_assets.model.metrics import Floats

NOMINAL = inference.LEVEL / 2


def panel(days: int, symbols: int, seed: int) -> tuple[Floats, NDArray[np.int64]]:
    """Numbers of which those of a day have a part in common."""
    random = np.random.default_rng(seed)
    common = np.repeat(random.standard_normal(days), symbols)
    return common + random.standard_normal(days * symbols), np.repeat(np.arange(days), symbols)


@given(st.integers(20, 200), st.integers(1, 4), st.integers(0, 99))
def test_the_cosines_are_those_of_the_paper(days: int, symbols: int, seed: int) -> None:
    values, day = panel(days, symbols, seed)
    found = inference.mean(values, day, 1)
    sums = np.bincount(day, values - values.mean())
    number, place = np.arange(1, inference.cosines(days, 1) + 1), (np.arange(days) + 0.5) / days
    waves = math.sqrt(2 / days) * np.cos(np.pi * np.outer(number, place)) @ sums
    assert found.value == pytest.approx(values.mean())
    assert found.error == pytest.approx(math.sqrt(days * np.mean(waves**2)) / len(values))


@given(st.integers(20, 200), st.integers(0, 99))
def test_all_cosines_together_are_the_variance_of_the_days(days: int, seed: int) -> None:
    values, _ = panel(days, 1, seed)
    centred = values - values.mean()
    assert inference.long_run_variance(centred, days - 1) == pytest.approx(np.var(values, ddof=1))


@pytest.mark.parametrize("symbols", [1, 5])
def test_the_standard_error_is_near_that_of_statsmodels_for_panels(symbols: int) -> None:
    values, day = panel(4000, symbols, 3)
    lagged = np.repeat(np.convolve(np.random.default_rng(4).standard_normal(4002), np.ones(3), "valid"), symbols)
    values = values + lagged
    # Driscoll and Kraay's, with another kernel
    peer = OLS(values, np.ones(len(values))).fit(
        cov_type="hac-groupsum", cov_kwds={"time": day, "maxlags": 40, "use_correction": False}
    )
    assert inference.mean(values, day, 1).error == pytest.approx(float(peer.bse[0]), rel=0.15)


def test_copies_of_a_row_on_its_day_add_nothing() -> None:
    values, day = panel(300, 1, 5)
    one, tenfold = inference.mean(values, day, 1), inference.mean(np.tile(values, 10), np.tile(day, 10), 1)
    assert (tenfold.value, tenfold.error) == pytest.approx((one.value, one.error))


@given(st.floats(0.01, 100), st.integers(0, 99))
def test_a_ratio_does_not_depend_on_the_unit_nor_on_the_order_of_rows(unit: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    above, day = panel(60, 2, seed)
    below, order = random.uniform(1, 2, 120), random.permutation(120)
    one = inference.ratio(above, below, day, 1)
    other = inference.ratio(unit * above[order], unit * below[order], day[order], 1)
    assert (other.value, other.error) == pytest.approx((one.value, one.error))


def test_nothing_is_inferred_from_few_days_or_from_nothing() -> None:
    few = inference.mean(np.ones(19), np.arange(19), 1)
    overlapping = inference.mean(np.ones(50), np.arange(50), 20)
    nothing = inference.ratio(np.ones(50), np.zeros(50), np.arange(50), 1)
    for estimate in (few, overlapping, nothing):
        assert not estimate.known
        assert all(math.isnan(value) for value in (estimate.t, estimate.p, estimate.detectable, estimate.interval.low))


def test_an_estimate_says_what_a_t_distribution_says() -> None:
    estimate = Estimate(0.5, 0.2, 30.0)
    own = stats.t(30)
    assert estimate.p == pytest.approx(2 * own.sf(2.5))
    assert (estimate.interval.low, estimate.interval.high) == pytest.approx(stats.t.interval(0.95, 30, 0.5, 0.2))
    assert estimate.detectable == pytest.approx(0.2 * (own.ppf(0.975) + own.ppf(0.8)))


def test_clark_west_is_the_slope_free_covariance_for_a_naive_forecast_of_zero() -> None:
    random = np.random.default_rng(6)
    actual, predicted = random.standard_normal((2, 100))
    found = inference.clark_west(actual, predicted, np.zeros(100), np.arange(100), 1)
    assert found.value == pytest.approx(2 * float(np.mean(actual * predicted)))


def test_the_correlations_error_is_that_of_independent_rows_where_they_are() -> None:
    random = np.random.default_rng(7)
    left = random.standard_normal(20_000)
    right = 0.5 * left + random.standard_normal(20_000)
    found = inference.correlation(left, right, np.arange(20_000), 1)
    assert found.value == pytest.approx(float(stats.pearsonr(left, right).statistic))
    # of normal numbers it is (1 - r²)/√n
    assert found.error == pytest.approx((1 - found.value**2) / math.sqrt(20_000), rel=0.15)
    assert not inference.correlation(np.ones(50), right[:50], np.arange(50), 1).known


def test_dependent_rows_are_worth_fewer_independent_ones() -> None:
    random = np.random.default_rng(8)
    hits = (random.random(400) < 0.55).astype(float)
    ten, day = np.repeat(hits, 10), np.repeat(np.arange(400), 10)
    found = inference.effective_rows(4000, inference.mean(ten, day, 1))
    assert 200 < found < 800
    assert inference.effective_rows(7, inference.UNKNOWN) == 7


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_the_false_discovery_rate_is_that_of_statsmodels(values: list[float]) -> None:
    expected = multipletests(values, method="fdr_bh")[1]
    assert inference.false_discovery(values) == pytest.approx(list(expected))


def test_what_is_unknown_counts_for_no_discovery() -> None:
    found = inference.false_discovery([math.nan, 0.01, 0.04])
    assert math.isnan(found[0])
    assert found[1:] == pytest.approx([0.02, 0.04])
    assert all(math.isnan(value) for value in inference.false_discovery([math.nan]))


def test_an_overlap_is_counted_in_the_days_that_there_are() -> None:
    daily, weekdays = np.arange(70), np.array([day for day in range(70) if day % 7 < 5])
    symbol = np.array(["BTC"] * 70 + ["AAPL"] * len(weekdays))
    day = np.concatenate([daily, weekdays])
    assert inference.overlap_in_days(symbol, day, 1) == 1
    assert inference.overlap_in_days(symbol, day, 20) == 28
    assert inference.overlap_in_days(symbol[:70], day[:70], 20) == 20
    # 288 five-minute bars a day
    assert inference.overlap_in_days(np.array(["BTC"] * 2880), np.repeat(np.arange(10), 288), 20) == 1


def test_skill_interval_covers_the_true_skill_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        naive = random.standard_normal(400)
        error = naive - 0.2 * naive + random.standard_normal(400) * 0.2  # MSE 0.68 of naive's 1
        found = inference.skill(error, naive, np.arange(400), 1).interval
        covered += found.low <= 1 - 0.68 <= found.high
    assert 0.90 <= covered / 200 <= 0.985


# -- size and power on simulated markets ---------------------------------------------------------------------


def simulated(
    days: int, horizon: int, seed: int, autocorrelation: float = 0.0, persistence: float = 0.0
) -> tuple[Floats, Floats]:
    """Returns over a horizon of a market with so much autocorrelation, and a forecast of them.

    Without autocorrelation the forecast is noise of so much persistence; else its slope is estimated on four times as
    many days before.
    """
    random = np.random.default_rng(seed)
    shocks, noise = random.standard_normal((2, days + horizon + 100))
    moves = signal.lfilter([1], [1, -autocorrelation], shocks)[100:]
    noise = signal.lfilter([1], [1, -persistence], noise)[100:]
    running = np.cumsum(moves)
    actual = (running[horizon:] - running[:-horizon])[:days]
    if autocorrelation == 0:
        return actual, noise[:days]
    slope = autocorrelation + random.standard_normal() / math.sqrt(4 * days)
    return actual, slope * moves[:days]


def found_in(runs: int, days: int, horizon: int, autocorrelation: float = 0.0, persistence: float = 0.0) -> float:
    """In which share of markets Clark and West's statistic is significantly above zero."""
    nothing, day = np.zeros(days), np.arange(days)
    found = 0
    for seed in range(runs):
        actual, predicted = simulated(days, horizon, seed, autocorrelation, persistence)
        estimate = inference.clark_west(actual, predicted, nothing, day, horizon)
        found += estimate.p < inference.LEVEL and estimate.t > 0
    return found / runs


@pytest.mark.parametrize("persistence", [0.0, 0.9])
@pytest.mark.parametrize("horizon", [1, 5, 20])
def test_false_alarms_are_as_rare_as_stated(horizon: int, persistence: float) -> None:
    runs = 800
    # with three standard deviations of so many runs
    allowed = NOMINAL + 0.01 + 3 * math.sqrt(NOMINAL * (1 - NOMINAL) / runs)
    assert found_in(runs, 641, horizon, persistence=persistence) <= allowed


def test_a_small_autocorrelation_is_found() -> None:
    assert found_in(300, 641, 1, autocorrelation=0.10) >= 0.60
    assert found_in(100, 2000, 1, autocorrelation=0.10) >= 0.95


def test_false_alarms_stay_rare_when_symbols_move_together() -> None:
    runs, days, symbols = 400, 250, 6
    day, nothing, found = np.repeat(np.arange(days), symbols), np.zeros(days * symbols), 0
    for seed in range(runs):
        random = np.random.default_rng(seed)
        actual = np.repeat(random.standard_normal(days), symbols) + 0.3 * random.standard_normal(days * symbols)
        predicted = np.repeat(random.standard_normal(days), symbols)
        estimate = inference.clark_west(actual, predicted, nothing, day, 1)
        found += estimate.p < inference.LEVEL and estimate.t > 0
    assert found / runs <= NOMINAL + 0.01 + 3 * math.sqrt(NOMINAL * (1 - NOMINAL) / runs)


def test_a_year_of_minutes_needs_no_table_of_cosines() -> None:
    values = np.random.default_rng(1).standard_normal(525_600)
    tracemalloc.start()
    found = inference.mean(values, np.arange(525_600), 5)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.error == pytest.approx(1 / math.sqrt(525_600), rel=0.1)
    assert most < 100 * 2**20  # a table of cosines would take ten gigabytes
