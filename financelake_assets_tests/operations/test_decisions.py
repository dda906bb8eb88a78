"""The sensors' decisions, with literals."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.bronze.offsets import lag
from financelake_assets.config import ModelSettings, StreamSettings
from financelake_assets.operations.decisions import (
    Backlog,
    LakeState,
    MarketState,
    arrivals,
    catch_up_due,
    next_training,
    nothing_to_train,
    training_due,
)

SETTINGS = ModelSettings(min_rows=500, retrain_rows=1_000)
LAKE = LakeState(silver_rows=10_000, lag=0, loading_history=False, in_flight=False)
READY = MarketState(
    labelled=500,
    progress="500 of 500 labelled bars",
    loading=False,
    new_rows=10_000,
    trained_days=None,
    failures=0,
    seconds_since_failure=0.0,
)
TRAINED = replace(READY, labelled=None, trained_days=0.0, new_rows=0)


def test_a_first_look_counts_what_the_topics_hold():
    now = {"bronze.stock": {0: (0, 5), 1: (3, 10)}, "bronze.crypto": {0: (0, 0)}}
    assert arrivals({}, now).messages == {"bronze.stock": 12}


def test_only_what_is_new_counts():
    seen = {"bronze.stock": {0: 5, 1: 10}}
    assert arrivals(seen, {"bronze.stock": {0: (0, 5), 1: (0, 12)}}).messages == {"bronze.stock": 2}


def test_nothing_new_is_nothing():
    assert arrivals({"t": {0: 5}}, {"t": {0: (0, 5)}}).messages == {}


def test_messages_expired_before_they_were_seen_do_not_count():
    assert arrivals({"t": {0: 5}}, {"t": {0: (8, 10)}}).messages == {"t": 2}


def test_a_recreated_topic_is_new_as_a_whole_and_said():
    result = arrivals({"t": {0: 50}}, {"t": {0: (0, 7)}})
    assert result.messages == {"t": 7}
    assert "recreated" in result.notes[0]


def test_a_partition_that_was_added_is_said():
    result = arrivals({"t": {0: 5}}, {"t": {0: (0, 5), 1: (0, 4)}})
    assert result.messages == {"t": 4}
    assert "new partition 1" in result.notes[0]


def test_lag_of_a_consumer_that_never_ran_is_what_the_topic_holds():
    assert lag({}, {"t": {0: (2, 9)}}) == {"t": {0: 7}}


def test_lag_never_goes_below_zero():
    assert lag({"t": {0: 12}}, {"t": {0: (0, 9)}}) == {"t": {0: 0}}


offsets = st.integers(min_value=0, max_value=10_000)


@given(seen=offsets, low=offsets, grown=offsets)
def test_arrivals_and_lag_agree_for_a_consumer_at_the_cursor(seen: int, low: int, grown: int):
    high = max(seen, low) + grown
    marks = {"t": {0: (low, high)}}
    at_cursor = {"t": {0: seen}}
    assert arrivals(at_cursor, marks).messages.get("t", 0) == lag(at_cursor, marks)["t"][0]


def test_the_first_training_is_due_when_the_history_is_in_silver():
    decision = training_due(READY, SETTINGS)
    assert decision.due
    assert "no champion" in decision.why


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"in_flight": True}, "a training is running"),
        ({"loading_history": True}, "the history is being loaded"),
        ({"lag": 201}, "silver is 201 messages behind"),
        ({"lag": 200}, None),
    ],
)
def test_no_market_is_trained_while_the_lake_is_not_ready(change: dict[str, object], why: str | None):
    assert nothing_to_train(replace(LAKE, **change)) == why


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"loading": True}, "its history is being loaded"),
        ({"labelled": 499, "progress": "499 of 500 labelled bars; about 5 minutes to go"}, "about 5 minutes to go"),
        ({"labelled": None, "trained_days": 0.0, "new_rows": 999}, "999 new bars"),
        ({"failures": 1, "seconds_since_failure": 59.0}, "1 trainings failed"),
        ({"failures": 3, "seconds_since_failure": 239.0}, "the next starts in 1 s"),
    ],
)
def test_training_waits_and_says_for_what(change: dict[str, object], why: str):
    decision = training_due(replace(READY, **change), SETTINGS)
    assert not decision.due
    assert why in decision.why


@pytest.mark.parametrize(
    "state",
    [READY, replace(TRAINED, new_rows=1_000), replace(READY, failures=1, seconds_since_failure=60.0)],
)
def test_training_is_due_at_the_edge(state: MarketState):
    assert training_due(state, SETTINGS).due


@given(failures=st.integers(1, 1_000), waited=st.floats(0, 1e6))
def test_failures_are_retried_but_never_at_once(failures: int, waited: float):
    state = replace(READY, failures=failures, seconds_since_failure=waited)
    if waited < 60:
        assert not training_due(state, SETTINGS).due
    if waited > 30 * 2**8:
        assert training_due(state, SETTINGS).due


def test_drift_makes_a_training_due_earlier_but_not_at_once():
    settings = ModelSettings()
    drifted = replace(TRAINED, drift="drift: 30% of the features have shifted")
    early = replace(drifted, new_rows=settings.retrain_rows // 10)
    assert training_due(early, settings).due
    assert "drift" in training_due(early, settings).why
    assert not training_due(replace(early, new_rows=early.new_rows - 1), settings).due
    assert not training_due(replace(early, drift=None), settings).due


def test_a_champion_of_an_earlier_release_is_replaced_without_waiting_for_new_rows():
    assert not training_due(TRAINED, SETTINGS).due
    decision = training_due(replace(TRAINED, outdated=True), SETTINGS)
    assert (decision.due, decision.why) == (
        True,
        "the lake cannot score with the champion: an earlier release or other plug-ins made it",
    )


def test_the_market_without_a_model_is_trained_first_then_the_one_that_waited_longest():
    old, older = replace(TRAINED, trained_days=40.0, new_rows=9), replace(TRAINED, trained_days=50.0, new_rows=9)
    assert next_training({"1d": old, "5m": READY, "1h": older}, SETTINGS) == ("5m", "no champion yet; 10000 bars")
    assert next_training({"1d": old, "1h": older}, SETTINGS)[0] == "1h"


def test_a_market_whose_training_fails_holds_up_no_other():
    broken = replace(READY, failures=2, seconds_since_failure=1.0)
    assert next_training({"1d": replace(TRAINED, new_rows=5_000), "5m": broken}, SETTINGS)[0] == "1d"


def test_what_no_market_is_due_for_is_said_of_each():
    waiting = replace(READY, labelled=312, progress="312 of 500 labelled bars; about 16 hours to go")
    market, why = next_training({"5m": waiting, "1d": TRAINED}, SETTINGS)
    assert market is None
    assert why == (
        "5m: 312 of 500 labelled bars; about 16 hours to go; 1d: 0 new bars; training at 1000, or after 30 days"
    )
    assert next_training({}, SETTINGS) == (None, "no bars yet")


ON_DEMAND = StreamSettings(continuous=False, start_messages=100, start_seconds=60)
WAITING = Backlog(messages=1, commits=0, seconds=0.0, in_flight=False, failures=0, seconds_since_failure=0.0)


@pytest.mark.parametrize(
    ("change", "due", "words"),
    [
        ({}, False, "start at 100 messages or in 60 s"),
        ({"messages": 99, "seconds": 59.9}, False, "start at 100 messages or in 0 s"),
        ({"messages": 100}, True, "100 messages"),
        ({"seconds": 60.0}, True, "1 messages"),
        ({"messages": 0, "seconds": 60.0}, False, "nothing waits"),
        ({"messages": 0, "commits": 3, "seconds": 60.0}, True, "3 commits"),
        ({"messages": 10**9, "in_flight": True}, False, "a run processes them"),
        (
            {"messages": 100, "failures": 1, "seconds_since_failure": 59.0},
            False,
            "1 runs failed, the next starts in 1 s",
        ),
        ({"messages": 100, "failures": 1, "seconds_since_failure": 60.0}, True, "100 messages"),
        ({"messages": 100, "failures": 99, "seconds_since_failure": 7_679.0}, False, "the next starts in 1 s"),
    ],
)
def test_many_messages_start_the_queries_at_once_and_few_after_a_while(change, due, words):
    decision = catch_up_due(replace(WAITING, **change), ON_DEMAND)
    assert decision.due == due
    assert words in decision.why


@given(st.integers(0, 10**9), st.integers(0, 10**6), st.floats(0, 1e6), st.floats(0, 1e6))
def test_what_is_due_stays_due_when_more_waits_or_waits_longer(messages, commits, seconds, longer):
    backlog = replace(WAITING, messages=messages, commits=commits, seconds=seconds)
    if catch_up_due(backlog, ON_DEMAND).due:
        assert catch_up_due(replace(backlog, messages=messages + 1, seconds=seconds + longer), ON_DEMAND).due


def test_age_makes_a_training_due_long_before_enough_rows_have_come_and_before_the_champion_expires():
    settings = ModelSettings()
    # nine symbols of daily bars: 30 days are some 200 rows, and 5,000 would be 555 days
    month = replace(TRAINED, new_rows=190, trained_days=settings.trains_after_days)
    decision = training_due(month, settings)
    assert decision.due
    assert "30 days ago; 190 new bars" in decision.why
    assert settings.trains_after_days < settings.max_age_days
    assert not training_due(replace(month, trained_days=29.9), settings).due
    assert not training_due(replace(month, new_rows=0), settings).due  # nothing new to learn


@given(st.floats(0, 200), st.integers(0, 4_000))
def test_a_lake_with_new_rows_is_never_left_until_its_champion_expires(age: float, new: int):
    settings = ModelSettings()
    state = replace(TRAINED, new_rows=new, trained_days=age)
    assert training_due(state, settings).due == (new > 0 and age >= settings.trains_after_days)


def test_a_model_must_be_trained_again_before_it_expires():
    with pytest.raises(ValueError, match="must be below max_age_days"):
        ModelSettings(retrain_days=90, max_age_days=90)
    assert ModelSettings(max_age_days=10).trains_after_days < 10
