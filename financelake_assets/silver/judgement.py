"""One message judged by itself: the whole of what silver accepts, and the only place that gives a reason.

Input: one Kafka message and the asset class of every known symbol. Output: its typed fields, or the first ``Reason``
found. Nothing here fails on any input, and the answer depends on the message and the universe alone. ``cleaning.py``
takes whole batches of ordinary messages faster; what it does not take comes here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

from financelake_assets.intervals import TICK, canonical
from financelake_assets.providers.base import NUMBERS, PRICES
from financelake_assets.silver.reasons import Reason

TEXTS = ("symbol", "asset_class", "interval", "event_time", "trade_id")
FUTURE_SKEW = timedelta(hours=1)
EARLIEST = datetime(1800, 1, 1, tzinfo=UTC)
MOST_BYTES = 1 << 20
"""A longer value is no message of ours: Kafka's own limit is of this size, but counts what is compressed."""
MOST_NESTED = 384

_LONGEST_NUMBER = 1_000
_LONGEST_NAME = 50_000
_JAVA_BLANKS = "".join(map(chr, range(33)))
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = {"nan", "inf", "infinity"}
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_TOPIC = re.compile(r"bronze\.(\w+)")
_TIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:\.(?P<fraction>[0-9]+))?"
    r" ?(?P<zone>[Zz]|UTC|GMT|[-+][0-9]{2}(?::?[0-9]{2})?|[A-Za-z_]+(?:/[A-Za-z_+\-0-9]+)+)?)?"
)
_LARGEST_OFFSET = timedelta(hours=14)

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Judgement:
    """What silver makes of a message: a ``reason`` to refuse it, or the columns of a bar or trade."""

    reason: Reason | None
    fields: Fields = field(default_factory=dict)


def judge(value: bytes | None, topic: str, arrived: datetime, universe: Mapping[str, str]) -> Judgement:
    """Judge one message.

    Args:
        value: of the message.
        topic: that it came by.
        arrived: when the broker took it, UTC.
        universe: the asset class of each known symbol.
    """
    if value is None:
        return Judgement(Reason.NULL_VALUE)
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return Judgement(Reason.INVALID_UTF8)
    found = parsed(text)
    if found is None:
        return Judgement(Reason.NOT_JSON)
    texts = {name: _text(found.get(name)) for name in TEXTS}
    symbol = (texts["symbol"] or "").strip(" ").upper()
    known = universe.get(symbol)
    interval = canonical(texts["interval"] or "")
    event_time = None if texts["event_time"] is None else moment(texts["event_time"])
    reason = _of_identity(texts, symbol, known, topic, interval, event_time, arrived)
    if reason is not None:
        return Judgement(reason)
    numbers: dict[str, float | None] = {}
    wrong = False
    for name in NUMBERS:
        written = found.get(name)
        numbers[name] = None if written is None else number(written)
        wrong |= written is not None and numbers[name] is None
    reason = _of_numbers(numbers, found.get("close") is None, wrong, str(known), interval == TICK)
    if reason is not None:
        return Judgement(reason)
    trade_id = (texts["trade_id"] or "").strip(" ") or None
    own = {"symbol": symbol, "asset_class": known, "interval": interval, "event_time": event_time, "trade_id": trade_id}
    return Judgement(None, {**own, **numbers})


def _of_identity(
    texts: Mapping[str, str | None],
    symbol: str,
    known: str | None,
    topic: str,
    interval: str | None,
    event_time: datetime | None,
    arrived: datetime,
) -> Reason | None:
    """What is wrong with the series and the time that a message is of."""
    if not symbol:
        return Reason.MISSING_SYMBOL
    if known is None:
        return Reason.UNKNOWN_SYMBOL
    stated = texts["asset_class"]
    if (stated is not None and stated.strip(" ").lower() != known) or class_of(topic) not in (None, known):
        return Reason.WRONG_ASSET_CLASS
    if not (texts["interval"] or "").strip(" "):
        return Reason.MISSING_INTERVAL
    if interval is None:
        return Reason.UNKNOWN_INTERVAL
    if texts["event_time"] is None:
        return Reason.MISSING_EVENT_TIME
    if event_time is None:
        return Reason.WRONG_EVENT_TIME
    return Reason.FUTURE_EVENT_TIME if event_time > arrived + FUTURE_SKEW else None


