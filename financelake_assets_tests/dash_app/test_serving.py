"""Turns of callbacks, and pulses that wait for news."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from dash_app import server as page
from dash_app import serving
from dash_app.data.lake_reader import LakeReader
from dash_app.server import create_app
from dash_app.serving import Turns
from financelake_assets.config import Settings
from financelake_assets_tests.dash_app import written

CALLBACK = "/_dash-update-component"
LONG = 10.0


class Application:
    """It answers a request when the test lets it, and notes which ran."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.came = threading.Semaphore(0)
        self.may_end: dict[str, threading.Event] = {}

    def __call__(self, environ: WSGIEnvironment, _: StartResponse) -> Iterable[bytes]:
        name = environ["NAME"]
        self.begun.append(name)
        self.came.release()
        assert self.may_end[name].wait(LONG)
        return [name.encode()]


class Visitors:
    """Requests in threads of their own."""

    def __init__(self) -> None:
        self.application = Application()
        self.turns = Turns(self.application)
        self.threads: list[threading.Thread] = []

    def ask(self, name: str, path: str = CALLBACK) -> None:
        self.application.may_end[name] = threading.Event()
        environ = {"PATH_INFO": path, "NAME": name}
        thread = threading.Thread(target=lambda: list(self.turns(environ, lambda *_: lambda _: None)))
        thread.start()
        self.threads.append(thread)

    def begins(self) -> str:
        """Wait until one more request runs."""
        assert self.application.came.acquire(timeout=LONG)
        return self.application.begun[-1]

    def end(self, name: str) -> None:
        self.application.may_end[name].set()

    def leave(self) -> None:
        for event in self.application.may_end.values():
            event.set()
        for thread in self.threads:
            thread.join(LONG)


@pytest.fixture
def visitors(monkeypatch: pytest.MonkeyPatch) -> Iterable[Visitors]:
    monkeypatch.setattr(serving, "_LONGEST_WAIT", LONG)
    made = Visitors()
    yield made
    made.leave()


def _wait_in_line(visitors: Visitors, count: int) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if len(visitors.turns._waiting) == count:
            return
        pause.wait(0.01)
    raise AssertionError("they do not wait")


def test_two_callbacks_run_and_the_others_follow_in_their_order(visitors: Visitors) -> None:
    for name in ("a", "b"):
        visitors.ask(name)
        assert visitors.begins() == name
    for waiting, name in enumerate(("c", "d", "e"), 1):
        visitors.ask(name)
        _wait_in_line(visitors, waiting)
    assert visitors.application.begun == ["a", "b"]
    visitors.end("b")
    assert visitors.begins() == "c"
    visitors.end("c")
    assert visitors.begins() == "d"
    visitors.end("a")
    assert visitors.begins() == "e"


def test_what_is_no_callback_never_waits(visitors: Visitors) -> None:
    for name in ("a", "b"):
        visitors.ask(name)
        visitors.begins()
    visitors.ask("pulse", "/pulse")
    assert visitors.begins() == "pulse"


def test_a_callback_that_takes_long_does_not_hold_up_the_next(
    visitors: Visitors, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        visitors.ask(name)
        visitors.begins()
    monkeypatch.setattr(serving, "_LONGEST_WAIT", 0.01)
    visitors.ask("c")
    assert visitors.begins() == "c"
    # it had no turn of its own, so its end frees none
    monkeypatch.setattr(serving, "_LONGEST_WAIT", LONG)
    visitors.end("c")
    visitors.threads[-1].join(LONG)
    visitors.ask("d")
    _wait_in_line(visitors, 1)
    assert visitors.application.begun == ["a", "b", "c"]


def test_a_failing_callback_gives_its_turn_back() -> None:
    def fails(_: WSGIEnvironment, __: StartResponse) -> Iterable[bytes]:
        raise ZeroDivisionError

    turns = Turns(fails)
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            turns({"PATH_INFO": CALLBACK}, lambda *_: lambda _: None)
    assert turns._free == 2


def test_a_pulse_waits_for_news_and_tells_them(offline_lake: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "_HOLD_SECONDS", LONG)
    reader = LakeReader(offline_lake)
    reader.refresh()
    client = create_app(offline_lake, reader).server.test_client()
    seen = (client.get("/pulse").json or {})["stamp"]
    answers: list[dict[str, object]] = []
    waiting = threading.Thread(target=lambda: answers.append(client.get(f"/pulse?seen={seen}").json or {}))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    written.write_bars(offline_lake, written.bars(("AAPL",), count=3))
    reader.refresh()
    waiting.join(LONG)
    assert answers[0]["stamp"] == reader.snapshot.stamp != seen
    assert answers[0]["held"] is True


def test_a_pulse_with_old_news_is_answered_at_once(offline_lake: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LakeReader, "wait", lambda *_: pytest.fail("it waits"))
    reader = LakeReader(offline_lake)
    reader.refresh()
    client = create_app(offline_lake, reader).server.test_client()
    assert (client.get("/pulse?seen=other").json or {})["held"] is True
    assert (client.get("/pulse").json or {})["held"] is False


def test_when_many_pages_wait_the_next_asks_again(offline_lake: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MOST_WAITING", 0)
    monkeypatch.setattr(LakeReader, "wait", lambda *_: pytest.fail("it waits"))
    reader = LakeReader(offline_lake)
    reader.refresh()
    client = create_app(offline_lake, reader).server.test_client()
    assert (client.get(f"/pulse?seen={reader.snapshot.stamp}").json or {})["held"] is False
