"""The examination finds each kind of leak that is put in, and nothing in what has none."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from financelake_assets.model.plugin_checks import leak_of_ours
from financelake_assets.plugins import leaks
from financelake_assets.silver.packaged import packaged_bars
from financelake_assets_tests.model import market

BARS = market.bars("AAPL", market.moves(400, 3))
CLOSE = pl.col("close")


def column(expression: pl.Expr) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda bars: bars.select(own=expression)


@pytest.mark.parametrize(
    "clean",
    [
        CLOSE,
        CLOSE.shift(20),
        CLOSE.rolling_mean(21),
        (CLOSE * pl.col("volume")).rolling_sum(21) / pl.col("volume").rolling_sum(21),
        CLOSE.rolling_std(21),
        CLOSE.rolling_max(21),
        CLOSE.rolling_quantile(0.3, window_size=21),
        CLOSE.ewm_mean(span=2.5),  # an eighth of the look-back, as the docs say
        pl.col("event_time").dt.weekday(),
        pl.when(CLOSE > 1e9).then(CLOSE),
    ],
)
def test_what_looks_back_as_far_as_it_says_passes(clean: pl.Expr) -> None:
    assert leaks.find(column(clean), BARS, 20) is None


@pytest.mark.parametrize(
    ("check", "leaky"),
    [
        ("truncation", CLOSE.shift(-1)),
        ("truncation", CLOSE.shift(-1).fill_null(strategy="forward").fill_null(0.0)),
        ("truncation", (CLOSE - CLOSE.mean()) / CLOSE.std()),
        ("truncation", CLOSE.rank()),
        ("truncation", CLOSE.reverse()),
        ("truncation", CLOSE.rolling_mean(5, center=True)),
        ("truncation", CLOSE.pct_change().backward_fill() / CLOSE.max()),
        ("truncation", pl.lit(1.0) * pl.len()),
        ("stream parity", CLOSE.rolling_mean(30)),
        ("stream parity", CLOSE.shift(21)),
        ("stream parity", CLOSE.cum_max()),
        ("stream parity", CLOSE.ewm_mean(span=20)),
        ("stream parity", CLOSE / CLOSE.first()),
    ],
)
def test_each_leak_that_is_put_in_is_found(check: str, leaky: pl.Expr) -> None:
    found = leaks.find(column(leaky), BARS, 20)
    assert found is not None
    assert (found.check, found.column, found.symbol) == (check, "own", "AAPL")


def test_what_only_shuffling_shows() -> None:
    """A function that looks ahead only where there are bars enough: no cut shows it at its own last bars."""

    def sly(bars: pl.DataFrame) -> pl.DataFrame:
        known = pl.len() >= BARS.height
        return bars.select(own=pl.when(known).then(CLOSE.shift(-1).fill_null(CLOSE)).otherwise(CLOSE.shift(-1)))

    def slier(bars: pl.DataFrame) -> pl.DataFrame:
        return (
            sly(bars)
            if bars.height >= BARS.height
            else sly(pl.concat([bars, BARS.slice(bars.height)])).head(bars.height)
        )

    found = leaks.find(slier, BARS, 0)
    assert found is not None
    assert found.check == "shuffled future"


def test_a_function_that_is_not_pure_is_found() -> None:
    calls: list[int] = []

    def counts(bars: pl.DataFrame) -> pl.DataFrame:
        calls.append(1)
        return bars.select(own=CLOSE * len(calls))

    found = leaks.find(counts, BARS, 0)
    assert found is not None
    assert "not a pure function" in str(found)


def test_warm_up_finds_what_begins_with_the_series() -> None:
    """Of exactly the look-back's bars it is right, and with a few more it is not."""

    def begins(bars: pl.DataFrame) -> pl.DataFrame:
        exact = bars.height in (21, BARS.height) or bars["event_time"][0] == BARS["event_time"][0]
        return bars.select(own=CLOSE if exact else CLOSE + 1)

    found = leaks.find(begins, BARS, 20)
    assert found is not None
    assert found.check == "warm-up"


@settings(max_examples=25)
@given(first=st.integers(150, 390), column_first=st.booleans())
def test_the_first_bar_and_column_that_differ_are_named(first: int, column_first: bool) -> None:
    """Two columns leak from a bar on; the one that is declared first is told where both do."""

    def made(bars: pl.DataFrame) -> pl.DataFrame:
        from_there = pl.int_range(pl.len()) >= first
        leak = pl.when(from_there).then(pl.len().cast(pl.Float64)).otherwise(CLOSE)
        later = pl.when(pl.int_range(pl.len()) >= first + (1 if column_first else 0)).then(pl.len()).otherwise(0)
        return bars.select(clean=CLOSE, one=leak, two=later)

    found = leaks.find(made, BARS, 0)
    assert found is not None
    assert found.column == "one"
    assert found.event_time == BARS["event_time"][first]


def test_text_is_compared_too() -> None:
    found = leaks.find(lambda bars: bars.select(own=pl.when(CLOSE.max() == CLOSE).then(pl.lit("top"))), BARS, 0)
    assert found is not None
    assert found.column == "own"


def test_rounding_is_no_leak_but_a_thousandth_is() -> None:
    assert leaks.find(column(CLOSE * (1 + 1e-9 * pl.len())), BARS, 0) is None
    assert leaks.find(column(CLOSE * (1 + 1e-9 * pl.len())), BARS, 0, tolerance=0.0) is not None
    assert leaks.find(column(CLOSE * (1 + 1e-5 * pl.len())), BARS, 0) is not None


def test_our_own_features_have_none_on_the_packaged_history() -> None:
    assert leak_of_ours(packaged_bars()) is None


def test_one_that_is_put_into_our_own_features_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from financelake_assets.model import plugin_checks

    plain = plugin_checks.features_of
    monkeypatch.setattr(
        plugin_checks, "features_of", lambda bars: plain(bars).with_columns(gap=pl.col("log_return").shift(-1))
    )
    found = leak_of_ours(BARS)
    assert found is not None
    assert (found.column, found.check) == ("gap", "truncation")
