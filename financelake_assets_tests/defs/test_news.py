"""A tick waits while nothing changes, and no longer."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from deltalake import write_deltalake

from financelake_assets.bronze.feed_state import FeedState, Phase, state_file
from financelake_assets.config import Settings, get_settings
from financelake_assets.defs import news
from financelake_assets.defs.news import News, NewsResource
from financelake_assets.gold.schema import SIGNALS
from financelake_assets.own_process import say
from financelake_assets.storage.log_watch import SETTLED_NS
from financelake_assets.streams.progress import PROGRESS
from financelake_assets_tests.query import rows

LONG = NewsResource(wait_seconds=3600)
"""Longer than a test may take: whoever waits for its end fails."""
SHORT = NewsResource(wait_seconds=1)


@pytest.fixture
def still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A lake in which nothing happens, and whose sensor has looked at all of it."""
    monkeypatch.setenv("FINANCELAKE_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(news, "_NEWS", {})
    monkeypatch.setattr(news, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(news, "_ASK_SECONDS", 0.05)
    get_settings.cache_clear()
    settings = get_settings()
    for spec in (SIGNALS, PROGRESS):
        spec.ensure(settings)
    looked = news._NEWS["one"] = News(settings)
    while looked.arrived():
        threading.Event().wait(2 * SETTLED_NS / 1e9)
    yield settings
    get_settings.cache_clear()


def well() -> bool:
    return True


def in_a_tick(ask: Callable[[], int | None]) -> tuple[threading.Thread, threading.Event]:
    """A tick that waits; the event is set when it has looked around for the first time."""
    waits = threading.Event()

    def calm() -> bool:
        waits.set()
        return True

    tick = threading.Thread(target=LONG.wait, args=("one", calm, ask), daemon=True)
    tick.start()
    return tick, waits


def test_a_first_tick_does_not_wait(still: Settings) -> None:
    LONG.wait("another", calm=pytest.fail)
    assert set(news._NEWS) == {"one", "another"}


def test_in_a_store_no_tick_waits(still: Settings) -> None:
    stored = still.model_copy(update={"store": still.store.model_copy(update={"url": "s3://lake"})})
    found = News(stored)
    assert [found.arrived() for _ in range(3)] == [True, True, True]


def test_without_news_a_tick_goes_on_when_its_time_is_over(still: Settings) -> None:
    asked = itertools.count()
    SHORT.wait("one", calm=well, ask=lambda: next(asked) * 0)
    SHORT.wait("one", calm=well, ask=lambda: next(asked) * 0)
    assert next(asked) > 2, "it looked around all the time"


def test_a_commit_ends_the_wait(still: Settings) -> None:
    SHORT.wait("one", calm=well)
    tick, waits = in_a_tick(ask=lambda: None)
    assert waits.wait(60)
    rows.add(still, 0)
    tick.join(60)
    assert not tick.is_alive()


def test_another_answer_ends_the_wait(still: Settings) -> None:
    answers = iter([1, 1, 1, 2])
    SHORT.wait("one", calm=well, ask=lambda: 1)
    tick, _ = in_a_tick(ask=lambda: next(answers))
    tick.join(60)
    assert not tick.is_alive()
    assert list(answers) == []


def test_the_progress_of_queries_is_no_news(still: Settings) -> None:
    """The sensor that writes it would wake the others for ever."""
    found = news._NEWS["one"]
    assert not found.arrived()
    write_deltalake(PROGRESS.ensure(still), PROGRESS.empty.to_arrow().cast(PROGRESS.schema), mode="append")
    assert not found.arrived()
    write_deltalake(SIGNALS.ensure(still), SIGNALS.empty.to_arrow().cast(SIGNALS.schema), mode="append")
    assert found.arrived()


def test_the_feed_is_news_when_its_phase_changes_and_not_each_time_it_says_so(still: Settings) -> None:
    found = news._NEWS["one"]
    still.run_dir.mkdir(parents=True)
    phases: tuple[Phase, ...] = ("history", "history", "live", "live", "idle")
    arrived = []
    for number, phase in enumerate(phases):
        say(state_file(still), FeedState(phase, "replay", number, 9, f"2026-01-01T00:00:0{number}", 1))
        arrived.append(found.arrived())
    assert arrived == [True, False, True, False, True]


@pytest.mark.parametrize("wrong", [lambda: False, lambda: 1 / 0], ids=["not well", "not to be told"])
def test_a_lake_that_is_not_well_is_looked_after_at_once(still: Settings, wrong: Callable[[], bool]) -> None:
    LONG.wait("one", calm=wrong)
    LONG.wait("one", calm=wrong)
