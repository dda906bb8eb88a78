"""New rows as server-sent events, one event for each row, from Delta's commits.

Input: a table and the place of the last event that a listener has. Output: the events after it, without end. An event's
id is its place, ``VERSION-ROW``; a listener that comes back with it (``Last-Event-ID``, as browsers send it) loses no
row and gets none twice.

Each listener occupies a thread of the server, so their number is bounded, and the server has that many threads more
than the page needs (``dash_app/serving.py``). A stream ends after a while, and before its bytes fill the server's
buffer for a slow connection: so its writes never wait, and its thread is free again. The listener comes back by itself.
Listeners sleep until the page's reader has seen a commit; the rows of a commit are read once for all of them.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import orjson
from cachetools import LRUCache

from dash_app.api.parameters import Asked
from dash_app.api.problems import ApiError
from dash_app.data.cached_tables import TableView
from dash_app.data.lake_reader import LakeReader, Snapshot
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.query import following
from financelake_assets.query.names import dotted
from financelake_assets.query.rendering import as_json
from financelake_assets.storage.delta import TableSpec

MOST_LISTENERS = 16
MOST_BYTES = 4 << 20
"""Bytes of one stream: below waitress's ``outbuf_high_watermark`` of 16 MiB, at which a write would wait."""
MOST_SECONDS = 3600.0
BEAT_SECONDS = 15.0
"""A comment after so long without an event shows both sides whether the other is there."""
_LOOK_SECONDS = 1.0
_KEPT_COMMITS_BYTES = 32 << 20


@dataclass(frozen=True)
class Place:
    """What a listener has: every commit before ``version``, and so many rows of that one."""

    version: int
    rows: int

    def __str__(self) -> str:
        return f"{self.version}-{self.rows}"


@dataclass(frozen=True)
class _Row:
    symbol: str
    interval: str
    json: bytes

    def event(self, spec: TableSpec, place: Place) -> bytes:
        kind = spec.name.removesuffix("s")
        return f"event: {kind}\nid: {place}\ndata: ".encode() + self.json + b"\n\n"


class Events:
    """The streams of one server."""

    def __init__(self, settings: Settings, reader: LakeReader) -> None:
        self._settings, self._reader = settings, reader
        self._free = threading.BoundedSemaphore(MOST_LISTENERS)
        self._kept: LRUCache[tuple[str, int], tuple[_Row, ...]] = LRUCache(
            _KEPT_COMMITS_BYTES, getsizeof=lambda rows: 1 + sum(len(row.json) for row in rows)
        )
        self._lock = threading.Lock()

    def admit(self) -> Callable[[], None]:
        """Take a listener's place; the function that is returned gives it back.

        Raises:
            ApiError: 503, there are as many listeners as there may be.
        """
        if not self._free.acquire(blocking=False):
            raise ApiError(
                503,
                f"There are {MOST_LISTENERS} listeners already.",
                remedy="Try again later, or ask for the newest rows from time to time.",
                retry_seconds=30,
            )
        return self._free.release

    def place(self, spec: TableSpec, last: str | None) -> Place:
        """Where a listener begins: after the event that it names, or now.

        Raises:
            ApiError: 400, this is no event's id.
            VersionGoneError: the log no longer has the commits after it.
        """
        if last is None:
            return Place(1 + self._version(spec, self._reader.snapshot), 0)
        version, _, rows = last.partition("-")
        if not re.fullmatch(r"[0-9]{1,18}-[0-9]{1,9}", last):
            raise ApiError(400, "Last-Event-ID is no event's id.", remedy="Send the id of the last event, or none.")
        following.position(spec, self._settings, int(version) - 1)
        return Place(int(version), int(rows))

    def stream(self, spec: TableSpec, place: Place, asked: Asked, gone: Callable[[], bool]) -> Iterator[bytes]:
        """The events after a place.

        Args:
            spec: the table.
            place: the listener's.
            asked: which rows it wants.
            gone: whether the listener has left.
        """
        yield f"retry: 2000\n\n: listening to {dotted(spec)}\nid: {place}\n\n".encode()
        sent, began = 0, time.monotonic()
        beat = began
        while time.monotonic() - began < MOST_SECONDS and not gone():
            snapshot = self._reader.snapshot
            while place.version <= self._version(spec, snapshot):
                try:
                    rows = self._rows(spec, place.version)
                except FinanceLakeError as error:
                    yield _problem(error)
                    return
                for number, row in enumerate(rows[place.rows :], place.rows + 1):
                    if asked.symbol in (None, row.symbol) and asked.interval in (None, row.interval):
                        yield row.event(spec, Place(place.version, number))
                        sent, beat = sent + len(row.json), time.monotonic()
                    if sent >= MOST_BYTES:
                        return
                place = Place(place.version + 1, 0)
            if time.monotonic() - beat >= BEAT_SECONDS:
                yield f": still here\nid: {place}\n\n".encode()
                beat = time.monotonic()
            self._reader.wait(snapshot, _LOOK_SECONDS)

    @staticmethod
    def _version(spec: TableSpec, snapshot: Snapshot) -> int:
        version = snapshot.tables.get(spec.full_name, TableView()).version
        return -1 if version is None else version

    def _rows(self, spec: TableSpec, version: int) -> tuple[_Row, ...]:
        with self._lock:  # the first listener reads a commit, and the others wait for it
            key = (spec.full_name, version)
            found = self._kept.get(key)
            if found is None:
                found = self._read(spec, version)
                if self._kept.getsizeof(found) <= self._kept.maxsize:
                    self._kept[key] = found
            return found

    def _read(self, spec: TableSpec, version: int) -> tuple[_Row, ...]:
        rows = following.rows_of(spec, self._settings, version)
        return tuple(
            _Row(symbol, interval, json)
            for symbol, interval, json in zip(rows["symbol"], rows["interval"], as_json(rows), strict=True)
        )


def _problem(error: FinanceLakeError) -> bytes:
    told = orjson.dumps({"message": str(error), "remedy": error.remedy})
    return b"event: problem\ndata: " + told + b"\n\n"
