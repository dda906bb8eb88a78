"""Features of plug-ins beside the product's own, and every way in which a plug-in can be wrong."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from financelake_assets.model.features import LOOKBACK, features_of, time_before
from financelake_assets.model.plugged_features import added, columns_of, features_with
from financelake_assets.model.plugin_checks import refuse_unsafe
from financelake_assets.plugins import Plugin, PluginError, calling, feature, installed
from financelake_assets.silver.packaged import packaged_bars
from financelake_assets_tests.model import market
from financelake_assets_tests.plugins.site import Site

BARS = pl.concat(
    [
        market.bars("A", market.moves(300, 1)),
        market.bars("B", market.moves(200, 2), "crypto"),
        market.with_close(market.close_only("WTI", market.moves(300, 3)), 150, -37.0),
    ]
)
CLOSE = pl.col("close")


def plugin(expression: pl.Expr, lookback: int = 0, name: str = "own") -> Plugin:
    return feature(version="1", lookback=lookback, columns=(name,))(lambda bars: bars.select(expression.alias(name)))


def test_without_plug_ins_nothing_changes() -> None:
    assert_frame_equal(features_with(BARS, ()), features_of(BARS), check_exact=True)


def test_the_documented_example_is_a_column_beside_our_own(site: Site) -> None:
    site.documented("my_features")
    plugins = installed.features(())
    found = features_with(BARS, plugins)
    plain = features_of(BARS)
    assert [*found.columns] == [*plain.columns, "vwap_distance"]
    assert set(added(plugins).names) == {*found.columns} - {*BARS.columns}
    assert_frame_equal(found.drop("vwap_distance", "scorable"), plain.drop("scorable"), check_exact=True)
    # a bar is scored only behind the look-backs: our own, and then the plug-in's
    by_series = found.with_columns(number=pl.int_range(pl.len()).over("symbol"), before=plain["scorable"])
    expected = pl.col("before") & (pl.col("number") >= LOOKBACK + 20)
    assert by_series.select((pl.col("scorable") == expected).all()).item()
    values = found.filter("scorable")["vwap_distance"]
    assert values.is_finite().all()
    assert found.filter(pl.col("symbol") != "WTI", "scorable")["vwap_distance"].n_unique() > 100


def test_a_bar_has_the_same_values_live_as_in_training(site: Site) -> None:
    site.documented("my_features")
    plugins = installed.features(())
    whole = features_with(BARS, plugins).filter("scorable")
    reads = time_before("1d", 20)
    for days in (90, 151, 152, 199, 299):
        time = market.START + timedelta(days=days)
        live = features_with(BARS.filter(pl.col("event_time").is_between(time - reads, time)), plugins)
        then = whole.filter(event_time=time)
        assert not then.is_empty()
        assert_frame_equal(live.filter("scorable", event_time=time), then, rel_tol=1e-9)


def test_a_gap_that_is_longer_than_what_scoring_reads_is_not_scored(site: Site) -> None:
    long = market.bars("A", market.moves(700, 5)).filter(~pl.int_range(pl.len()).is_between(200, 400))
    found = features_with(long, (plugin(CLOSE.shift(50).fill_null(0.0), 50),))
    behind = found.filter(pl.col("event_time") > market.START + timedelta(days=400))["scorable"].to_list()
    assert behind[: LOOKBACK + 49] == [False] * (LOOKBACK + 49)
    assert behind[LOOKBACK + 50 :] == [True] * (len(behind) - LOOKBACK - 50)


def test_whole_numbers_and_flags_are_numbers() -> None:
    for expression in (pl.col("volume").cast(pl.Int32), CLOSE > 100, CLOSE.cast(pl.Float32)):
        assert features_with(BARS, (plugin(expression.fill_null(0)),)).schema["own"] == pl.Float64


def sleeps(bars: pl.DataFrame) -> pl.DataFrame:
    import threading

    threading.Event().wait(60)
    return bars


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda bars: bars.select(own=1 / 0), "own 1 fails: ZeroDivisionError: division by zero"),
        (lambda bars: bars.select(own=pl.col("nothing")), "fails: ColumnNotFoundError"),
        (lambda _: exit(3), "fails: RuntimeError: SystemExit: 3"),
        (lambda bars: bars["close"], "gives a Series, not a polars.DataFrame"),
        (lambda _: None, "gives a NoneType"),
        (lambda bars: bars.select(other=CLOSE), "gives the columns other, not own"),
        (lambda bars: bars.with_columns(own=CLOSE), "gives the columns symbol"),
        (lambda bars: bars.select(), "gives the columns none"),
        (lambda bars: bars.select(own=CLOSE).head(7), "gives 7 rows for 300 bars"),
        (lambda bars: bars.select(own=CLOSE.mean()), "gives 1 rows for 300 bars"),
        (lambda bars: bars.select(own=CLOSE.cast(pl.String)), "the column own of the plug-in own 1 is String"),
        (lambda bars: bars.select(own=pl.col("event_time")), "is Datetime"),
        (lambda bars: bars.select(own=pl.concat_list(CLOSE)), r"is List\(Float64\), not a number"),
        (
            lambda bars: bars.select(own=(CLOSE - CLOSE) / 0),
            "is nan for A 1d at 2015-03-02 00:00, behind its",
        ),
        (lambda bars: bars.select(own=CLOSE / 0), "is inf for A 1d"),
        (lambda bars: bars.select(own=pl.when(CLOSE > 1e9).then(CLOSE)), "is null for A 1d"),
    ],
)
def test_what_a_plug_in_does_wrong_is_told(function: object, said: str) -> None:
    wrong = feature(version="1", lookback=0, columns=("own",))(function)  # type: ignore[arg-type]
    with pytest.raises(PluginError, match=said):
        features_with(BARS, (wrong,))
    with pytest.raises(PluginError):
        refuse_unsafe((wrong,), BARS)


def test_one_that_takes_too_long_is_not_waited_for_and_not_called_again() -> None:
    slow = feature(version="1", lookback=0, columns=("slow",))(sleeps)
    one = BARS.filter(symbol="A")
    try:
        with pytest.raises(PluginError, match=r"slow 1 takes more than 0\.05 s for 300 bars"):
            calling.called(slow, one, seconds=0.05)
        with pytest.raises(PluginError, match="and is not called again"):
            calling.called(slow, one, seconds=0.05)
    finally:
        calling._HANGING.clear()


def test_a_plug_in_cannot_change_the_bars_of_others() -> None:
    def greedy(bars: pl.DataFrame) -> pl.DataFrame:
        made = bars.select(own=CLOSE)
        for name in ("close", "volume", "bar_volatility"):
            bars.drop_in_place(name)
        return made

    wild = feature(version="1", lookback=0, columns=("own",))(greedy)
    found = features_with(BARS, (wild, plugin(pl.col("close"), name="mild")))
    assert_frame_equal(found.select(own="mild"), found.select("own"))


@pytest.mark.parametrize("name", ["rsi", "close", "label", "weekday_effect", "raw_up", "inputs", "scorable"])
def test_a_name_that_is_ours_is_refused(name: str) -> None:
    with pytest.raises(PluginError, match=f"the column {name} of the plug-in {name} 1 has a name that"):
        columns_of((plugin(CLOSE, name=name),))


def test_a_leaking_one_is_refused_with_its_column_and_bar(site: Site) -> None:
    tomorrow = plugin(pl.col("log_return").shift(-1).fill_null(0.0), name="tomorrow")
    with pytest.raises(PluginError, match=r"tomorrow 1 is refused \(truncation\): the column tomorrow of A 1d at 2015"):
        refuse_unsafe((plugin(CLOSE), tomorrow), BARS)
    short = plugin(CLOSE.rolling_mean(30).fill_null(0.0), lookback=10)
    with pytest.raises(PluginError, match=r"\(stream parity\).*looks back further than it declares"):
        refuse_unsafe((short,), BARS)
    site.documented("my_features")
    refuse_unsafe(installed.features(()), BARS)
    refuse_unsafe(installed.features(()), packaged_bars())
