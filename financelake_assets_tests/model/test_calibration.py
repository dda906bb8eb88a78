from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.model.calibration import GRID, POOLED, Calibration, calibrate


def fitted(edge: float, rows: int = 4000, coverage: float = 0.8, seed: int = 1, symbols: int = 2) -> Calibration:
    """Calibration on predictions whose true slope is ``edge``."""
    random = np.random.default_rng(seed)
    raw = random.standard_normal(rows) * 0.2
    actual = edge * raw + random.standard_normal(rows)
    symbol = np.array([f"S{number}" for number in range(symbols)])[np.arange(rows) % symbols]
    return calibrate(symbol, np.full(rows, "stock"), raw, actual, actual, coverage)


def test_a_prediction_that_is_worth_nothing_is_not_kept() -> None:
    assert fitted(-1.0).shrinkage == {POOLED: 0.0, "S0": 0.0, "S1": 0.0}


def test_a_prediction_that_is_right_is_kept_and_no_more_than_whole() -> None:
    assert fitted(1.0).shrinkage[POOLED] == pytest.approx(1.0, abs=0.15)
    assert fitted(3.0).shrinkage[POOLED] == 1.0


def test_a_symbol_with_few_rows_follows_the_others() -> None:
    random = np.random.default_rng(2)
    raw = random.standard_normal(3020) * 0.2
    symbol = np.array(["OLD"] * 3000 + ["NEW"] * 20)
    actual = np.where(symbol == "OLD", raw, -5 * raw)
    kept = calibrate(symbol, np.full(3020, "stock"), raw, actual, actual, 0.8).shrinkage
    assert kept["OLD"] > kept["NEW"] > 0.5


@given(st.floats(0.5, 0.98), st.integers(0, 50))
def test_the_interval_covers_new_errors_as_often_as_promised(coverage: float, seed: int) -> None:
    errors = fitted(0.0, coverage=coverage, seed=seed).errors[POOLED]
    fresh = np.random.default_rng(10_000 + seed).standard_normal(4000)
    assert np.mean((fresh >= errors.low) & (fresh <= errors.high)) == pytest.approx(
        coverage, abs=0.045
    )  # four standard errors


def test_the_interval_of_few_errors_is_conformally_wide() -> None:
    raw = np.zeros(9)
    actual = np.arange(9.0)
    # with 9 errors, (9 + 1) · 0.2 / 2 = 1 may lie outside on either side: the ends are the extremes
    errors = calibrate(np.full(9, "A"), np.full(9, "stock"), raw, actual, actual, 0.8).errors[POOLED]
    assert (errors.low, errors.high) == (0.0, 8.0)


def test_probability_up_grows_with_the_prediction_and_is_calibrated() -> None:
    errors = fitted(0.0, rows=20_000).errors[POOLED]
    probability = errors.probability_up(np.array([-3.0, -0.5, 0.0, 0.5, 3.0]))
    assert np.all(np.diff(probability) > 0)
    # the normal distribution's
    np.testing.assert_allclose(probability[1:4], [0.3085, 0.5, 0.6915], atol=0.015)


def test_a_symbol_falls_back_to_its_class_and_then_to_all() -> None:
    calibration = fitted(0.5, rows=400)  # 200 rows a symbol: too few for errors of its own
    assert calibration.errors_of("S0", "stock") is calibration.errors["*stock"]
    assert calibration.errors_of("NEW", "crypto") is calibration.errors[POOLED]
    assert calibration.shrinkage_of("NEW", "crypto") == calibration.shrinkage[POOLED]


def test_it_survives_being_stored() -> None:
    calibration = fitted(0.5)
    assert Calibration.parse(*calibration.dump()) == calibration
    assert len(calibration.errors[POOLED].share_below) == len(GRID)


def test_no_rows_mean_the_naive_forecast() -> None:
    nothing = np.array([])
    assert calibrate(nothing.astype(str), nothing.astype(str), nothing, nothing, nothing, 0.8).shrinkage == {
        POOLED: 0.0
    }


def test_a_forest_that_always_says_zero_is_not_kept() -> None:
    actual = np.random.default_rng(3).standard_normal(100)
    assert calibrate(np.full(100, "A"), np.full(100, "stock"), np.zeros(100), actual, actual, 0.8).shrinkage == {
        POOLED: 0.0
    }
