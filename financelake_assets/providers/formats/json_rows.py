"""The rows in a JSON value, whatever it wraps them in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson

from financelake_assets.providers.base import ProviderError
from financelake_assets.providers.formats import names as naming
from financelake_assets.providers.formats.sources import Source
from financelake_assets.providers.formats.text import SAMPLE_BYTES

_BLOCK_BYTES = 2 << 20


def lines_of(source: Source) -> Callable[[], Iterator[dict[str, Any]]] | None:
    """A reader of JSON lines, or ``None`` where the file is one JSON value."""
    with source.open() as stream:
        start = stream.read(SAMPLE_BYTES)
    first, separator, rest = start.strip().partition(b"\n")
    try:
        value = orjson.loads(first)
        second = orjson.loads(rest.split(b"\n")[0]) if rest.count(b"\n") else {}
    except orjson.JSONDecodeError:
        return None
    if not separator or type(value) is not type(second):
        return None

    def rows() -> Iterator[dict[str, Any]]:
        with source.open() as stream:
            pending = b""
            while block := stream.read(_BLOCK_BYTES):
                *lines, pending = (pending + block).split(b"\n")
                yield from (_record(orjson.loads(line)) for line in lines if line.strip())
            if pending.strip():
                yield _record(orjson.loads(pending))

    return rows


def _record(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {f"column {at}": one for at, one in enumerate(value, 1)}


def records_of(value: Any, constants: dict[str, str]) -> list[dict[str, Any]]:
    """The rows in a JSON value: a list of objects or arrays, columns, or either of them within an object."""
    if isinstance(value, list):
        if not all(isinstance(one, dict | list) for one in value):
            raise ProviderError("is JSON, but no list of objects or arrays")
        if len(value) == 1 and isinstance(value[0], dict) and "indicators" in value[0]:
            return records_of(value[0], constants)
        return [row for one in value for row in _unwrapped(one)]
    if not isinstance(value, dict):
        raise ProviderError("is JSON, but holds no rows")
    _note_symbol(value, constants)
    for one in value.values():
        if isinstance(one, dict):
            _note_symbol(one, constants)
    lists = {key: one for key, one in value.items() if isinstance(one, list)}
    lengths = {len(one) for one in lists.values()}
    if len(lists) > 2 and len(lengths) == 1 and naming.how_many_known(list(lists)) > 2:
        return _transposed(lists)
    if {"columns", "data"} <= value.keys():
        return _split(value)
    if {"schema", "data"} <= value.keys():  # pandas, orient='table'
        return records_of(value["data"], constants)
    if {"column_names", "data"} <= value.keys():  # Nasdaq Data Link
        return [dict(zip(map(str, value["column_names"]), row, strict=True)) for row in value["data"]]
    if "prices" in lists and all(len(row) == 2 for one in lists.values() for row in one if isinstance(row, list)):
        return _paired(lists)
    if "indicators" in value and isinstance(value.get("timestamp"), list):
        return _yahoo(value)
    objects = {key: one for key, one in value.items() if isinstance(one, dict)}
    if len(objects) > 2 and naming.how_many_known(list(objects)) > 2:
        keys = dict.fromkeys(key for one in objects.values() for key in one)
        return [{"time": key, **{name: one.get(key) for name, one in objects.items()}} for key in keys]
    for key, one in objects.items():
        if (named := re.fullmatch(r"Time Series.* \((Daily|Weekly|\d+min)\)", key)) and one:
            constants.setdefault("interval", named[1])  # Alpha Vantage
    if objects and all(isinstance(one, dict) and len(one) > 1 for one in objects.values()) and _are_times(objects):
        return [{"time": key, **one} for key, one in objects.items()]
    inner = [one for one in (*objects.values(), *lists.values()) if len(one) > 0]
    found = [rows for one in inner if (rows := _try_records(one, constants))]
    if len(found) != 1:
        raise ProviderError(
            f"is JSON with {len(found)} tables under {', '.join(list(value)[:8])}; "
            "write one as a list of objects, or CSV"
        )
    return found[0]


def _try_records(value: Any, constants: dict[str, str]) -> list[dict[str, Any]]:
    try:
        rows = records_of(value, constants)
    except ProviderError:
        return []
    return rows if rows and len(rows[0]) > 1 else []


def _are_times(objects: Mapping[str, Any]) -> bool:
    return all(sum(letter.isdigit() for letter in key) >= 6 for key in objects)


def _transposed(lists: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def _split(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """As pandas writes it with orient='split'."""
    index: Iterable[Any] = value.get("index") or range(len(value["data"]))
    rows = zip(index, value["data"], strict=True)
    return [{naming.UNNAMED: at, **dict(zip(map(str, value["columns"]), row, strict=True))} for at, row in rows]


def _unwrapped(value: Any) -> list[dict[str, Any]]:
    """A row, or the rows that an object holds in a list beside what is common to them (Tiingo)."""
    inner = [key for key, one in value.items() if isinstance(one, list)] if isinstance(value, dict) else []
    rows = value[inner[0]] if len(inner) == 1 else []
    if not (rows and all(isinstance(row, dict) and len(row) > 2 for row in rows)):
        return [_record(value)]
    common = {key: one for key, one in value.items() if not isinstance(one, dict | list)}
    return [{**common, **row} for row in rows]


def _paired(lists: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    """Lists of [time, value], one for each field (CoinGecko)."""
    rows: dict[Any, dict[str, Any]] = {}
    for key, pairs in lists.items():
        for time, one in pairs:
            rows.setdefault(time, {"time": time})["price" if key == "prices" else key] = one
    return list(rows.values())


def _yahoo(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Yahoo's answer to a request for a chart."""
    lists = {"timestamp": value["timestamp"]}
    for kind in value["indicators"].values():
        for one in kind:
            lists.update(one)
    return _transposed(lists)


_NOTED = {
    **dict.fromkeys(("symbol", "ticker", "pair"), "symbol"),
    **dict.fromkeys(("timezone", "exchangetimezone", "exchangetimezonename"), "timezone"),
    **dict.fromkeys(("interval", "datagranularity"), "interval"),
}
"""What an object says of all rows in it: key → what it is."""


def _note_symbol(value: Mapping[str, Any], constants: dict[str, str]) -> None:
    for key, one in value.items():
        if isinstance(one, str) and one and (noted := _NOTED.get(naming.bare(key))):
            # the longer key says it better: America/New_York beside EST
            if noted == "timezone" and "/" in one:
                constants[noted] = one
            constants.setdefault(noted, one)
