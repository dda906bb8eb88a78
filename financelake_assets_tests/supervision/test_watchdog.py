"""The watchdog's judgement, with literals."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.supervision.processes import ProcessState
from financelake_assets.supervision.watchdog import (
    PATIENCE,
    STARTING_SECONDS,
    WELL_AFTER_SECONDS,
    Action,
    ProcessHealth,
    judge,
)

RUNNING = ProcessState("spark", "RUNNING", 41, 1_000.0, "pid 41")
LATER = 1_000.0 + STARTING_SECONDS + 1


def test_a_process_that_answers_is_left_alone():
    health, action = judge(ProcessHealth(failed_probes=2, problem="hung"), RUNNING, None, LATER)
    assert action is Action.NOTHING
    assert (health.problem, health.failed_probes) == (None, 0)


def test_a_hung_process_is_restarted_after_some_patience():
    health = ProcessHealth()
    for _ in range(PATIENCE - 1):
        health, action = judge(health, RUNNING, "no answer", LATER)
        assert action is Action.NOTHING
    health, action = judge(health, RUNNING, "no answer", LATER)
    assert action is Action.RESTART
    assert health.problem == "no answer"


def test_a_process_that_is_getting_ready_may_be_silent():
    health = ProcessHealth()
    for _ in range(PATIENCE + 1):
        health, action = judge(health, RUNNING, "no answer", 1_000.0 + STARTING_SECONDS - 1)
    assert action is Action.NOTHING
    assert health.problem == "starting: no answer"


@pytest.mark.parametrize("state", ["FATAL", "EXITED", "UNKNOWN"])
def test_one_that_the_supervisor_gave_up_is_started_again(state: str):
    given_up = ProcessState("spark", state, 0, 1_000.0, "Exited too quickly")
    health, action = judge(ProcessHealth(), given_up, "no answer", LATER)
    assert action is Action.START
    assert health.problem == "it stopped: Exited too quickly"


def test_the_back_off_doubles_and_ends():
    given_up = ProcessState("spark", "FATAL", 0, 1_000.0, "Exited too quickly")
    health, now, waits = ProcessHealth(), LATER, []
    for _ in range(8):
        health, action = judge(health, given_up, None, now)
        assert action is Action.START
        waits.append(health.back_off_seconds())
        assert judge(health, given_up, None, now + waits[-1] - 0.1)[1] is Action.NOTHING
        now += waits[-1]
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300]


def test_a_process_that_was_well_for_long_is_forgiven():
    failed = ProcessHealth(in_a_row=4, acted_at=1_000.0)
    soon, _ = judge(failed, RUNNING, None, 1_000.0 + WELL_AFTER_SECONDS - 1)
    late, _ = judge(failed, RUNNING, None, 1_000.0 + WELL_AFTER_SECONDS + 1)
    assert (soon.in_a_row, late.in_a_row) == (4, 0)


def test_what_a_user_stopped_stays_stopped():
    stopped = ProcessState("feed", "STOPPED", 0, 1_000.0, "Nov 25")
    assert judge(ProcessHealth(), stopped, "no answer", LATER)[1] is Action.NOTHING


def test_a_new_process_id_counts_as_a_restart():
    health, _ = judge(ProcessHealth(), RUNNING, None, LATER)
    assert health.restarts == 0
    health, _ = judge(health, replace(RUNNING, pid=42), None, LATER)
    health, _ = judge(health, replace(RUNNING, pid=42), None, LATER)
    assert health.restarts == 1


@given(st.lists(st.tuples(st.sampled_from(["RUNNING", "STARTING", "FATAL", "STOPPED", "BACKOFF"]), st.booleans())))
def test_actions_are_never_closer_than_the_back_off(steps: list[tuple[str, bool]]):
    health, last = ProcessHealth(), None
    for number, (state, answers) in enumerate(steps):
        now = 5_000.0 + 3 * number
        process = ProcessState("spark", state, 41, 1_000.0, "")
        allowed = health.acted_at + health.back_off_seconds()
        health, action = judge(health, process, None if answers else "silent", now)
        if action is not Action.NOTHING:
            assert now >= allowed
            assert last is None or now > last
            last = now
