from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from financelake_assets.config import Settings
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.log_watch import SETTLED_NS, LogWatch

SECOND = 1_000_000_000


@pytest.fixture
def log(offline_lake: Settings) -> Path:
    BARS.ensure(offline_lake)
    return Path(BARS.path(offline_lake), "_delta_log")


def aged(log: Path, nanoseconds: int) -> None:
    """Set when the folder last changed, so many nanoseconds ago."""
    then = time.time_ns() - nanoseconds
    os.utime(log, ns=(then, then))


def test_a_log_that_stands_still_is_read_once(offline_lake: Settings, log: Path):
    aged(log, 10 * SECOND)
    watch = LogWatch(BARS, offline_lake)
    assert [watch.may_have_changed() for _ in range(3)] == [True, False, False]


def test_each_commit_is_seen(offline_lake: Settings, log: Path):
    aged(log, 10 * SECOND)
    watch = LogWatch(BARS, offline_lake)
    for version in range(100, 120):  # the first are there
        while watch.may_have_changed():
            pass
        (log / f"{version:020d}.json").write_text("{}")
        assert watch.may_have_changed()


def test_a_second_commit_within_one_step_of_the_clock_is_seen(offline_lake: Settings, log: Path):
    aged(log, SETTLED_NS // 2)
    watch = LogWatch(BARS, offline_lake)
    watch.may_have_changed()
    stamp = log.stat().st_mtime_ns
    (log / f"{100:020d}.json").write_text("{}")
    os.utime(log, ns=(stamp, stamp))  # as if the clock had not moved
    assert watch.may_have_changed()


def test_a_clock_that_was_set_back_makes_nothing_look_old(offline_lake: Settings, log: Path):
    aged(log, -3600 * SECOND)
    watch = LogWatch(BARS, offline_lake)
    assert [watch.may_have_changed() for _ in range(3)] == [True, True, True]


def test_a_table_that_was_made_again_is_another_one(offline_lake: Settings, log: Path):
    aged(log, 10 * SECOND)
    watch = LogWatch(BARS, offline_lake)
    watch.may_have_changed()
    before = log.stat()
    (log.parent / "kept").mkdir()  # so that the new folder gets another inode
    log.rename(log.parent / "kept" / "log")
    assert watch.may_have_changed(), "a table that is gone is looked for"
    shutil.copytree(log.parent / "kept" / "log", log)
    os.utime(log, ns=(before.st_mtime_ns, before.st_mtime_ns))
    assert watch.may_have_changed()


def test_a_table_that_does_not_exist_is_looked_for_each_time(offline_lake: Settings):
    watch = LogWatch(BARS, offline_lake)
    assert [watch.may_have_changed() for _ in range(3)] == [True, True, True]


def test_in_a_store_each_look_reads_the_log(offline_lake: Settings):
    at = {"url": "s3://lake", "endpoint": "http://127.0.0.1:1", "access_key": "lake", "secret_key": "kept nowhere"}
    watch = LogWatch(BARS, Settings.model_validate({**offline_lake.model_dump(), "store": at}))
    assert [watch.may_have_changed() for _ in range(3)] == [True, True, True]
