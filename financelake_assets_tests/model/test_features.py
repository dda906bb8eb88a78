from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pyspark.sql import SparkSession

from financelake_assets.model.feature_frames import by_series
from financelake_assets.model.features import ADDED, FEATURES, LOOKBACK, features_of, reach
from financelake_assets_tests.model import market

Make = Callable[[pl.DataFrame], pl.DataFrame]
_DAYS = 260


@pytest.fixture(scope="module")
def everything() -> pl.DataFrame:
    """A market with every oddity: a negative price, a spot price, weekends, a long closure, adjusted then not."""
    crypto = market.bars("COIN", market.moves(_DAYS, 1, size=0.05), "crypto")
    spot = market.with_close(market.close_only("OIL", market.moves(_DAYS, 2)), 150, -37.0)
    weekdays = market.bars("STOCK", market.moves(_DAYS, 3)).filter(pl.col("event_time").dt.weekday() < 6)
    closed = market.bars("SHUT", market.moves(_DAYS, 4)).filter(
        ~pl.int_range(pl.len()).is_between(100, 100 + reach("1d").days)
    )
    half = market.bars("HALF", market.moves(_DAYS, 5)).with_columns(
        pl.when(pl.int_range(pl.len()) < 130).then(pl.col("adj_close") / 2).alias("adj_close")
    )
    raw = market.bars("RAW", market.moves(_DAYS, 6)).with_columns(adj_close=pl.lit(None, pl.Float64))
    return pl.concat([crypto, spot, weekdays, closed, half, market.with_raw_split(raw, 151, 4.0)])


def featured(frame: pl.DataFrame, make: Make = features_of) -> pl.DataFrame:
    """By symbol and time; nothing may depend on the order of rows."""
    return make(frame.sample(fraction=1, shuffle=True, seed=5)).sort("symbol", "event_time")


def seen_from(frame: pl.DataFrame, day: pl.Expr) -> pl.DataFrame:
    """The bars that the gold query reads to score the bars of a day."""
    return frame.filter(pl.col("event_time").is_between(day - reach("1d"), day))


def leaks(frame: pl.DataFrame, make: Make = features_of) -> set[str]:
    """Columns whose values at a time differ when only the bars up to it, and within reach, are known."""
    whole = featured(frame, make)
    found = set()
    for day in (75, 151, 152, 190, _DAYS - 1):
        time = market.START + timedelta(days=day)
        cut = featured(seen_from(frame, pl.lit(time)), make).filter(pl.col("event_time") == time)
        then = whole.filter(pl.col("event_time") == time)
        assert_frame_equal(cut.select("symbol", "scorable"), then.select("symbol", "scorable"))
        judged = then["scorable"]
        assert judged.any()
        for name in ("price", "log_return", "bar_volatility", *then.columns[then.columns.index("scorable") :]):
            if not then[name].filter(judged).equals(cut[name].filter(judged), null_equal=True):
                found.add(name)
    return found


def test_a_bar_has_the_same_features_in_a_stream_as_in_training(everything: pl.DataFrame) -> None:
    assert leaks(everything) == set()


@pytest.mark.integration
def test_training_on_spark_sees_the_same_as_scoring(spark: SparkSession, everything: pl.DataFrame) -> None:
    taught = market.to_polars(by_series(market.to_spark(spark, everything), features_of, ADDED))
    assert_frame_equal(taught, featured(everything), check_exact=True)


def test_the_test_for_leaks_finds_one_that_is_put_in(everything: pl.DataFrame) -> None:
    def leaky(bars: pl.DataFrame) -> pl.DataFrame:
        return features_of(bars).with_columns(
            tomorrow=pl.col("log_return").shift(-1).over("symbol"),
            average_of_all_time=pl.col("close").mean().over("symbol"),
            since_ever=pl.col("log_return").cum_sum().over("symbol"),
        )

    # the last bar has no tomorrow, the first is not in reach: each leak shows
    assert leaks(everything, leaky) == {"tomorrow", "average_of_all_time", "since_ever"}


def test_a_scorable_bar_has_every_feature(everything: pl.DataFrame) -> None:
    rows = featured(everything).filter("scorable")
    assert set(rows["symbol"]) == set(everything["symbol"])
    values = rows.select(FEATURES).to_numpy()
    assert np.isfinite(values).all()


def test_features_do_not_depend_on_the_unit_of_price_or_volume() -> None:
    frame = market.bars("A", market.moves(120, 7))
    scaled = frame.with_columns(
        *[pl.col(name) * 1000 for name in ("open", "high", "low", "close", "adj_close")], pl.col("volume") / 64
    )
    one, other = (featured(each).filter("scorable").select(FEATURES) for each in (frame, scaled))
    assert len(one) > 0
    assert_frame_equal(one, other, rel_tol=1e-9, abs_tol=1e-9)


def test_a_split_is_not_a_crash() -> None:
    frame = market.bars("AAPL", market.moves(150, 8))
    before = pl.int_range(pl.len()) < 100
    split = frame.with_columns(
        *[
            pl.when(before).then(pl.col(name) * 7).otherwise(pl.col(name)).alias(name)
            for name in ("open", "high", "low", "close")
        ],
        pl.when(before).then(pl.col("volume") / 7).otherwise(pl.col("volume")).alias("volume"),
    )
    names = [name for name in FEATURES if "volume" not in name and "turnover" not in name]
    one, other = (featured(each).filter("scorable").select(names) for each in (frame, split))
    assert_frame_equal(one, other, rel_tol=1e-9, abs_tol=1e-9)


