"""Features of other series know what was known at each bar's end: in training, live, and in the examination."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from financelake_assets.model import other_series
from financelake_assets.model.features import LOOKBACK, features_of, time_before
from financelake_assets.model.other_reading import needed, of_bars, read
from financelake_assets.model.other_series import NONE, OtherBars, complete, settled, usable
from financelake_assets.model.plugged_features import features_with
from financelake_assets.model.plugin_checks import examine, refuse_unsafe
from financelake_assets.model.plugin_examples import examples
from financelake_assets.plugins import Other, Plugin, PluginError, feature, installed
from financelake_assets_tests.model import market
from financelake_assets_tests.plugins.site import Site

HOURS = market.of_interval(market.bars("ETH", market.moves(1_200, 1), "crypto"), "1h")
BTC = market.of_interval(market.bars("BTC-USD", market.moves(1_200, 2), "crypto"), "1h")
DAYS = market.bars("ETH", market.moves(50, 3), "crypto")
WHOLE = complete(pl.concat([BTC, DAYS]), {})
MOVE = pl.col("log_return")
Made = Callable[..., pl.DataFrame]


def plugin(function: Made, *, lookback: int = 0, bars: int = 3) -> Plugin:
    others = {"daily": Other(interval="1d", bars=bars), "btc": Other("BTC-USD", bars=bars)}
    return feature(version="1", lookback=lookback, columns=("own",), others=others)(function)


def clean(bars: pl.DataFrame, daily: pl.DataFrame, btc: pl.DataFrame) -> pl.DataFrame:
    trend = daily.select("known_at", day=MOVE.rolling_sum(4))
    known = bars.join_asof(trend, on="known_at").join_asof(btc.select("known_at", hour=MOVE.shift(3)), on="known_at")
    return known.select(own=(pl.col("day") + pl.col("hour")).fill_null(0.0))


def hour(number: int) -> datetime:
    return market.START + timedelta(hours=number)


def test_a_longer_bar_counts_from_its_end_on() -> None:
    def newest(bars: pl.DataFrame, daily: pl.DataFrame, btc: pl.DataFrame) -> pl.DataFrame:
        return bars.join_asof(daily.select("known_at", own="close"), on="known_at").select(pl.col("own").fill_null(0.0))

    found = features_with(HOURS, (plugin(newest),), WHOLE)
    values = found.filter(pl.col("event_time").is_between(hour(240 - 2), hour(240)))["own"].to_list()
    # the hours that begin at 22 and 23 o'clock of the tenth day, and the first one behind it
    assert values == [DAYS["close"][8], DAYS["close"][9], DAYS["close"][9]]


@pytest.mark.parametrize("lookback", [0, 7])
def test_a_bar_has_the_same_values_live_as_in_training(lookback: int) -> None:
    """Live, only what is needed is read, and later bars are not there yet."""

    def smoothed(bars: pl.DataFrame, daily: pl.DataFrame, btc: pl.DataFrame) -> pl.DataFrame:
        return clean(bars, daily, btc).select(pl.col("own").rolling_mean(lookback + 1).fill_null(0.0))

    plugins = (plugin(smoothed, lookback=lookback),)
    whole = features_with(HOURS, plugins, WHOLE)
    # five days are known before, and the hour before the first of them has no return
    assert whole["scorable"].to_list().index(True) == 5 * 24 - 1 + lookback
    silver = pl.concat([BTC, DAYS])
    for number in (5 * 24 - 2 + lookback, 5 * 24 - 1 + lookback, 150, 239, 240, 900, 1_199):
        time = hour(number)
        near = HOURS.filter(pl.col("event_time").is_between(time - time_before("1h", lookback), time))
        ends = pl.when(pl.col("interval") == "1d").then(pl.lit(timedelta(days=1))).otherwise(pl.lit(timedelta(hours=1)))
        told = silver.filter(pl.col("event_time") + ends <= time + timedelta(hours=1))
        live = features_with(near, plugins, complete(read(told.lazy(), needed(plugins, near)), {}))
        assert_frame_equal(live.filter(event_time=time), whole.filter(event_time=time), rel_tol=1e-9)


def test_a_gap_in_another_series_that_is_longer_than_what_scoring_reads_is_not_scored() -> None:
    gap = BTC.filter(~pl.int_range(pl.len()).is_between(100, 900))
    found = features_with(HOURS, (plugin(clean),), complete(pl.concat([gap, DAYS]), {}))
    scorable = found.filter("scorable")["event_time"]
    # the oldest of the bars that are needed, 95, is 344 hours back at the end of hour 438
    assert other_series.span("1h", 4) == timedelta(hours=344)
    assert scorable.filter(scorable.is_between(hour(439), hour(904))).is_empty()
    assert {hour(438), hour(905)} <= set(scorable)


# -- waiting ---------------------------------------------------------------------------------------------


def keys(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select("symbol", "interval", "event_time")


def waits(others: OtherBars, own: pl.DataFrame, *plugins: Plugin) -> list[datetime]:
    """The starts of the bars that wait; exactly those are left out of a training too."""
    ready = settled(plugins, keys(own), others)
    return keys(own).join(ready, on=["symbol", "interval", "event_time"], how="anti")["event_time"].to_list()


def test_what_is_expected_is_waited_for_and_nothing_else() -> None:
    early = complete(pl.concat([BTC.head(600), DAYS.head(25)]), {})
    # the hour that ends with BTC's 600th needs it; the day that ends then is not there
    assert waits(early, HOURS, plugin(clean)) == [hour(number) for number in range(600, 1_200)]
    assert waits(early, HOURS.head(600), plugin(clean)) == []
    no_day = complete(pl.concat([BTC.head(600), DAYS.head(24)]), {})
    assert waits(no_day, HOURS.head(600), plugin(clean)) == [hour(599)]
    assert not features_with(HOURS, (plugin(clean),), no_day).filter(event_time=hour(599))["scorable"][0]
    assert features_with(HOURS, (plugin(clean),), early).filter(event_time=hour(599))["scorable"][0]
    assert (
        other_series.waits_for(
            (plugin(clean),), keys(HOURS.slice(600, 2)), complete(pl.concat([BTC.head(600), DAYS]), {})
        )
        == "BTC-USD 1h, whose newest finished bar began 2015-01-25 23:00"
    )


def test_a_calendar_says_what_is_expected() -> None:
    """Bitcoin's days and a stock's: 2015-01-02 was a Friday, and 2015-01-19 a holiday."""
    own = market.bars("BTC-USD", market.moves(40, 1), "crypto")
    trading = pl.col("event_time").dt.weekday() < 6
    stock = market.bars("AAPL", market.moves(40, 2)).filter(
        trading, pl.col("event_time") != datetime(2015, 1, 19, tzinfo=UTC)
    )
    beside = feature(version="1", lookback=0, columns=("own",), others={"stock": Other("AAPL")})(lambda bars, **_: bars)

    def until(day: int) -> list[int]:
        found = complete(stock.filter(pl.col("event_time") <= datetime(2015, 1, day, tzinfo=UTC)), {})
        return [time.day for time in waits(found, own.head(31), beside)]

    assert until(2)[0] == 5, "Saturday and Sunday wait for nothing, Monday waits for Monday"
    assert until(6)[0] == 7
    assert until(16)[0] == 20, "nothing is expected of the holiday"


def test_a_bar_that_may_grow_is_not_known_before_the_next_has_begun() -> None:
    growing = DAYS.head(25).with_columns(parts=pl.lit(1_440, pl.Int64))
    assert waits(complete(pl.concat([BTC, growing]), {}), HOURS.head(601), plugin(clean)) == [hour(599), hour(600)]


def test_a_symbol_without_longer_bars_is_not_scored_and_waits_for_nothing() -> None:
    other = HOURS.with_columns(symbol=pl.lit("XMR"))
    assert waits(WHOLE, other, plugin(clean)) == []
    found = features_with(pl.concat([HOURS, other]), (plugin(clean),), WHOLE)
    assert set(found.filter("scorable")["symbol"]) == {"ETH"}


def test_a_symbol_that_the_lake_has_not_is_told() -> None:
    alone = OtherBars({("ETH", "1d"): WHOLE.series["ETH", "1d"]})
    for others in (NONE, alone):
        with pytest.raises(PluginError, match="own 1 needs bars of BTC-USD 1h, and silver has no finished one"):
            features_with(HOURS, (plugin(clean),), others)
    with pytest.raises(PluginError, match="own 1 needs bars of its symbols 1d, and silver has no finished one"):
        other_series.refuse_missing((plugin(clean),), "1h", OtherBars({("BTC-USD", "1h"): other_series.no_bars()}))
    other_series.refuse_missing((plugin(clean),), "1h", WHOLE)


def test_what_is_declared_is_part_of_the_feature_and_only_there() -> None:
    assert plugin(clean).facts["others"] == {
        "daily": {"symbol": None, "interval": "1d", "bars": 3},
        "btc": {"symbol": "BTC-USD", "interval": None, "bars": 3},
    }
    assert plugin(clean, bars=4).facts != plugin(clean).facts
    assert "others" not in feature(version="1", lookback=0, columns=("own",))(lambda own: own).facts


def test_it_is_used_where_its_other_series_have_the_bars_or_longer_ones() -> None:
    both = plugin(clean)
    same = feature(version="1", lookback=0, columns=("own",), others={"btc": Other("BTC-USD", "1d")})(lambda btc: btc)
    plain = feature(version="1", lookback=0, columns=("own",))(lambda plain: plain)
    assert usable((both, same, plain), "1h") == (both, same, plain)
    assert usable((both, same, plain), "1d") == (same, plain)
    assert usable((both, same, plain), "1w") == (plain,)


def test_what_is_read_is_what_is_asked_for() -> None:
    noise = [HOURS, BTC.with_columns(symbol=pl.lit("XMR")), DAYS.with_columns(interval=pl.lit("1w"))]
    silver = pl.concat([BTC, DAYS, *noise]).lazy()
    found = of_bars(silver, (plugin(clean),), "1h", ["ETH"])
    assert found.series.keys() == WHOLE.series.keys()
    for key, rows in found.series.items():
        assert_frame_equal(rows, WHOLE.series[key])
    assert of_bars(silver, (), "1h") is NONE


# -- leaks -----------------------------------------------------------------------------------------------


def joined(other: str, value: pl.Expr, on: str = "known_at") -> Made:
    def made(bars: pl.DataFrame, **others: pl.DataFrame) -> pl.DataFrame:
        return bars.join_asof(others[other].select(on, own=value), on=on).select(pl.col("own").fill_null(0.0))

    return made


def knows_whether_it_is_examined(bars: pl.DataFrame, daily: pl.DataFrame, btc: pl.DataFrame) -> pl.DataFrame:
    """It takes what it is not given where its own series is cut: only another series that is cut alone shows it."""
    rows = btc if bars.height == HOURS.height else WHOLE.series["BTC-USD", "1h"]
    return joined("btc", MOVE.shift(-1))(bars, btc=rows, daily=daily)


@pytest.mark.parametrize(
    ("check", "leaky"),
    [
        ("truncation", joined("daily", MOVE, "event_time")),
        ("truncation", joined("btc", MOVE.shift(-1))),
        ("truncation", joined("daily", pl.col("close").shift(-1))),
        ("truncation", joined("btc", MOVE - MOVE.mean())),
        (
            "truncation",
            lambda bars, btc, **_: bars.select(own=pl.lit(btc["close"].tail(1).sum()) + 0 * pl.col("close")),
        ),
        ("stream parity", joined("btc", MOVE.shift(4))),
        ("stream parity", joined("daily", MOVE.rolling_sum(5))),
        ("stream parity", joined("daily", pl.col("close").cum_max())),
        ("others cut", knows_whether_it_is_examined),
    ],
)
def test_each_leak_of_another_series_is_found(check: str, leaky: Made) -> None:
    with pytest.raises(PluginError, match=rf"own 1 is refused \({check}\): the column own of ETH 1h at 2015-"):
        examine(plugin(leaky), features_of(HOURS), WHOLE)


def test_what_is_clean_passes_and_every_scored_bar_has_a_value() -> None:
    examine(plugin(clean), features_of(HOURS), WHOLE)
    gaps = plugin(lambda bars, **_: bars.select(own=pl.when(pl.col("event_time").dt.hour() != 5).then(1.0)))
    with pytest.raises(PluginError, match="own 1 is null for ETH 1h at 2015-01-06 05:00"):
        examine(gaps, features_of(HOURS), WHOLE)


@settings(max_examples=10, deadline=None)
@given(bars=st.integers(0, 30), lookback=st.integers(0, 30), ahead=st.integers(-2, 3))
def test_a_look_ahead_of_any_size_is_found_and_a_declared_look_back_is_none(
    bars: int, lookback: int, ahead: int
) -> None:
    def made(own: pl.DataFrame, daily: pl.DataFrame, btc: pl.DataFrame) -> pl.DataFrame:
        shifted = joined("btc", MOVE.shift(bars if ahead <= 0 else -ahead))(own, btc=btc, daily=daily)
        return shifted.select(pl.col("own").rolling_sum(lookback + 1).fill_null(0.0))

    one = plugin(made, lookback=lookback, bars=bars)
    if ahead <= 0:
        examine(one, features_of(HOURS), WHOLE)
    else:
        with pytest.raises(PluginError, match="knows the future"):
            examine(one, features_of(HOURS), WHOLE)


@pytest.mark.parametrize(
    ("others", "interval"),
    [
        ({"a": Other("ETH")}, "1d"),
        ({"a": Other(interval="1w", bars=2)}, "1d"),
        ({"a": Other("ETH", "1d"), "b": Other(interval="4h")}, "1h"),
        ({"a": Other("AAPL", "1m")}, "1m"),
        ({"a": Other(interval="2m")}, "1m"),
    ],
)
def test_examples_are_made_of_packaged_days(others: dict[str, Other], interval: str) -> None:
    asks = feature(version="1", lookback=0, columns=("own",), others=others)(lambda bars, **_: bars.select(own="close"))
    days = pl.concat([market.bars("AAPL", market.moves(400, 1)), market.bars("WTI", market.moves(300, 2))])
    own, beside = examples(asks, days)
    assert own["interval"].unique().to_list() == [interval]
    assert usable((asks,), interval) == (asks,)
    assert features_with(own, (asks,), beside).filter("scorable").height > 150
    refuse_unsafe((asks,), own, beside)
    leaky = feature(version="1", lookback=0, columns=("own",), others=others)(
        lambda bars, **rows: bars.select(own=pl.lit(rows["a"]["close"].tail(1).sum()) + 0 * pl.col("close"))
    )
    with pytest.raises(PluginError, match="refused"):
        refuse_unsafe((leaky,), own, beside)


def test_the_documented_example_is_right(site: Site) -> None:
    site.documented("my_context")
    (context,) = installed.features(())
    found = features_with(HOURS, (context,), complete(pl.concat([BTC, DAYS]), {})).filter("scorable")
    assert found["event_time"][0] == hour(22 * 24 - 1)
    at = found.filter(event_time=hour(700)).row(0, named=True)
    moves = other_series.complete(DAYS, {}).series["ETH", "1d"]["log_return"][9:29]
    assert at["daily_trend"] == pytest.approx(moves.sum() / (moves.std() * 20**0.5))  # type: ignore[operator]
    moves = WHOLE.series["BTC-USD", "1h"]["log_return"][681:701]
    assert at["bitcoin_move"] == pytest.approx(moves[-1] / moves.std())
    assert LOOKBACK < 22 * 24
