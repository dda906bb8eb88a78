"""Names and offsets of zones behind times and in headers, and which of them mean one zone only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

OFFSET = r"(?: ?(?:GMT|UTC)?[+-]\d{2}:?(?:\d{2})?| ?[Zz]| (?:UTC|GMT))"
ZONE_NAME = r" (?P<name>[A-Za-z]+(?:/[A-Za-z_+-]+\d*)*|[A-Z]{2,5})"
_ABBREVIATIONS = {
    "UTC": "UTC",
    "GMT": "UTC",
    "Z": "UTC",
    "EST": "Etc/GMT+5",
    "EDT": "Etc/GMT+4",
    "CDT": "Etc/GMT+5",
    "MST": "Etc/GMT+7",
    "MDT": "Etc/GMT+6",
    "PST": "Etc/GMT+8",
    "PDT": "Etc/GMT+7",
    "WET": "UTC",
    "CET": "Etc/GMT-1",
    "CEST": "Etc/GMT-2",
    "EET": "Etc/GMT-2",
    "EEST": "Etc/GMT-3",
    "MSK": "Europe/Moscow",
    "HKT": "Asia/Hong_Kong",
    "SGT": "Asia/Singapore",
    "JST": "Asia/Tokyo",
    "KST": "Asia/Seoul",
    "AEST": "Etc/GMT-10",
    "AEDT": "Etc/GMT-11",
}
"""Names of zones that mean one offset. Others (IST is India, Israel and Ireland) are refused."""
_LABELS = {
    **dict.fromkeys(("UTC", "GMT", "Z", "UT", "ZULU"), "UTC"),
    **dict.fromkeys(("ET", "EASTERN", "EASTERN TIME", "US EASTERN", "NEW YORK", "NY", "NYC"), "America/New_York"),
    **dict.fromkeys(("CENTRAL TIME", "US CENTRAL", "CHICAGO"), "America/Chicago"),
    **dict.fromkeys(("PT", "PACIFIC TIME", "US PACIFIC"), "America/Los_Angeles"),
    **{key: _ABBREVIATIONS[key] for key in ("MSK", "HKT", "SGT", "JST", "KST")},
    **dict.fromkeys(("LONDON", "UK"), "Europe/London"),
    "TOKYO": "Asia/Tokyo",
    "BERLIN": "Europe/Berlin",
    "FRANKFURT": "Europe/Berlin",
    "HONG KONG": "Asia/Hong_Kong",
}
"""Words that name one zone, with its summer time, for a whole column."""
_UNCLEAR = {
    **dict.fromkeys(("EST", "EDT"), ("America/New_York", "Etc/GMT+5")),
    **dict.fromkeys(("CST", "CDT", "CT"), ("America/Chicago", "Asia/Shanghai")),
    **dict.fromkeys(("MST", "MDT", "MT"), ("America/Denver", "Etc/GMT+7")),
    **dict.fromkeys(("PST", "PDT"), ("America/Los_Angeles", "Etc/GMT+8")),
    **dict.fromkeys(("CET", "CEST", "MEZ"), ("Europe/Berlin", "Etc/GMT-1")),
    **dict.fromkeys(("EET", "EEST"), ("Europe/Athens", "Etc/GMT-2")),
    **dict.fromkeys(("BST", "WET"), ("Europe/London", "UTC")),
    "IST": ("Asia/Kolkata", "Asia/Jerusalem"),
    **dict.fromkeys(("AEST", "AEDT"), ("Australia/Sydney", "Etc/GMT-10")),
    **dict.fromkeys(("LOCAL", "EXCHANGE", "LOCAL TIME", "EXCHANGE TIME", "MARKET", "SERVER", "BROKER"), ()),
}
"""Words for which a column may mean summer time or not, or several places: asked about."""
_REGION = r"(?:Africa|America|Asia|Atlantic|Australia|Europe|Pacific|US|Etc)/[A-Za-z_+\-0-9/]+"
_SHIFT = r"(?:UTC|GMT)\s*[+-]\s*\d{1,2}(?::?\d{2})?"
_TITLE = re.compile(
    rf"({_REGION}|{_SHIFT})|time\s?zone\W+([\w/ +-]{{2,30}}?)\s*$|\btimes?\b.{{0,20}}?\bin\b\W+([A-Za-z/_ ]{{2,30}})",
    re.IGNORECASE,
)
_TIMES = "datetime|timestamp|date|time|hour|dt|ts"


def zone_names(texts: pl.Series) -> pl.Series:
    """The names of zones behind times."""
    return texts.str.extract(f"{ZONE_NAME}$".replace("?P<name>", ""))


def zone_of(name: str) -> str | None:
    """The zone that a name behind a time means, or ``None`` where it could be several."""
    if name.upper() in _ABBREVIATIONS:
        return _ABBREVIATIONS[name.upper()]
    if "/" not in name:
        return None
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError):
        return None


def zone_of_label(words: str) -> str | None:
    """The zone that words of a header mean for a whole column, or ``None`` where it could be several."""
    words = re.sub(r"\s+", " ", words.replace("_", " ") if "/" not in words else words).strip()
    if words.upper() in _LABELS:
        return _LABELS[words.upper()]
    shift = re.fullmatch(r"(?:UTC|GMT)?\s*([+-])\s*(\d{1,2})(?::?00)?", words, re.IGNORECASE)
    if shift and int(shift[2]) <= 14:
        return "UTC" if int(shift[2]) == 0 else f"Etc/GMT{'-' if shift[1] == '+' else '+'}{int(shift[2])}"
    return zone_of(words) if "/" in words else None


def words_of_header(header: str) -> str | None:
    """What a header says of the zone of its column: ``EST`` in ``Time (EST)``, ``utc`` in ``time_utc``."""
    for inside in re.findall(r"[(\[]([^)\]]+)[)\]]", header):
        if _says_zone(inside):
            return str(inside).strip()
    plain = re.sub(r"[\s_.\-]+", " ", header).strip()
    if match := re.search(rf"{_REGION}|{_SHIFT}", header, re.IGNORECASE):
        return match[0]
    match = re.fullmatch(rf"(?:{_TIMES})(?: (?:{_TIMES}))? ?(.+)", plain, re.IGNORECASE)
    if match and _says_zone(match[1]):
        return match[1]
    match = re.fullmatch(rf"(.+?) ?(?:{_TIMES})(?: (?:{_TIMES}))?", plain, re.IGNORECASE)
    return match[1] if match and _says_zone(match[1]) else None


def without_zone(header: str) -> str:
    """A header without the words that say a zone."""
    words = words_of_header(header)
    if words is None:
        return header
    at = re.search(r"[\s_.\-]+".join(map(re.escape, words.split())), header, re.IGNORECASE)
    return header[: at.start()] + header[at.end() :] if at else header


def words_of_title(lines: Sequence[str]) -> str | None:
    """What the lines above a table say of a zone."""
    for line in lines:
        if match := _TITLE.search(line):
            words = next(one for one in match.groups() if one).strip()
            if _says_zone(words) or "/" in words:
                return words
    return None


def choices_of(words: str) -> tuple[str, ...]:
    """The zones that unclear words can mean."""
    zone = zone_of_label(words)
    return (zone, "UTC") if zone else _UNCLEAR.get(words.strip().upper(), ())


def _says_zone(words: str) -> bool:
    plain = re.sub(r"[\s_]+", " ", words).strip().upper()
    region = bool(re.fullmatch(rf"{_REGION}|{_SHIFT}|[+-]\d{{1,2}}:?\d{{0,2}}", words.strip(), re.IGNORECASE))
    return plain in _LABELS or plain in _UNCLEAR or region
