"""Champions: each market has its own, whatever happens to the others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.config import ModelSettings
from financelake_assets.model.champions import champions_of, leading, newest_of, serving, with_status
from financelake_assets.model.markets import Market
from financelake_assets.model.record import Status
from financelake_assets_tests.model.records import record

DAILY, FIVE = Market("1d"), Market("5m")


def test_the_champion_of_a_market_is_the_version_of_it_that_was_promoted_last():
    versions = [record("a", promoted=1), record("b", "5m", promoted=2), record("c", promoted=3), record("d")]
    assert {market.name: one.model_version for market, one in champions_of(versions).items()} == {"1d": "c", "5m": "b"}
    assert champions_of([record("d")]) == {}


def test_the_newest_version_of_a_market_counts_also_when_it_was_not_promoted():
    versions = [record("a", promoted=1, trained=1), record("b", trained=2), record("c", "5m", trained=0)]
    assert {market: one.model_version for market, one in newest_of(versions).items()} == {DAILY: "b", FIVE: "c"}


def test_a_market_that_is_switched_off_is_not_served():
    versions = [record("a", promoted=1), record("b", "5m", promoted=2), record("c", "1m", promoted=3)]
    assert list(serving(versions, ModelSettings())) == [Market("1m"), FIVE, DAILY]
    assert list(serving(versions, ModelSettings(skipped_intervals=("5m",)))) == [Market("1m"), DAILY]
    assert list(serving(versions, ModelSettings(intervals=("5m",)))) == [FIVE]


def test_the_leading_champion_is_that_of_the_settings_or_the_last_one():
    versions = [record("a", promoted=1), record("b", "5m", promoted=2)]
    assert (leading(versions, ModelSettings()) or versions[1]).model_version == "a"
    assert (leading(versions, ModelSettings(interval="1h")) or versions[0]).model_version == "b"
    assert leading([], ModelSettings()) is None


def test_each_horizon_has_its_own_champion_and_only_one_of_signals_leads():
    several = ModelSettings(further_horizons=(5,))
    first, further = record("a", promoted=1), record("rf+5-b", promoted=2, horizon=5)
    versions = [first, further, record("rf+5-c", promoted=3, horizon=5), record("d", promoted=None, trained=9)]
    found = {market.name: one.model_version for market, one in champions_of(versions).items()}
    assert found == {"1d": "a", "1d+5": "rf+5-c"}
    assert [one.status for one in with_status(versions[:3])] == [Status.CHAMPION, Status.RETIRED, Status.CHAMPION]
    assert list(serving(versions, several)) == [DAILY, Market("1d", 5)]
    assert list(serving(versions, ModelSettings())) == [DAILY], "the settings ask for no further horizon any more"
    assert (leading(versions, several) or further).model_version == "a"
    assert leading([further], several) is None, "no signal comes from it"


def test_a_version_of_an_earlier_release_is_of_the_market_of_the_signals_whatever_its_horizon():
    versions = [record("rf-20260101t000000-ab12", promoted=1, horizon=5)]
    assert list(champions_of(versions)) == [DAILY]
    assert list(serving(versions, ModelSettings(further_horizons=(5,)))) == [DAILY]


def test_a_registry_of_an_earlier_release_gets_a_champion_for_each_interval():
    """It had one champion for all intervals, and retired the daily one for that of hours."""
    daily = record("a", promoted=1, status=Status.RETIRED, status_reason="replaced by b")
    versions = with_status([daily, record("b", "1h", promoted=2), record("c")])
    assert [one.status for one in versions] == [Status.CHAMPION, Status.CHAMPION, Status.CHALLENGER]


def test_two_champions_that_a_killed_process_left_are_one():
    versions = with_status([record("a", promoted=1), record("b", promoted=2)])
    assert [one.status for one in versions] == [Status.RETIRED, Status.CHAMPION]


_PROMOTIONS = st.lists(st.tuples(st.sampled_from(["1m", "5m", "1d"]), st.integers(0, 50)), max_size=8)


@given(_PROMOTIONS, st.sampled_from(["1m", "5m", "1d"]))
def test_a_promotion_in_one_market_changes_no_other(history: list[tuple[str, int]], interval: str):
    versions = [record(f"v{number}", one, promoted=at) for number, (one, at) in enumerate(history)]
    before, after = champions_of(versions), champions_of([*versions, record("new", interval, promoted=99)])
    assert after.pop(Market(interval)).model_version == "new"
    before.pop(Market(interval), None)
    assert before == after