def _of_numbers(
    numbers: Mapping[str, float | None], no_close: bool, wrong: bool, known: str, is_tick: bool
) -> Reason | None:
    """What is wrong with prices, volume, dividend and split."""
    there = {name: value for name, value in numbers.items() if value is not None}
    if no_close:
        return Reason.MISSING_PRICE
    if wrong:
        return Reason.WRONG_TYPE
    if not all(math.isfinite(value) for value in there.values()):
        return Reason.NOT_FINITE
    if known != "commodity" and any(there.get(name, 1.0) <= 0 for name in PRICES):
        return Reason.NON_POSITIVE_PRICE
    if there.get("volume", 0.0) < 0:
        return Reason.NEGATIVE_VOLUME
    if there.get("dividend", 0.0) < 0 or there.get("split", 1.0) <= 0:
        return Reason.IMPOSSIBLE_EVENT
    body = [there[name] for name in ("open", "close") if name in there]
    low, high = there.get("low", -math.inf), there.get("high", math.inf)
    if not is_tick and (high < max(body) or high < low or low > min(body)):
        return Reason.INCONSISTENT_RANGE
    return None


def class_of(topic: str) -> str | None:
    """The asset class that a topic is of; ``None`` for a topic that is no bronze topic."""
    found = _TOPIC.fullmatch(topic)
    return found[1] if found else None


class _Written(str):
    """A JSON number as it was written."""

    __slots__ = ()


def parsed(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is, numbers as they were written; ``None`` where it is anything else.

    As in JSON but that ``NaN``, ``Infinity`` and ``-Infinity`` are read, to be refused by name. Of a name that comes
    twice the last value holds. What is nested too deeply, or has a name or number that is too long, is refused.
    """
    if not text.lstrip(" \t\r\n").startswith("{"):
        return None
    if text.count("[") + text.count("{") > MOST_NESTED and _depth(text) > MOST_NESTED:
        return None
    try:
        found = _JSON.decode(text)
    except (ValueError, RecursionError, MemoryError):
        return None
    return found if isinstance(found, dict) else None


def _written(text: str) -> _Written:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError("a number of too many digits")
    return _Written(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if any(len(name) > _LONGEST_NAME for name, _ in pairs):
        raise ValueError("a name of too many letters")
    return dict(pairs)


_JSON = json.JSONDecoder(
    parse_float=_written, parse_int=_written, parse_constant=_written, object_pairs_hook=_object, strict=True
)


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in _STRING.sub("", text):
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _text(value: Any) -> str | None:
    """A field as text: a number as it was written, anything that is no string as its JSON."""
    if value is None:
        return None
    written = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    # half a surrogate is no character, and no table could hold it
    return str(written).encode("utf-8", "replace").decode("utf-8")


def number(value: Any) -> float | None:
    """A number from JSON, or from a string that holds a decimal number; ``None`` for anything else.

    The spelling is JSON's, with blanks around it, a plus, or a bare point besides. Java's own (``12.5d``, ``0x1p3``)
    would be taken for another number than its sender meant.
    """
    if not isinstance(value, str):
        return None
    written = value.strip(_JAVA_BLANKS)
    if _NUMBER.fullmatch(written):
        return float(written)
    return math.nan if written.lstrip("+-").lower() in _NOT_FINITE else None


@lru_cache(maxsize=65_536)
def moment(text: str) -> datetime | None:
    """The time that an ISO 8601 text names, in UTC; ``None`` where it names none, or one before 1800.

    A date alone is its midnight, a time without a zone is UTC, digits beyond microseconds are cut off. Zones are
    offsets of at most 14 hours, or names such as America/New_York; an abbreviation such as EST names no zone.
    """
    found = _TIME.fullmatch(text.strip(_JAVA_BLANKS))
    if found is None:
        return None
    try:
        whole = datetime.fromisoformat(f"{found['date']}T{found['time'] or '00:00'}")
        whole = whole.replace(microsecond=int((found["fraction"] or "")[:6].ljust(6, "0")))
        at = _in_utc(whole, found["zone"] or "Z")
    except (ValueError, OverflowError, OSError):
        return None
    return at if at >= EARLIEST else None


def _in_utc(at: datetime, zone: str) -> datetime:
    if zone in ("Z", "z", "UTC", "GMT"):
        return at.replace(tzinfo=UTC)
    if "/" in zone:
        return at.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    digits = zone[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    if offset > _LARGEST_OFFSET or int(digits[2:]) > 59:
        _refuse_zone(zone)
    return (at - offset if zone[0] == "+" else at + offset).replace(tzinfo=UTC)


def _refuse_zone(zone: str) -> NoReturn:
    raise ValueError(f"{zone} is no offset of a time zone")
