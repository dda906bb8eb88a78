"""Rows of a table, newest first, in pages that all come from one version of the table.

Input: what a request asks for. Output: a page of rows as JSON, kept in memory by version and request. A first scan
reads only the times, to learn which rows belong to the page; so a page of a large table costs little memory.
"""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import polars as pl
import pyarrow as pa
from cachetools import LRUCache

from dash_app.api.parameters import Asked, unknown_cursor
from financelake_assets import lake
from financelake_assets.config import Settings
from financelake_assets.query.names import dotted
from financelake_assets.query.rendering import as_json, order
from financelake_assets.storage.delta import TableSpec

_KEPT_BYTES = 32 << 20
_MOST_VERSION = 1 << 62
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Page:
    """A JSON list of rows, the table's version, and the cursor of the next page if there is one."""

    body: bytes
    version: int | None
    cursor: str | None


@dataclass(frozen=True)
class _Place:
    """The row after which a page begins, by its time and the rest of its key, in a version of its table."""

    version: int
    key: tuple[Any, ...]


class Rows:
    """Reads pages; any number of threads may ask."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: LRUCache[tuple[str, int, Asked], Page] = LRUCache(
            _KEPT_BYTES, getsizeof=lambda page: len(page.body)
        )
        self._lock = threading.Lock()

    def page(self, spec: TableSpec, version: int | None, asked: Asked) -> Page:
        """The page that a request asks for.

        Args:
            spec: the table.
            version: its newest version; ``None`` if the lake has not created it yet.
            asked: the request; with a cursor the page comes from the cursor's version.

        Raises:
            ApiError: 404, the cursor is of no answer.
            VersionGoneError: the cursor's version is no longer kept.
        """
        after = None if asked.cursor is None else _decoded(spec, asked.cursor)
        wanted = version if after is None else after.version
        if wanted is None:
            return Page(b"[]", None, None)
        key = (spec.full_name, wanted, asked)
        with self._lock:
            found = self._kept.get(key)
        if found is None:
            found = self._read(spec, wanted, asked, after)
            if len(found.body) <= _KEPT_BYTES:
                with self._lock:
                    self._kept[key] = found
        return found

    def _read(self, spec: TableSpec, version: int, asked: Asked, after: _Place | None) -> Page:
        rows = lake.table(dotted(spec), as_of=version, settings=self._settings).filter(_wanted(spec, asked, after))
        time = spec.time_column
        # not with polars' streaming engine: it has hung on the scan of a Delta table
        times = rows.select(time).top_k(asked.limit + 1, by=time).collect()
        if times.is_empty():
            return Page(b"[]", version, None)
        names = order(spec)
        newest = rows.filter(pl.col(time) >= times[time].min()).sort(
            names, descending=[True, *[False] * (len(names) - 1)], nulls_last=True
        )
        page = newest.head(asked.limit + 1).collect()
        shown = page.head(asked.limit)
        body = b"[" + b",\n".join(as_json(shown)) + b"]"
        more = page.height > asked.limit
        return Page(body, version, _encoded(version, shown.select(names).row(-1)) if more else None)


def _wanted(spec: TableSpec, asked: Asked, after: _Place | None) -> pl.Expr:
    time, conditions = pl.col(spec.time_column), [pl.lit(value=True)]
    for name, value in (("symbol", asked.symbol), ("interval", asked.interval)):
        if value is not None:
            conditions.append(pl.col(name) == value)
    if asked.start is not None:
        conditions.append(time >= asked.start)
    if asked.end is not None:
        conditions.append(time < asked.end)
    if after is not None:
        conditions.append(time <= after.key[0])
        conditions.append((time < after.key[0]) | _behind(order(spec)[1:], after.key[1:]))
    return pl.all_horizontal(conditions)


def _behind(names: Sequence[str], values: Sequence[Any]) -> pl.Expr:
    """Whether a row comes after these values in the ascending order of these columns."""
    first = pl.col(names[0]) > pl.lit(values[0])
    if len(names) == 1:
        return first
    return first | ((pl.col(names[0]) == pl.lit(values[0])) & _behind(names[1:], values[1:]))


def _encoded(version: int, key: tuple[Any, ...]) -> str:
    microseconds = (key[0] - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(orjson.dumps([version, microseconds, *key[1:]])).decode().rstrip("=")


def _decoded(spec: TableSpec, cursor: str) -> _Place:
    try:
        parts = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        version, microseconds, *rest = parts
        place = _Place(version, (_EPOCH + timedelta(microseconds=microseconds), *rest))
    except (binascii.Error, ValueError, TypeError, OverflowError):
        raise unknown_cursor() from None
    kinds = [str if pa.types.is_string(spec.schema.field(name).type) else int for name in order(spec)[1:]]
    if [type(part) for part in parts] != [int, int, *kinds] or not 0 <= version < _MOST_VERSION:
        raise unknown_cursor()
    return place
