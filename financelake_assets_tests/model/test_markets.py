"""Markets: which there are, which the settings want, and how far one is from its first training."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from financelake_assets.config import ModelSettings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.intervals import BAR_LENGTHS
from financelake_assets.model.features import LOOKBACK
from financelake_assets.model.markets import (
    FURTHER,
    NAME,
    Market,
    Series,
    asked,
    at_most_labelled,
    every,
    in_words,
    named,
    of_interval,
    of_training,
    of_version,
    progress,
    time_to_go,
    version_prefix,
    wanted,
)

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
FIVE = timedelta(minutes=5)
SETTINGS = ModelSettings()


def series(labelled: int, newest: datetime = NOW, spacing: timedelta = FIVE) -> Series:
    """A series with so many bars that can be labelled."""
    return Series(labelled + LOOKBACK + 1, newest, spacing)


def test_every_interval_of_bars_is_a_market_and_the_short_bars_come_first():
    assert [market.name for market in every(SETTINGS)] == list(BAR_LENGTHS)
    assert sorted([Market("1d"), Market("1m"), Market("3d")], key=lambda one: one.order) == [
        *(Market("1m"), Market("1d")),
        Market("3d"),  # of an older release
    ]


@pytest.mark.parametrize(("spelling", "interval"), [("5min", "5m"), ("60m", "1h"), (" 1d ", "1d")])
def test_a_user_names_a_market_in_any_spelling(spelling: str, interval: str):
    assert named(spelling) == Market(interval)


@pytest.mark.parametrize("spelling", ["tick", "7m", ""])
def test_what_is_no_interval_of_bars_is_refused_with_those_there_are(spelling: str):
    with pytest.raises(FinanceLakeError, match="no interval of bars") as raised:
        named(spelling)
    assert "1m, 2m" in (raised.value.remedy or "")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ["1m", "5m", "1d"]),
        ({"intervals": ["1d", "5min"]}, ["5m", "1d"]),
        ({"skipped_intervals": ["1m"]}, ["5m", "1d"]),
        ({"intervals": ["1d", "5m"], "skipped_intervals": ["5m"]}, ["1d"]),
        ({"intervals": ["1h"]}, []),
    ],
)
def test_settings_name_limit_and_switch_off_markets(settings: dict[str, list[str]], expected: list[str]):
    there = [Market("1d"), Market("1m"), Market("5m")]
    assert [market.name for market in wanted(ModelSettings.model_validate(settings), there)] == expected


def test_each_interval_has_a_market_for_each_further_horizon_behind_that_of_the_signals():
    settings = ModelSettings(further_horizons=(20, 5, 20))
    assert settings.further_horizons == (5, 20)
    assert [market.name for market in of_interval("1d", settings)] == ["1d", "1d+5", "1d+20"]
    assert every(settings) == tuple(market for interval in BAR_LENGTHS for market in of_interval(interval, settings))
    there = [Market("1d", 20), Market("1d", 7), Market("1d"), Market("5m", 5), Market("1d", 5)]
    assert [one.name for one in wanted(settings, there)] == ["5m+5", "1d", "1d+5", "1d+20"], "nobody wants 1d+7"
    assert [one.name for one in wanted(SETTINGS, there)] == ["1d"]


@pytest.mark.parametrize("wrong", [{"further_horizons": [1]}, {"horizon": 5, "further_horizons": [20, 5]}])
def test_the_horizon_of_the_signals_is_no_further_one(wrong: dict[str, object]):
    with pytest.raises(ValidationError, match="which is the horizon"):
        ModelSettings.model_validate(wrong)


@pytest.mark.parametrize("horizons", [[0], [-5], [251], [2.5], ["a"]])
def test_a_further_horizon_is_a_number_of_bars(horizons: list[object]):
    with pytest.raises(ValidationError):
        ModelSettings.model_validate({"further_horizons": horizons})


def test_a_market_trains_with_its_own_horizon_and_all_other_settings_of_the_lake():
    lake = ModelSettings(horizon=2, further_horizons=(5,), trees=7)
    first, further = (Market("5m", ahead).settings(lake, folds=3) for ahead in (None, 5))
    assert (first.interval, first.horizon, first.folds, first.trees) == ("5m", 2, 3, 7)
    assert (further.interval, further.horizon, further.folds, further.trees) == ("5m", 5, 3, 7)
    assert [of_training(used, lake) for used in (first, further)] == [Market("5m"), Market("5m", 5)]
    assert further.of_the_forest() == ModelSettings(interval="5m", horizon=5, trees=7).of_the_forest()
    assert Market("5m").settings(lake, horizon=3).horizon == 3
    with pytest.raises(ValidationError, match="which is the horizon"):
        Market("5m").settings(lake, horizon=5)


_MARKETS = st.builds(Market, st.sampled_from(list(BAR_LENGTHS)), st.none() | st.integers(1, 250))


@given(_MARKETS, st.from_regex("[a-z0-9]+(-[a-z0-9]+)*", fullmatch=True))
def test_the_name_of_a_version_tells_its_market(market: Market, learner: str):
    assert named(market.name) == market
    version, horizon = f"{version_prefix(learner, market)}-20260601t120000-ab12", market.further or 3
    assert of_version(version, market.interval, horizon) == market
    row = pl.DataFrame({"model_version": version, "interval": market.interval, "horizon": horizon})
    assert row.select(NAME.alias("name"), FURTHER.alias("further")).row(0) == (market.name, market.further is not None)


@pytest.mark.parametrize("text", ["1d+", "1d+0", "1d+x", "1d+-5", "1d+5+5"])
def test_what_is_no_number_of_bars_ahead_is_refused(text: str):
    with pytest.raises(FinanceLakeError, match="no number of bars"):
        named(text)


def test_only_a_horizon_of_the_settings_can_be_trained():
    assert asked("1day+5", ModelSettings(further_horizons=(5,))) == Market("1d", 5)
    with pytest.raises(FinanceLakeError, match="7 is none of the further horizons"):
        asked("1d+7", ModelSettings(further_horizons=(5,)))


@pytest.mark.parametrize("field", ["intervals", "skipped_intervals"])
def test_a_setting_that_names_no_interval_is_refused(field: str):
    with pytest.raises(ValidationError, match="'7m' is no interval of bars; there are 1m, 2m"):
        ModelSettings.model_validate({field: ["7m"]})


def test_which_intervals_have_a_model_makes_no_other_strategy():
    several = ModelSettings(intervals=("5m",), skipped_intervals=("1m",), further_horizons=(5,))
    assert several.of_the_forest() == SETTINGS.of_the_forest()


def test_progress_says_how_many_labelled_bars_there_are_and_how_long_it_takes():
    words = "312 of 500 labelled bars; about 16 hours to go"
    assert progress([series(312)], 312, SETTINGS, Market("5m"), NOW) == words


def test_the_last_labels_of_a_further_horizon_come_later():
    whole, further = [series(0)], ModelSettings(further_horizons=(250,), min_rows=50)
    assert progress(whole, 0, further, Market("5m"), NOW).endswith("about 4 hours to go")  # 50 bars
    assert progress(whole, 0, further, Market("5m", 250), NOW).endswith("about 25 hours to go")  # 299 bars


@pytest.mark.parametrize(
    ("several", "labelled", "words"),
    [
        ([series(312), series(0, NOW - timedelta(days=30))], 312, "about 16 hours"),  # the dead series adds nothing
        ([series(156), series(156)], 312, "about 8 hours"),
        ([series(0)], 0, "about 2 days"),
        ([series(-40)], 0, "about 2 days"),  # forty bars more until the first label
        ([series(312, spacing=4 * FIVE)], 312, "about 3 days"),  # its market is closed most of the day
        ([series(498)], 498, "about 10 minutes"),
        ([series(499)], 499, "about 5 minutes"),
    ],
)
def test_the_time_to_go_follows_the_bars_that_still_come(several: list[Series], labelled: int, words: str):
    assert progress(several, labelled, SETTINGS, Market("5m"), NOW).endswith(f"; {words} to go")


def test_a_market_whose_bars_have_ended_gets_no_promise():
    ended = series(312, datetime(2024, 5, 1, 16, tzinfo=UTC))
    assert (
        progress([ended], 312, SETTINGS, Market("5m"), NOW)
        == "312 of 500 labelled bars; no bar came since 2024-05-01 16:00 UTC"
    )
    assert progress([], 0, SETTINGS, Market("5m"), NOW) == "0 of 500 labelled bars; there are no bars of 5m"


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(seconds=20), "1 minute"),
        (timedelta(minutes=89), "89 minutes"),
        (timedelta(hours=16), "16 hours"),
        (timedelta(days=3), "3 days"),
        (timedelta(days=61), "2 months"),
        (timedelta(days=800), "2 years"),
    ],
)
def test_a_length_of_time_is_said_in_one_unit(length: timedelta, words: str):
    assert in_words(length) == words


@given(st.lists(st.integers(0, 700), min_size=1, max_size=5), st.integers(1, 600), st.integers(1, 5))
def test_after_the_time_to_go_there_are_enough_bars_and_a_step_before_there_are_not(
    bars: list[int], needed: int, horizon: int
):
    def labelled(steps: int) -> int:
        return sum(at_most_labelled(one + steps, horizon) for one in bars)

    missing = needed - labelled(0)
    left = time_to_go([Series(one, NOW, FIVE) for one in bars], labelled(0), needed, horizon, FIVE, NOW)
    assert left is not None
    steps = left // FIVE
    assert labelled(steps) >= needed
    assert missing <= 0 or labelled(steps - 1) < needed