def test_a_split_that_nothing_is_adjusted_for_is_not_a_crash_either() -> None:
    frame = market.bars("AAPL", market.moves(260, 8)).with_columns(adj_close=pl.lit(None, pl.Float64))
    split = market.with_raw_split(frame, 100, 7.0)
    one, other = (featured(each) for each in (frame, split))
    counted = ("volume_ratio", "turnover_trend", "volume_direction")
    levels = ("macd", "bollinger", "stretch", "drawdown", "rebound", "atr_position")
    rest = [name for name in FEATURES if name not in (*levels, *counted)]
    assert_frame_equal(
        one.select(*rest, "log_return", "bar_volatility", "scorable"),
        other.select(*rest, "log_return", "bar_volatility", "scorable"),
        rel_tol=1e-9,
        abs_tol=1e-9,
    )
    # levels on both sides of a split, and counts of shares, cannot be compared: they say nothing until it has passed
    assert set(other[100:159].select(levels).to_numpy().ravel()) == {0.0}
    assert set(other[100:119].select("volume_ratio", "volume_direction").to_numpy().ravel()) == {0.0}
    assert_frame_equal(one[159:].select(levels), other[159:].select(levels), rel_tol=1e-9, abs_tol=1e-9)
    # a provider that has adjusted its prices tells of the split all the same
    told = frame.with_columns(split=pl.when(pl.int_range(pl.len()) == 100).then(7.0))
    assert_frame_equal(featured(told).select(FEATURES), one.select(FEATURES))


def test_warm_up_is_not_scored() -> None:
    rows = featured(market.bars("A", market.moves(100, 9)))
    assert rows["scorable"].to_list() == [day >= LOOKBACK for day in range(100)]


def test_a_price_that_never_changes_is_not_scored() -> None:
    still = market.bars("STILL", np.zeros(100))
    # an adjusted close is a product, so its last digits move
    noisy = market.bars("NOISE", np.random.default_rng(1).standard_normal(100) * 1e-15)
    assert not featured(pl.concat([still, noisy]))["scorable"].any()


def test_a_negative_price_is_not_scored_and_does_not_spread() -> None:
    rows = featured(market.with_close(market.close_only("WTI", market.moves(140, 10)), 100, -36.98))
    # neither the day itself nor the next has a return
    assert [day for day in range(LOOKBACK, 140) if not rows["scorable"][day]] == [100, 101]
    assert rows["log_return"].is_finite().sum() == 140 - 3


def test_bars_behind_a_long_gap_are_not_scored_until_the_window_is_full_again() -> None:
    gap = reach("1d").days
    rows = featured(market.bars("A", market.moves(500, 11)).filter(~pl.int_range(pl.len()).is_between(100, 300)))
    behind = rows.filter(pl.col("event_time") > market.START + timedelta(days=300))
    assert gap < 200
    assert behind["scorable"].to_list()[: LOOKBACK - 1] == [False] * (LOOKBACK - 1)
    assert behind["scorable"].to_list()[LOOKBACK:] == [True] * (len(behind) - LOOKBACK)


def test_series_do_not_mix() -> None:
    one, other = (market.bars(name, market.moves(100, seed)) for name, seed in (("A", 12), ("B", 13)))
    hourly = one.with_columns(pl.lit("1h").alias("interval"), pl.col("close") * 3)
    together = featured(pl.concat([one, other, hourly])).filter(
        (pl.col("symbol") == "A") & (pl.col("interval") == "1d")
    )
    assert_frame_equal(together, featured(one))


def test_indicators_are_what_pandas_says() -> None:
    frame = market.bars("A", market.moves(200, 14))
    rows = featured(frame).to_pandas()
    close = frame.to_pandas()["close"]
    high, low, opened, volume = (frame.to_pandas()[name] for name in ("high", "low", "open", "volume"))
    level = np.log(close)
    change = level.diff()
    volatility = np.sqrt(sum((change**2).rolling(bars).mean() for bars in (5, 20, 60)) / 3)
    gains, losses = change.clip(lower=0).rolling(14).sum(), (-change.clip(upper=0)).rolling(14).sum()
    true_range = np.maximum(np.log(high), level.shift()) - np.minimum(np.log(low), level.shift())
    garman_klass = 0.5 * np.log(high / low) ** 2 - (2 * np.log(2) - 1) * np.log(close / opened) ** 2
    expected = pd.DataFrame(
        {
            "bar_volatility": volatility,
            "momentum_10": (level - level.shift(10)) / (volatility * np.sqrt(10)),
            "rsi": gains / (gains + losses),
            "macd": (level.rolling(12).mean() - level.rolling(26).mean()) / volatility,
            "bollinger": (level - level.rolling(20).mean()) / level.rolling(20).std(ddof=0),
            "drawdown": (level - level.rolling(60).max()) / volatility,
            "atr_position": (level - level.rolling(20).mean()) / true_range.rolling(14).mean(),
            "parkinson": np.log(
                (np.log(high / low) ** 2).rolling(20).mean() / (4 * np.log(2)) / (change**2).rolling(20).mean()
            )
            / 2,
            "garman_klass": np.log(garman_klass.rolling(20).mean() / (change**2).rolling(20).mean()) / 2,
            "volume_ratio": np.log(volume / volume.rolling(20).mean()),
            "turnover_trend": np.log((volume * close).rolling(5).mean() / (volume * close).rolling(60).mean()),
            "gap": np.log(opened / close.shift()) / volatility,
        }
    )
    scorable = rows["scorable"]
    pd.testing.assert_frame_equal(
        rows.loc[scorable, expected.columns], expected[scorable], rtol=1e-9, check_names=False
    )
