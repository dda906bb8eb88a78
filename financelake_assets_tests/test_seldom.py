"""A value that takes long and may be a little old."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Barrier, Event, Thread
from threading import enumerate as enumerate_threads

import pytest

from financelake_assets import seldom
from financelake_assets.seldom import Seldom


class Clock:
    """Time that only the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(seldom.time, "monotonic", lambda: self.now)

    def making(self, value: int, seconds: float) -> Callable[[], int]:
        """A computation that takes so long."""

        def make() -> int:
            self.now += seconds
            return value

        return make


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_what_changed_a_little_waits_for_its_share_of_the_time(clock: Clock) -> None:
    kept: Seldom[int] = Seldom()
    assert kept.of("a", 1, clock.making(1, 0.5)) == 1
    clock.now += 9.9
    assert kept.of("a", 2, clock.making(2, 0.5)) == 1
    clock.now += 0.2
    assert kept.of("a", 2, clock.making(3, 0.5)) == 3


def test_what_did_not_change_is_never_made_again(clock: Clock) -> None:
    kept: Seldom[int] = Seldom()
    kept.of("a", 1, clock.making(1, 0.5))
    clock.now += 1000
    assert kept.of("a", 1, clock.making(2, 0.5)) == 1


def test_what_must_be_new_is_made_at_once(clock: Clock) -> None:
    kept: Seldom[int] = Seldom()
    kept.of("a", 1, clock.making(1, 0.5))
    assert kept.of("b", 1, clock.making(2, 0.5)) == 2


def test_visitors_who_come_at_once_make_it_once() -> None:
    kept: Seldom[int] = Seldom()
    made, together = [], Barrier(8, timeout=10)

    def make() -> int:
        time.sleep(0.05)
        made.append(1)
        return 1

    def visit() -> None:
        together.wait()
        kept.of("a", 1, make)

    threads = [Thread(target=visit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert made == [1]


def test_an_error_is_told_and_tried_again(clock: Clock) -> None:
    kept: Seldom[int] = Seldom()
    with pytest.raises(ZeroDivisionError):
        kept.of("a", 1, lambda: 1 // 0)
    assert kept.of("a", 1, clock.making(2, 0.5)) == 2


def test_beside_nobody_waits_for_a_value_that_is_a_little_old(clock: Clock) -> None:
    kept: Seldom[int] = Seldom(beside=True)
    assert kept.of("a", 1, lambda: 1) == 1
    begun, let = Event(), Event()

    def slowly() -> int:
        begun.set()
        assert let.wait(10)
        return 2

    clock.now += 1
    assert kept.of("a", 2, slowly) == 1
    assert begun.wait(10)
    clock.now += 1000
    assert kept.of("a", 3, clock.making(3, 0.5)) == 1  # one thread is enough
    let.set()
    _joined("seldom")
    assert kept.of("a", 2, clock.making(4, 0.5)) == 2


def test_beside_what_must_be_new_is_waited_for_and_is_not_overwritten_by_what_is_older(clock: Clock) -> None:
    kept: Seldom[int] = Seldom(beside=True)
    kept.of("a", 1, lambda: 1)
    let = Event()
    clock.now += 1
    kept.of("a", 2, lambda: 2 if let.wait(10) else 0)
    assert kept.of("b", 2, lambda: 3) == 3
    let.set()
    _joined("seldom")
    assert kept.of("b", 2, lambda: 4) == 3


def test_beside_an_error_is_logged_and_tried_again_later(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    kept: Seldom[int] = Seldom(beside=True)
    kept.of("a", 1, lambda: 1)
    clock.now += 1
    assert kept.of("a", 2, lambda: 1 // 0) == 1
    _joined("seldom")
    assert "ZeroDivisionError" in caplog.text
    clock.now += 1
    assert kept.of("a", 2, lambda: 2) == 1
    _joined("seldom")
    assert kept.of("a", 2, lambda: 3) == 2


def _joined(name: str) -> None:
    for thread in enumerate_threads():
        if thread.name == name:
            thread.join(10)
