"""Waits that end at a commit, and what is left where the system does not tell of one."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Event, Thread

import pytest
from watchdog.observers import Observer

from financelake_assets.config import Settings
from financelake_assets.gold.schema import SIGNALS
from financelake_assets.silver.schema import BARS
from financelake_assets.storage import log_events
from financelake_assets.storage.log_events import LogEvents
from financelake_assets_tests.dash_app import written

LONG = 60.0
"""Nothing waits so long: a wait that nobody ends makes a test fail by its time-out, not by a clock."""


def commit(lake: Settings, day: int) -> None:
    written.write_bars(lake, written.bars(("AAPL",), day, count=3))


def test_a_commit_ends_the_wait_also_the_first_one_of_a_table(offline_lake: Settings) -> None:
    with LogEvents((BARS,), offline_lake) as events:
        for day in (1, 20):
            commit(offline_lake, day)
            begun = time.monotonic()
            events.wait(LONG)
            assert time.monotonic() - begun < LONG / 2


def test_what_another_table_gets_and_who_reads_ends_no_wait(offline_lake: Settings) -> None:
    commit(offline_lake, 1)
    seen: list[str] = []

    class Counting(LogEvents):
        def on_any_event(self, event: object) -> None:
            seen.append(str(event))

    with Counting((SIGNALS, BARS), offline_lake):
        for file in Path(BARS.path(offline_lake)).rglob("*.*"):
            if file.is_file():
                file.read_bytes()
        begun = len(seen)
        commit(offline_lake, 20)
        while len(seen) == begun:
            time.sleep(0.01)
    assert not any("Opened" in one or "Closed" in one for one in seen)


def test_a_wait_can_be_ended_from_another_thread(offline_lake: Settings) -> None:
    done = Event()
    with LogEvents((BARS,), offline_lake) as events:
        thread = Thread(target=lambda: (events.wait(LONG), done.set()))
        thread.start()
        events.wake()
        assert done.wait(LONG / 2)
        thread.join()


def test_where_the_system_tells_nothing_the_tables_are_looked_at(
    offline_lake: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_more_watches(_: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(Observer, "start", no_more_watches)
    with LogEvents((BARS,), offline_lake) as events:
        events.wait(0.01)
        begun = time.monotonic()
        events.wait()
        assert time.monotonic() - begun < LONG / 2
    assert "inotify watch limit reached" in caplog.text


def test_the_system_is_asked_again_where_a_folder_could_not_be_made(
    offline_lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a page that reads a lake which it may not write, and that is older than the first table."""
    made = Path.mkdir

    def read_only(_: Path, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", read_only)
    monkeypatch.setattr(log_events, "_AGAIN_SECONDS", 0.0)
    with LogEvents((BARS,), offline_lake) as events:
        monkeypatch.setattr(Path, "mkdir", made)
        events.wait(0.01)
        commit(offline_lake, 1)
        begun = time.monotonic()
        events.wait(LONG)
        assert time.monotonic() - begun < LONG / 2
