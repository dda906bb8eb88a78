"""What a request asks for: its parameters, checked against the API's own list and against what the lake has.

Input: a query string and a snapshot. Output: ``Asked``, or an error that says what is wrong and what would be right.
Empty values count as not given.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

from werkzeug.datastructures import MultiDict

from dash_app.api.problems import ApiError
from dash_app.data.cached_tables import TableView
from dash_app.data.lake_reader import Snapshot
from financelake_assets import intervals

DEFAULT_LIMIT, MOST_ROWS = 100, 5_000
"""Rows of one answer."""

_CURSOR = r"^[A-Za-z0-9_-]{1,1000}$"
_TIME: Mapping[str, Any] = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}]}
_NAME: Mapping[str, Any] = {"type": "string", "minLength": 1, "maxLength": 100}

PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "symbol": {"description": "Only this symbol.", "schema": {**_NAME, "examples": ["BTC-USD"]}},
    "interval": {"description": "Only this interval.", "schema": {**_NAME, "examples": ["1d"]}},
    "limit": {
        "description": "At most so many rows.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MOST_ROWS, "default": DEFAULT_LIMIT},
    },
    "start": {"description": "Only rows of this time (ISO 8601; UTC without a zone) or later.", "schema": _TIME},
    "end": {"description": "Only rows before this time.", "schema": _TIME},
    "cursor": {
        "description": "Continue after an earlier answer: the value is in that answer's header `Link`.",
        "schema": {"type": "string", "pattern": _CURSOR},
    },
}
"""The parameters of a request for rows, as OpenAPI describes them."""

STREAM_PARAMETERS = ("symbol", "interval")

Series = tuple[str, ...]
"""Symbol and interval."""


@dataclass(frozen=True)
class Asked:
    """A request for rows; what is ``None`` was not asked for."""

    symbol: str | None = None
    interval: str | None = None
    limit: int = DEFAULT_LIMIT
    start: datetime | None = None
    end: datetime | None = None
    cursor: str | None = None


def series_of(snapshot: Snapshot, view: TableView) -> frozenset[Series]:
    """The series that may be asked for: those with bars, and those with rows in the table itself."""
    return snapshot.once(("series of the API", id(view)), lambda: frozenset({*snapshot.bars.groups, *view.groups}))


def asked(given: MultiDict[str, str], known: Collection[Series], allowed: Collection[str]) -> Asked:
    """Check the parameters of a request.

    Args:
        given: the parameters.
        known: the series that the lake has.
        allowed: the names that the address knows.

    Raises:
        ApiError: 400 for a parameter that is wrong, 404 for a symbol or an interval that the lake does not have.
    """
    values = _single(given, allowed)
    if "cursor" in values and not re.fullmatch(_CURSOR, values["cursor"]):
        raise unknown_cursor()
    limit = values.get("limit", str(DEFAULT_LIMIT))
    # 15.0 is an integer to JSON Schema, and is what a column of numbers becomes in many programs
    if not (re.fullmatch(r"[0-9]{1,9}(\.0{1,9})?", limit) and 1 <= float(limit) <= MOST_ROWS):
        raise ApiError(400, f"limit is {_short(limit)}.", remedy=f"Give a whole number from 1 to {MOST_ROWS}.")
    symbol, interval = _series(values.get("symbol"), values.get("interval"), known)
    return Asked(
        symbol, interval, int(float(limit)), _time(values, "start"), _time(values, "end"), cursor=values.get("cursor")
    )


def unknown_cursor() -> ApiError:
    """For a cursor that no answer gave."""
    return ApiError(404, "This cursor is of no answer.", remedy="Take it from the header Link, or begin without one.")


def _single(given: MultiDict[str, str], allowed: Collection[str]) -> dict[str, str]:
    values = {}
    for name, texts in given.lists():
        if name not in allowed:
            near = get_close_matches(name, allowed, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            known = ", ".join(allowed) or "none"
            raise ApiError(400, f"There is no parameter {_short(name)}.", remedy=f"{hint}The parameters are: {known}.")
        if len(texts) > 1:
            raise ApiError(400, f"{name} was given {len(texts)} times.", remedy="Give it once.")
        if texts[0]:
            values[name] = texts[0]
    return values


def _series(symbol: str | None, interval: str | None, known: Collection[Series]) -> tuple[str | None, str | None]:
    if symbol is not None:
        symbols = {series[0] for series in known}
        if symbol not in symbols:
            near = get_close_matches(symbol.upper()[:100], symbols, n=3, cutoff=0.5)
            remedy = f"Did you mean {', '.join(near)}?" if near else _listed("Its symbols are", symbols)
            raise ApiError(404, f"The lake has no symbol {_short(symbol)}.", remedy=remedy)
    if interval is not None:
        has = {series[1] for series in known if symbol in (None, series[0])}
        canonical = intervals.canonical(interval)
        if canonical not in has:
            whose = "the lake" if symbol is None else symbol
            remedy = _listed("Its intervals are", has)
            raise ApiError(404, f"There is no interval {_short(interval)} of {whose}.", remedy=remedy)
        interval = canonical
    return symbol, interval


def _listed(words: str, names: Collection[str]) -> str:
    if not names:
        return "The lake has no bars yet: wait, or publish some."
    some = sorted(names)[:20]
    return f"{words} {', '.join(some)}{' and others' if len(names) > len(some) else ''}."


def _time(values: Mapping[str, str], name: str) -> datetime | None:
    text = values.get(name)
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text.upper())
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        remedy = "Write it in ISO 8601, such as 2026-11-01T09:30:00Z; write + as %2B."
        raise ApiError(400, f"{name} is {_short(text)}, which is no time.", remedy=remedy) from None


def _short(text: str) -> str:
    return repr(text[:60])
