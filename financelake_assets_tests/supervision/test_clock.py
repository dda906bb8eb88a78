"""The clock set back and forward: noticed, and nothing is deleted or left waiting for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from financelake_assets.config import Settings
from financelake_assets.streams.failures import Failure
from financelake_assets.supervision import clock
from financelake_assets.supervision.processes import ProcessState
from financelake_assets.supervision.watchdog import PATIENCE, STARTING_SECONDS, Action, ProcessHealth, judge

DAY = 86_400.0
RUNNING = ProcessState("spark", "RUNNING", 41, 1_000_000.0, "pid 41")


class Machine:
    """A machine whose clock can be set."""

    def __init__(self, folder: Path) -> None:
        self.lake = Settings(data_dir=folder)
        self.day, self.up, self.start = 1_000_000.0, 500.0, "first"

    def run(self, seconds: float) -> None:
        self.day, self.up = self.day + seconds, self.up + seconds

    def look(self) -> clock.Clock:
        return clock.look(self.lake, lambda: self.day, lambda: self.up, lambda: self.start)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("by", [-DAY, 8 * DAY, -120.0, 120.0])
def test_a_clock_that_was_set_is_noticed_until_long_enough_ago_by_the_other_clock(machine: Machine, by: float):
    machine.look()
    machine.run(100)
    assert not machine.look().moved_within(DAY)
    machine.day += by
    machine.run(3)
    found = machine.look()
    assert found.moved_by == pytest.approx(by)
    for _ in range(10):
        machine.run(8_000)
        found = machine.look()
    assert found.moved_within(DAY)
    machine.run(8_000)
    assert not machine.look().moved_within(DAY)


def test_a_time_servers_corrections_and_sleep_are_no_jumps(machine: Machine):
    for _ in range(50):
        machine.run(3_600)
        machine.day += 2.0
        assert machine.look().moved_at is None


def test_a_restart_of_the_machine_is_no_jump_but_a_time_before_the_last_look_is(machine: Machine):
    machine.look()
    machine.start, machine.up, machine.day = "second", 5.0, machine.day + 30 * DAY
    assert machine.look().moved_at is None
    machine.start, machine.up, machine.day = "third", 5.0, machine.day - DAY
    assert machine.look().moved_by == -DAY


@pytest.mark.parametrize("text", ["", "{", '{"start": 1}', "[]"])
def test_a_damaged_note_counts_as_none(machine: Machine, text: str):
    machine.look()
    (machine.lake.run_dir / "clock.json").write_text(text)
    assert machine.look().moved_at is None
    assert machine.look().moved_at is None


def test_the_real_clocks_can_be_compared(tmp_path: Path):
    lake = Settings(data_dir=tmp_path)
    assert clock.look(lake).moved_at is None
    assert clock.look(lake).moved_at is None


def test_a_hung_process_is_restarted_though_the_clock_was_set_back_a_day():
    yesterday = RUNNING.started_at - DAY
    health = ProcessHealth(acted_at=RUNNING.started_at, in_a_row=3)
    for _ in range(PATIENCE - 1):
        health, action = judge(health, RUNNING, "no answer", yesterday)
        assert action is Action.NOTHING
    assert judge(health, RUNNING, "no answer", yesterday)[1] is Action.RESTART


def test_a_process_that_was_given_up_is_started_though_the_clock_was_set_back_a_day():
    given_up = replace(RUNNING, state="FATAL", pid=0)
    health = ProcessHealth(acted_at=RUNNING.started_at, in_a_row=3)
    assert judge(health, given_up, None, RUNNING.started_at - DAY)[1] is Action.START
    assert judge(health, given_up, None, RUNNING.started_at + 1)[1] is Action.NOTHING
    assert STARTING_SECONDS < DAY


def test_a_failed_query_does_not_wait_for_a_day_when_the_clock_was_set_back():
    failure = Failure(3, "x", 1_000_000.0)
    assert failure.left(1_000_001.0) == pytest.approx(7.0)
    assert failure.left(1_000_000.0 - DAY) == 0.0
