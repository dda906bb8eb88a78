"""A value that takes long and may be a little old."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Barrier, Thread

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
