from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from financelake_assets.providers.base import ProviderError
from financelake_assets.providers.courtesy import Courtesy, PassingError, UnavailableError


def _courtesy(waits: list[float], **more: int) -> Courtesy:
    return Courtesy("the server", per_minute=100_000, sleep=waits.append, **more)  # type: ignore[arg-type]


class Server:
    """Fails as often as told, then answers."""

    def __init__(self, failures: int, error: type[Exception] = PassingError) -> None:
        self.failures, self.asked, self.error = failures, 0, error

    def __call__(self) -> str:
        self.asked += 1
        if self.asked <= self.failures:
            raise self.error("failed")
        return "answer"


def test_a_passing_failure_is_asked_again_after_waits_that_grow() -> None:
    waits: list[float] = []
    server = Server(4)
    assert _courtesy(waits).call(server) == "answer"
    assert server.asked == 5
    assert [base <= wait <= base + 1 for base, wait in zip((1, 2, 4, 8), waits, strict=True)] == [True] * 4
    assert len({wait % 1 for wait in waits}) == 4, "with jitter, so that many do not come back at once"


def test_a_server_that_says_when_is_asked_then_within_reason() -> None:
    waits: list[float] = []
    wishes = iter((7.0, 0.0, 86_400.0))

    def asked() -> str:
        for wish in wishes:
            raise PassingError("too many requests", wish)
        return "answer"

    assert _courtesy(waits).call(asked) == "answer"
    assert waits[0] == 7
    assert 2 <= waits[1] <= 3, "its own wait is longer"
    assert waits[2] == 300


def test_the_last_failure_is_raised_when_attempts_are_used_up() -> None:
    server = Server(100)
    with pytest.raises(PassingError, match="failed"):
        _courtesy([], attempts=3).call(server)
    assert server.asked == 3


def test_a_lasting_failure_is_not_asked_again() -> None:
    server = Server(100, ProviderError)
    with pytest.raises(ProviderError):
        _courtesy([]).call(server)
    assert server.asked == 1


def test_a_server_that_keeps_failing_is_left_alone_by_everybody() -> None:
    courtesy, server = _courtesy([], attempts=3, failures=4), Server(100)
    with pytest.raises(PassingError):
        courtesy.call(server)
    with pytest.raises(UnavailableError, match="the server has failed 4 times in a row"):
        courtesy.call(server)
    other = Server(0)
    with pytest.raises(UnavailableError):
        courtesy.call(other)
    assert (server.asked, other.asked) == (4, 0)


def test_what_is_wrong_with_the_question_does_not_count_against_the_server() -> None:
    courtesy = _courtesy([], failures=2)
    for _ in range(5):
        with pytest.raises(ProviderError):
            courtesy.call(Server(1, ProviderError))
    assert courtesy.call(Server(0)) == "answer"


def _asked(folder: Path) -> int:
    return Courtesy("the server", per_minute=6, folder=folder).call(lambda: 1)


def test_requests_of_all_threads_and_processes_together_are_limited(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as threads:
        courtesy = Courtesy("the server", per_minute=6, folder=tmp_path)
        assert sum(threads.map(lambda _: courtesy.call(lambda: 1), range(3))) == 3
    with ProcessPoolExecutor(3, multiprocessing.get_context("spawn")) as processes:
        assert sum(processes.map(_asked, [tmp_path] * 3)) == 3
    assert not courtesy._limiter.try_acquire("the server", timeout=0.1)
