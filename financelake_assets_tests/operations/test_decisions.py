"""The sensors' decisions, with literals."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.bronze.offsets import lag
from financelake_assets.config import ModelSettings, StreamSettings
from financelake_assets.operations.decisions import Backlog, LakeState, arrivals, catch_up_due, training_due

SETTINGS = ModelSettings(min_rows=500, retrain_rows=1_000)
READY = LakeState(
    silver_rows=10_000,
    lag=0,
    loading_history=False,
    trained_rows=None,
    in_flight=False,
    failures=0,
    seconds_since_failure=0.0,
)


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
        ({"in_flight": True}, "is running"),
        ({"loading_history": True}, "being loaded"),
        ({"silver_rows": 499}, "500 are needed"),
        ({"lag": 201}, "201 messages behind"),
        ({"trained_rows": 9_001}, "999 new silver rows"),
        ({"failures": 1, "seconds_since_failure": 59.0}, "1 trainings failed"),
        ({"failures": 3, "seconds_since_failure": 239.0}, "the next starts in 1 s"),
    ],
)
def test_training_waits_and_says_for_what(change: dict[str, object], why: str):
    decision = training_due(replace(READY, **change), SETTINGS)
    assert not decision.due
    assert why in decision.why


@pytest.mark.parametrize(
    "change",
    [{"lag": 200}, {"trained_rows": 9_000}, {"failures": 1, "seconds_since_failure": 60.0}],
)
def test_training_is_due_at_the_edge(change: dict[str, object]):
    assert training_due(replace(READY, **change), SETTINGS).due


@given(failures=st.integers(1, 1_000), waited=st.floats(0, 1e6))
def test_failures_are_retried_but_never_at_once(failures: int, waited: float):
    state = replace(READY, failures=failures, seconds_since_failure=waited)
    if waited < 60:
        assert not training_due(state, SETTINGS).due
    if waited > 30 * 2**8:
        assert training_due(state, SETTINGS).due


def test_drift_makes_a_training_due_earlier_but_not_at_once():
    settings = ModelSettings()
    drifted = replace(READY, trained_rows=50_000, drift="drift: 30% of the features have shifted")
    early = replace(drifted, silver_rows=50_000 + settings.retrain_rows // 10)
    assert training_due(early, settings).due
    assert "drift" in training_due(early, settings).why
    assert not training_due(replace(early, silver_rows=early.silver_rows - 1), settings).due
    assert not training_due(replace(early, drift=None), settings).due


def test_a_champion_of_an_earlier_release_is_replaced_without_waiting_for_new_rows():
    trained = replace(READY, trained_rows=READY.silver_rows)
    assert not training_due(trained, SETTINGS).due
    decision = training_due(replace(trained, outdated=True), SETTINGS)
    assert (decision.due, decision.why) == (True, "the champion is of an earlier release")


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
    month = replace(READY, trained_rows=READY.silver_rows - 190, trained_days=settings.trains_after_days)
    decision = training_due(month, settings)
    assert decision.due
    assert "30 days ago; 190 new silver rows" in decision.why
    assert settings.trains_after_days < settings.max_age_days
    assert not training_due(replace(month, trained_days=29.9), settings).due
    assert not training_due(replace(month, trained_rows=month.silver_rows), settings).due  # nothing new to learn
    assert not training_due(replace(month, lag=500), settings).due


@given(st.floats(0, 200), st.integers(0, 4_000))
def test_a_lake_with_new_rows_is_never_left_until_its_champion_expires(age: float, new: int):
    settings = ModelSettings()
    state = replace(READY, trained_rows=READY.silver_rows - new, trained_days=age)
    assert training_due(state, settings).due == (new > 0 and age >= settings.trains_after_days)


def test_a_model_must_be_trained_again_before_it_expires():
    with pytest.raises(ValueError, match="must be below max_age_days"):
        ModelSettings(retrain_days=90, max_age_days=90)
    assert ModelSettings(max_age_days=10).trains_after_days < 10
