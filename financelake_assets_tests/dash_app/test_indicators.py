"""Indicators: those of the library against formulas of our own, what a visitor may write, and what bars lack."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.data import indicators
from dash_app.data.indicators import (
    MOST_PANES,
    Choice,
    IndicatorError,
    chosen,
    of_address,
    panes,
    read,
    with_indicators,
)
from dash_app.data.technical import INDICATORS
from financelake_assets.model.features import FEATURES, features_of
from financelake_assets.silver.schema import BARS

EVERY = [read(text) for texts in indicators.usual().values() for text in texts]
prices = st.lists(st.floats(1, 1e6), min_size=1, max_size=90)


def bars_of(closes: Any, **columns: Any) -> pl.DataFrame:
    """Bars with a range around each close, and a volume."""
    close = np.asarray(closes, dtype=float)
    chance = np.random.default_rng(len(close))
    up, down = chance.uniform(0, 0.02, (2, len(close)))
    rows = {"close": close, "open": close, "high": close * (1 + up), "low": close * (1 - down)}
    volume = chance.integers(0, 1_000, len(close)).astype(float)
    frame = pl.DataFrame({**rows, "volume": volume, **columns})
    known = {"symbol": "A", "interval": "1d", "asset_class": "stock"}
    day = pl.datetime(2024, 1, 1, time_unit="us", time_zone="UTC") + pl.duration(days=pl.int_range(pl.len()))
    frame = frame.with_columns(event_time=day, **{name: pl.lit(value) for name, value in known.items()})
    return pl.concat([BARS.empty, frame], how="diagonal")


def lines(bars: pl.DataFrame, text: str) -> list[np.ndarray]:
    choice = read(text)
    found = with_indicators(bars, (choice,))
    return [found[choice.column(line)].to_numpy() for line in choice.lines]


WALK = bars_of(100 * np.exp(np.random.default_rng(4).normal(0, 0.02, 120).cumsum()))
CLOSE, HIGH, LOW, VOLUME = (WALK[name].to_numpy() for name in ("close", "high", "low", "volume"))


def _recursion(values: np.ndarray, weight: float, start: int) -> float:
    """The last value of an exponential average that begins with the mean of the first ``start``."""
    mean = float(values[:start].mean())
    for value in values[start:]:
        mean += (value - mean) * weight
    return mean


def test_averages_and_bands_are_those_of_numpy() -> None:
    (fast,), (upper, lower) = lines(WALK, "sma 20"), lines(WALK, "bollinger 20 2.5")
    for at in (19, 40, 119):
        window = CLOSE[at - 19 : at + 1]
        assert fast[at] == pytest.approx(window.mean())
        assert upper[at] - lower[at] == pytest.approx(5 * window.std())
    (weighted,), (by_volume,) = lines(WALK, "wma 10"), lines(WALK, "vwma 10")
    assert weighted[-1] == pytest.approx(np.average(CLOSE[-10:], weights=np.arange(1, 11)))
    assert by_volume[-1] == pytest.approx(np.average(CLOSE[-10:], weights=VOLUME[-10:]))
    (ema,) = lines(WALK, "ema 20")
    assert ema[-1] == pytest.approx(_recursion(CLOSE, 2 / 21, 20))
    highest, lowest = lines(WALK, "donchian 20")
    assert (highest[-1], lowest[-1]) == (HIGH[-20:].max(), LOW[-20:].min())


def test_wilders_indicators_follow_his_recursion() -> None:
    steps = np.diff(CLOSE)
    rise, fall = (_recursion(side, 1 / 14, 14) for side in (steps.clip(0), (-steps).clip(0)))
    assert lines(WALK, "rsi 14")[0][-1] == pytest.approx(100 * rise / (rise + fall))
    before = CLOSE[:-1]
    ranges = np.maximum(HIGH[1:], before) - np.minimum(LOW[1:], before)
    atr = _recursion(ranges, 1 / 14, 14)
    assert lines(WALK, "atr 14")[0][-1] == pytest.approx(atr)
    assert lines(WALK, "natr 14")[0][-1] == pytest.approx(100 * atr / CLOSE[-1])


def test_oscillators_are_what_their_formulas_say() -> None:
    (macd, signal, distance), (k, d) = lines(WALK, "macd 12 26 9"), lines(WALK, "stochastic 14 1 3")
    assert distance[-1] == pytest.approx(macd[-1] - signal[-1])
    # both averages begin at the slow one's first bar
    fast, slow = _recursion(CLOSE[14:], 2 / 13, 12), _recursion(CLOSE, 2 / 27, 26)
    assert macd[-1] == pytest.approx(fast - slow)
    top, bottom = HIGH[-14:].max(), LOW[-14:].min()
    place = (CLOSE[-1] - bottom) / (top - bottom)
    assert k[-1] == pytest.approx(100 * place)
    assert d[-1] == pytest.approx(k[-3:].mean())
    assert lines(WALK, "williams 14")[0][-1] == pytest.approx(100 * place - 100)
    assert lines(WALK, "roc 10")[0][-1] == pytest.approx(100 * (CLOSE[-1] / CLOSE[-11] - 1))
    assert lines(WALK, "momentum 10")[0][-1] == pytest.approx(CLOSE[-1] - CLOSE[-11])
    typical = (HIGH + LOW + CLOSE) / 3
    window = typical[-20:]
    spread = np.abs(window - window.mean()).mean()
    assert lines(WALK, "cci 20")[0][-1] == pytest.approx((typical[-1] - window.mean()) / (0.015 * spread))
    flow = np.sign(np.diff(typical))[-14:] * (typical * VOLUME)[-14:]
    assert lines(WALK, "mfi 14")[0][-1] == pytest.approx(100 * flow[flow > 0].sum() / np.abs(flow).sum())
    up, down = lines(WALK, "aroon 25")
    assert up[-1] == pytest.approx(4 * (HIGH[-26:].argmax() - 0))
    assert down[-1] == pytest.approx(4 * (LOW[-26:].argmin() - 0))
    assert lines(WALK, "obv")[0][-1] == pytest.approx(VOLUME[0] + (np.sign(np.diff(CLOSE)) * VOLUME[1:]).sum())


def test_a_feature_is_the_one_that_the_model_sees() -> None:
    seen = features_of(WALK)
    for name in ("rsi", "momentum_5", "atr_position"):
        assert lines(WALK, f"feature {name}")[0][-1] == seen[name][-1]
    assert {one.feature for one in EVERY if one.feature} == set(FEATURES)


def test_there_are_enough_of_them() -> None:
    assert len(INDICATORS) >= 20


@pytest.mark.parametrize(("step", "expected"), [(1.0, 100.0), (-1.0, 0.0), (0.0, None)])
def test_the_strength_of_what_only_rises_falls_or_rests(step: float, expected: float | None) -> None:
    choice = read("rsi")
    found = with_indicators(bars_of([100 + step * at for at in range(40)]), (choice,))[choice.column(choice.lines[0])]
    assert found[-1] == expected


@pytest.mark.parametrize("choice", EVERY, ids=lambda one: one.token)
def test_a_bar_never_looks_ahead_and_values_stay_in_their_bounds(choice: Choice) -> None:
    columns = [choice.column(line) for line in choice.lines]
    whole = with_indicators(WALK, (choice,)).select(columns)
    for cut in (1, 2, 50, 119):
        part = with_indicators(WALK.head(cut), (choice,)).select(columns)
        assert whole.head(cut).equals(part, null_equal=True)
    if not choice.feature and choice.of.bounds:
        least, most = choice.of.bounds
        for name in columns:
            assert whole[name].drop_nulls().is_between(least - 1e-9, most + 1e-9).all()


@pytest.mark.parametrize("choice", [one for one in EVERY if not one.feature], ids=lambda one: one.token)
def test_bars_that_lack_a_value_are_left_out_and_spoil_no_other(choice: Choice) -> None:
    """A price or volume that is unknown or not a number, in the middle, and a source without ranges."""
    columns = [choice.column(line) for line in choice.lines]
    at = pl.int_range(pl.len())
    lacking = WALK.with_columns(pl.when(at != 60).then(pl.col(name)).alias(name) for name in choice.of.needs)
    broken = WALK.with_columns(
        pl.when(at != 60).then(pl.col(name)).otherwise(float("nan")).alias(name) for name in choice.of.needs
    )
    without = with_indicators(WALK.filter(at != 60), (choice,)).select(columns)
    for bars in (lacking, broken):
        found = with_indicators(bars, (choice,)).select(columns)
        assert found.filter(at != 60).equals(without, null_equal=True)
        assert found.row(60) == (None,) * len(columns)
    if {"high", "low"} & set(choice.of.needs):
        closes_only = WALK.with_columns(imputed=pl.lit("open,high,low"))
        assert with_indicators(closes_only, (choice,)).select(columns).null_count().row(0) == (WALK.height,) * len(
            columns
        )
    assert with_indicators(WALK.clear(), (choice,)).height == 0


@given(prices)
def test_no_prices_break_an_indicator(closes: list[float]) -> None:
    found = with_indicators(bars_of(closes), [one for one in EVERY if not one.feature][:12])
    assert found.height == len(closes)


def _values(name: str) -> st.SearchStrategy[Choice]:
    numbers = [
        st.integers(int(one.least), int(one.most)).map(float)
        if one.whole
        else st.integers(round(one.least * 1000), round(one.most * 1000)).map(lambda value: value / 1000)
        for one in INDICATORS[name].parameters
    ]
    return st.tuples(*numbers).map(lambda values: Choice(name, values))


choices = st.sampled_from(list(INDICATORS)).flatmap(_values) | st.sampled_from([one for one in EVERY if one.feature])


@given(st.lists(choices, max_size=6, unique=True))
def test_choices_survive_an_address_and_their_own_words(given: list[Choice]) -> None:
    assert of_address("-".join(one.token for one in given)) == tuple(given)
    assert chosen([one.label for one in given]) == tuple(given)


@given(st.text(max_size=80))
def test_any_text_is_a_choice_or_an_error_for_the_visitor(text: str) -> None:
    of_address(text)
    with suppress(IndicatorError):
        assert read(read(text).label) == read(text)


@pytest.mark.parametrize(
    ("text", "label"),
    [("ema 50", "EMA 50"), ("EMA(50)", "EMA 50"), ("Bollinger 20, 2.5", "Bollinger 20 2.5"), ("macd", "MACD 12 26 9")],
)
def test_a_visitor_writes_as_people_write(text: str, label: str) -> None:
    assert read(text).label == label


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("emma 50", "Did you mean ema?"),
        ("rsi 1", "RSI: bars is a whole number from 2 to 400, not '1'."),
        ("rsi 2.5", "whole number"),
        ("bands 20 99", "width is a number from 0.1 to 10"),
        ("obv 3", "OBV takes no numbers."),
        ("feature rs", "Did you mean rsi?"),
        ("", "There is no indicator"),
    ],
)
def test_what_cannot_be_read_is_told_with_what_can(text: str, told: str) -> None:
    with pytest.raises(IndicatorError, match=told.replace("?", r"\?").replace(".", r"\.")):
        read(text)


def test_panes_and_indicators_are_bounded() -> None:
    own = [read(name) for name, one in INDICATORS.items() if one.pane][: MOST_PANES + 1]
    assert len(panes(own)) > MOST_PANES
    with pytest.raises(IndicatorError, match="6 panes"):
        chosen([one.label for one in own])
    assert len(panes(of_address("-".join(one.token for one in own)))) == MOST_PANES
    with pytest.raises(IndicatorError, match="12 indicators"):
        chosen([f"sma {bars}" for bars in range(2, 15)])
    same = chosen(["rsi 7", "rsi 14", "rsi 21"])
    assert panes(same) == ["rsi"], "one pane for one kind"
