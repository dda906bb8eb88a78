from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.model.calibration import POOLED, Calibration, Floats, OutOfSample, calibrate, calibrated
from financelake_assets.model.metrics import qlike_losses
from financelake_assets.model.outputs import RAW, RAW_SIZE, RAW_UP


def outcomes(raw: Floats, actual: Floats, symbol: list[str] | None = None, **more: Floats) -> OutOfSample:
    """Predictions of stocks, by default of a direction that is not known and of moves as large as expected."""
    given = {"up": np.full(len(raw), 0.5), "rose": (actual > 0).astype(float), "size": np.ones(len(raw)), **more}
    named = np.array(symbol or ["A"] * len(raw), dtype=str)
    return OutOfSample(named, np.full(len(raw), "stock"), raw, actual, actual, **given)


def fitted(edge: float, rows: int = 4000, coverage: float = 0.8, seed: int = 1, symbols: int = 2) -> Calibration:
    """Calibration on predictions whose true slope is ``edge``."""
    random = np.random.default_rng(seed)
    raw = random.standard_normal(rows) * 0.2
    actual = edge * raw + random.standard_normal(rows)
    return calibrate(outcomes(raw, actual, [f"S{number % symbols}" for number in range(rows)]), coverage)


def test_a_prediction_that_is_worth_nothing_is_not_kept() -> None:
    assert fitted(-1.0).shrinkage == {POOLED: 0.0, "S0": 0.0, "S1": 0.0}


def test_a_prediction_that_is_right_is_kept_and_no_more_than_whole() -> None:
    assert fitted(1.0).shrinkage[POOLED] == pytest.approx(1.0, abs=0.15)
    assert fitted(3.0).shrinkage[POOLED] == 1.0


def test_a_symbol_with_few_rows_follows_the_others() -> None:
    random = np.random.default_rng(2)
    raw = random.standard_normal(3020) * 0.2
    symbol = ["OLD"] * 3000 + ["NEW"] * 20
    actual = np.where(np.array(symbol) == "OLD", raw, -5 * raw)
    kept = calibrate(outcomes(raw, actual, symbol), 0.8).shrinkage
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
    errors = calibrate(outcomes(raw, actual), 0.8).errors[POOLED]
    assert (errors.low, errors.high) == (0.0, 8.0)


def test_errors_are_measured_in_predicted_sizes() -> None:
    """Where the sizes of the moves are known, intervals and volatility follow them."""
    random = np.random.default_rng(4)
    size = random.choice([0.5, 2.0], 20_000)
    actual = size * random.standard_normal(20_000)
    errors = calibrate(outcomes(np.zeros(20_000), actual, size=size), 0.8).errors[POOLED]
    # the normal distribution's
    assert (errors.low, errors.high) == (pytest.approx(-1.28, abs=0.04), pytest.approx(1.28, abs=0.04))
    assert errors.spread == pytest.approx(1.0, abs=0.02)


def test_the_naive_volatility_is_scaled_like_the_forecasts() -> None:
    """Else a market whose expected moves are too small would look like a forecast that knows something."""
    random = np.random.default_rng(6)
    actual = 1.7 * random.standard_normal(2_000)
    nothing = calibrate(outcomes(np.zeros(2_000), actual), 0.8)
    rows = pl.DataFrame({"symbol": ["A"] * 3, "asset_class": "stock", "expected_move": [0.01, 0.02, 0.03]})
    made = calibrated(rows.with_columns(**{RAW: pl.lit(0.0), RAW_UP: pl.lit(0.5), RAW_SIZE: pl.lit(1.0)}), nothing)
    assert made["naive_volatility"].to_list() == pytest.approx([0.017, 0.034, 0.051], rel=0.05)
    assert made["volatility"].to_list() == made["naive_volatility"].to_list()
    assert Calibration.parse(*nothing.dump()) == nothing


@given(st.floats(0.1, 10.0), st.integers(0, 20))
def test_the_spread_makes_of_sizes_the_volatility_with_the_least_loss(factor: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    size = factor * random.uniform(0.5, 2.0, 2_000)
    actual = random.standard_normal(2_000)
    spread = calibrate(outcomes(np.zeros(2_000), actual, size=size), 0.8).errors[POOLED].spread
    best = qlike_losses(spread * size, actual).mean()
    assert all(best <= qlike_losses(spread * other * size, actual).mean() for other in (0.9, 0.99, 1.01, 1.1))


@pytest.mark.parametrize(("truth", "kept"), [(1.0, 1.0), (0.5, 0.5), (0.0, 0.0), (-1.0, 0.0)])
def test_a_direction_is_kept_as_far_as_it_came_true(truth: float, kept: float) -> None:
    random = np.random.default_rng(5)
    up = random.uniform(0.3, 0.7, 40_000)
    rose = (random.uniform(size=40_000) < 0.5 + truth * (up - 0.5)).astype(float)
    found = calibrate(outcomes(np.zeros(40_000), 2 * rose - 1, up=up, rose=rose), 0.8)
    assert found.direction_of("A", "stock") == pytest.approx(kept, abs=0.1)


def test_a_symbol_falls_back_to_its_class_and_then_to_all() -> None:
    calibration = fitted(0.5, rows=400)  # 200 rows a symbol: too few for errors of its own
    assert calibration.errors_of("S0", "stock") is calibration.errors["*stock"]
    assert calibration.errors_of("NEW", "crypto") is calibration.errors[POOLED]
    assert calibration.shrinkage_of("NEW", "crypto") == calibration.shrinkage[POOLED]


def test_it_survives_being_stored() -> None:
    calibration = fitted(0.5)
    assert Calibration.parse(*calibration.dump()) == calibration


def test_no_rows_mean_the_naive_forecast() -> None:
    nothing = np.array([])
    found = calibrate(outcomes(nothing, nothing), 0.8)
    assert found.shrinkage == found.direction == {POOLED: 0.0}


def test_a_forest_that_always_says_zero_is_not_kept() -> None:
    actual = np.random.default_rng(3).standard_normal(100)
    assert calibrate(outcomes(np.zeros(100), actual), 0.8).shrinkage == {POOLED: 0.0}
