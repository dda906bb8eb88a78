"""Server-sent events over a real server: each new row once, also for a listener who comes back."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from dash_app.api import events
from financelake_assets.gold.schema import SIGNALS
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets_tests.dash_app.conftest import Dashboard
from financelake_assets_tests.query import rows

Event = tuple[str, str, dict[str, Any]]


class Listener:
    """A plain client of the stream: the lines of its events, as the standard describes them."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self._answer = answer
        self.last = ""

    def next(self) -> Event | None:
        """The next event: its kind, its id and its data; ``None`` at the end."""
        kind, data = "message", ""
        while line := self._answer.readline():
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "id":
                self.last = value
            elif name == "event":
                kind = value
            elif name == "data":
                data = value
            elif not name and data:
                return kind, self.last, json.loads(data)
        return None

    def begun(self) -> None:
        """Read on until the server has said where the stream begins."""
        while not self.last:
            name, _, value = self._answer.readline().decode().rstrip("\n").partition(": ")
            self.last = value if name == "id" else ""


@contextmanager
def listening(dashboard: Dashboard, query: str = "", last: str | None = None) -> Iterator[Listener]:
    place = urlsplit(dashboard.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
    headers = {"Accept": "text/event-stream"} | ({} if last is None else {"Last-Event-ID": last})
    connection.request("GET", f"/api/v1/signals{query}", headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    listener = Listener(answer)
    listener.begun()
    try:
        yield listener
    finally:
        answer.close()
        connection.close()


@pytest.fixture
def read(dashboard: Dashboard) -> Dashboard:
    """A dashboard that has read its lake, with one signal in it."""
    rows.add(dashboard.lake, 0)
    while dashboard.reader.snapshot.signals.version != SIGNALS.ensure(dashboard.lake).version():
        dashboard.reader.wait(dashboard.reader.snapshot, 1)
    return dashboard


def test_new_signals_arrive_as_they_are_committed(read: Dashboard) -> None:
    with listening(read) as listener, listening(read) as other:
        for day in (1, 2, 3):
            rows.add(read.lake, day)
            kind, _, signal = listener.next() or ("", "", {})
            assert kind == "signal"
            assert signal["event_time"] == f"2024-03-0{day + 1}T00:00:00Z"
            assert list(signal) == SIGNALS.schema.names
        assert [(other.next() or ("", "", {}))[2]["event_time"][9] for _ in range(3)] == ["2", "3", "4"]


def test_a_listener_who_comes_back_misses_nothing(read: Dashboard) -> None:
    with listening(read) as listener:
        before = listener.last
    three = [rows.signal(1, symbol=symbol) for symbol in ("C", "A", "B")]
    OpenTables(read.lake).insert(SIGNALS, three[0].vstack(three[1]).vstack(three[2]))
    seen = []
    for _ in range(3):  # one event, then a broken connection, in the middle of a commit
        with listening(read, last=before) as listener:
            _, before, signal = listener.next() or ("", "", {})
            seen.append(signal["symbol"])
    assert seen == ["A", "B", "C"]
    rows.add(read.lake, 2)
    with listening(read, last=before) as listener:
        assert (listener.next() or ("", "", {}))[2]["symbol"] == "BTC-USD"


def test_a_listener_gets_what_it_asked_for(read: Dashboard) -> None:
    rows.add(read.lake, 1, symbol="ETH-USD")
    while ("ETH-USD", "1d") not in read.reader.snapshot.signals.groups:
        read.reader.wait(read.reader.snapshot, 1)
    with listening(read, "?symbol=ETH-USD") as listener:
        rows.add(read.lake, 2)
        rows.add(read.lake, 3, symbol="ETH-USD")
        assert (listener.next() or ("", "", {}))[2]["event_time"] == "2024-03-04T00:00:00Z"


def test_a_stream_ends_before_it_fills_the_servers_buffer(read: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the listener goes on with the next stream."""
    monkeypatch.setattr(events, "MOST_BYTES", 1)
    for day in (1, 2):
        rows.add(read.lake, day)
    last, seen = "1-1", []
    for _ in range(2):
        with listening(read, last=last) as listener:
            seen.append((listener.next() or ("", "", {}))[2]["event_time"][9])
            assert listener.next() is None
            last = listener.last
    assert seen == ["2", "3"]


def test_listeners_who_left_give_their_places_back_and_the_page_answers(
    read: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = urlsplit(read.url)
    for _ in range(2):
        opened = [listening(read) for _ in range(events.MOST_LISTENERS)]
        for one in opened:
            one.__enter__()
        page = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        page.request("GET", "/pulse")
        assert page.getresponse().status == 200
        page.close()
        for one in opened:
            one.__exit__(None, None, None)
        _until_free(read)


def _until_free(read: Dashboard) -> None:
    place, waited = urlsplit(read.url), threading.Event()
    while True:
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        connection.request("HEAD", "/api/v1/signals/stream")
        status = connection.getresponse().status
        connection.close()
        threads = [thread for thread in threading.enumerate() if thread.name.startswith("waitress-")]
        assert threads
        if status == 200:
            return
        waited.wait(0.1)
