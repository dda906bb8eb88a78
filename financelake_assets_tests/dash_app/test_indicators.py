from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.data.indicators import FAST, RSI_BARS, SLOW, with_indicators

prices = st.lists(st.floats(-50, 1e6, allow_nan=False), min_size=1, max_size=90)


def _of(closes: list[float]) -> pl.DataFrame:
    return with_indicators(pl.LazyFrame({"close": closes}, schema={"close": pl.Float64})).collect()


def test_averages_and_bands_are_those_of_numpy() -> None:
    closes = np.random.default_rng(4).normal(100, 5, 80)
    found = _of(closes.tolist())
    for at in (FAST - 1, 40, 79):
        window = closes[at - FAST + 1 : at + 1]
        assert found["sma_fast"][at] == pytest.approx(window.mean())
        assert found["band_high"][at] - found["band_low"][at] == pytest.approx(4 * window.std())
    assert found["sma_slow"][SLOW - 1] == pytest.approx(closes[:SLOW].mean())


@pytest.mark.parametrize(("step", "expected"), [(1.0, 100.0), (-1.0, 0.0), (0.0, None)])
def test_the_strength_of_what_only_rises_falls_or_rests(step: float, expected: float | None) -> None:
    found = _of([100 + step * at for at in range(40)])["rsi"]
    assert found[-1] == expected
    assert found.head(RSI_BARS).null_count() == RSI_BARS


def test_the_strength_follows_wilders_recursion() -> None:
    steps = np.random.default_rng(5).normal(0, 1, 60)
    rise, fall = max(steps[0], 0.0), max(-steps[0], 0.0)
    for step in steps[1:]:
        rise += (max(step, 0.0) - rise) / RSI_BARS
        fall += (max(-step, 0.0) - fall) / RSI_BARS
    found = _of([100.0, *(100 + steps.cumsum())])["rsi"][-1]
    assert found == pytest.approx(100 * rise / (rise + fall))


@given(prices, st.integers(1, 89))
def test_a_bar_never_looks_ahead_and_strength_stays_in_its_bounds(closes: list[float], cut: int) -> None:
    whole, part = _of(closes), _of(closes[:cut])
    assert whole.head(part.height).equals(part, null_equal=True)
    assert whole["rsi"].drop_nulls().is_between(-1e-9, 100 + 1e-9).all()
