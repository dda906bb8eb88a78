"""The feed as `up` runs it: a process that is killed, a broker that hangs, dies and loses its topics."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from financelake_assets.bronze.feed_state import read_state, state_file
from financelake_assets.bronze.topics import BRONZE, delete_topics, watermarks
from financelake_assets.config import Settings
from financelake_assets.providers.replay import ReplayProvider
from financelake_assets_tests import shared_servers
from financelake_assets_tests.bronze.feed_process import feed_process, log_of
from financelake_assets_tests.bronze.observed import each_once

pytestmark = pytest.mark.integration

TOTAL = 44_927


def feed(settings: Settings, **more: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """The feed's process; killed at the end if it still runs."""
    return feed_process(settings, "financelake_assets.bronze.feed", **more)


def until(settings: Settings, reached: Callable[[Any], bool], seconds: float = 90) -> None:
    """Wait until the feed's state is as asked."""
    deadline = time.monotonic() + seconds
    while (state := read_state(settings)) is None or not reached(state):
        log = log_of(settings)
        assert time.monotonic() < deadline, f"{state}\n{log.read_text()[-3000:] if log.exists() else ''}"
        time.sleep(0.02)


def idle(settings: Settings) -> None:
    until(settings, lambda state: state.phase == "idle")


def load_name(settings: Settings) -> str:
    return next(ReplayProvider(settings.feed.live_days).history()).identity


def test_history_then_live_then_idle_and_a_term_ends_it_well(bronze_lake: Settings) -> None:
    with feed(bronze_lake, FEED__BARS_PER_SECOND="0") as process:
        idle(bronze_lake)
        assert process.poll() is None, "it stays up when the data has ended"
        state = json.loads(state_file(bronze_lake).read_text())
        assert {"phase": "idle", "provider": "replay", "published": TOTAL, "total": TOTAL}.items() <= state.items()
        process.terminate()
        assert process.wait(120) == 0
    assert each_once(bronze_lake, load_name(bronze_lake), TOTAL)


def test_killed_again_and_again_nothing_is_lost_and_nothing_doubled(bronze_lake: Settings) -> None:
    """SIGKILL at 12 points of the history load and the live part; the positions come from Kafka alone."""
    kills = 0
    while (state := read_state(bronze_lake)) is None or state.phase != "idle":
        with feed(bronze_lake, FEED__BARS_PER_SECOND="1000") as process:
            before = sum(high for parts in watermarks(bronze_lake).values() for _, high in parts.values())
            # let it publish some, more in the big history than in the paced live part
            enough = before + (7_000 if before < 40_000 else 250)
            deadline = time.monotonic() + 300
            while enough < TOTAL or kills < 12:
                now = sum(high for parts in watermarks(bronze_lake).values() for _, high in parts.values())
                if now >= min(enough, TOTAL):
                    break
                assert time.monotonic() < deadline
                time.sleep(0.05)  # the feed wants the processor
            if kills >= 12:
                idle(bronze_lake)
                break
            process.kill()
            kills += 1
        state_file(bronze_lake).unlink(missing_ok=True)  # it must not be what the feed goes on from
    assert kills >= 8
    assert each_once(bronze_lake, load_name(bronze_lake), TOTAL)


def test_terminated_in_the_live_part_it_goes_on_where_it_was(bronze_lake: Settings) -> None:
    with feed(bronze_lake, FEED__BARS_PER_SECOND="100") as process:
        until(bronze_lake, lambda state: state.phase == "live" and state.published > 42_700)
        process.terminate()
        assert process.wait(120) == 0
    with feed(bronze_lake, FEED__BARS_PER_SECOND="0"):
        idle(bronze_lake)
    assert each_once(bronze_lake, load_name(bronze_lake), TOTAL)


def test_a_second_feed_of_the_same_lake_refuses_to_start(bronze_lake: Settings) -> None:
    with feed(bronze_lake) as first:
        until(bronze_lake, lambda state: state.phase == "live")
        with feed(bronze_lake) as second:
            assert second.wait(120) == 3
        assert first.poll() is None


def test_without_a_provider_it_is_idle_at_once_and_needs_no_broker(tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path, "kafka": {"bootstrap": "127.0.0.1:1"}})
    with feed(settings, FEED__PROVIDER="none"):
        until(settings, lambda state: (state.phase, state.total) == ("idle", 0))


# -- faults of the broker, on one of its own ------------------------------------------------------------


def test_the_broker_is_absent_dies_hangs_and_the_feed_goes_on(tmp_path: Path) -> None:
    settings = shared_servers.laptop(tmp_path / "lake")
    with feed(settings, FEED__BARS_PER_SECOND="300"):
        until(settings, lambda state: state.phase == "waiting" and "does not answer" in (state.problem or ""))
        with shared_servers.broker(settings) as broker:
            until(settings, lambda state: state.phase == "live")
            os.killpg(broker, signal.SIGKILL)
        stuck = read_state(settings)
        assert stuck is not None
        until(settings, lambda state: state.problem is not None)
        with shared_servers.broker(settings) as broker:
            until(settings, lambda state: state.published > stuck.published + 300 and state.problem is None)
            os.killpg(broker, signal.SIGSTOP)
            time.sleep(3)  # longer than a request's life in the producer's queue
            os.killpg(broker, signal.SIGCONT)
            idle(settings)
            assert each_once(settings, load_name(settings), TOTAL)


def test_topics_deleted_while_it_plays_are_made_again_and_filled(bronze_lake: Settings) -> None:
    with feed(bronze_lake, FEED__BARS_PER_SECOND="100"):
        until(bronze_lake, lambda state: state.phase == "live" and state.published > 42_700)
        delete_topics(bronze_lake)
        idle(bronze_lake)
    assert set(watermarks(bronze_lake)) == set(BRONZE)
    assert each_once(bronze_lake, load_name(bronze_lake), TOTAL)
