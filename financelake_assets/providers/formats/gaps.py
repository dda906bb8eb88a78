"""Bars that a file lacks by the calendar of its market, for a look at it before it is published."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from financelake_assets.calendars import ALWAYS, BY_CLASS, trading_calendar
from financelake_assets.intervals import interval_length

_BY_SUFFIX = {
    "US": "XNYS",
    "L": "XLON",
    "DE": "XETR",
    "F": "XFRA",
    "PA": "XPAR",
    "AS": "XAMS",
    "BR": "XBRU",
    "MI": "XMIL",
    "MC": "XMAD",
    "SW": "XSWX",
    "ST": "XSTO",
    "HE": "XHEL",
    "CO": "XCSE",
    "OL": "XOSL",
    "LS": "XLIS",
    "VI": "XWBO",
    "T": "XTKS",
    "HK": "XHKG",
    "NS": "XBOM",
    "BO": "XBOM",
    "AX": "XASX",
    "TO": "XTSE",
    "KS": "XKRX",
    "SI": "XSES",
    "SS": "XSHG",
    "SZ": "XSHG",
    "TW": "XTAI",
    "SA": "BVMF",
    "MX": "XMEX",
    "NZ": "XNZE",
    "WA": "XWAR",
    "IS": "XIST",
}
"""The calendar of an exchange by the suffix of its symbols."""
_PLAIN = re.compile(r"\^?[A-Z]{1,5}(?:[-.][A-Z])?")
_MOST_STEPS = 50_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def calendar_name(symbol: str, asset_class: str) -> str | None:
    """The calendar of a symbol's market, or ``None`` where its form does not tell it."""
    if asset_class == "crypto":
        return ALWAYS
    if asset_class == "commodity":
        return BY_CLASS["commodity"] if symbol.endswith("=F") else None
    _, dot, suffix = symbol.rpartition(".")
    if dot and suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    return BY_CLASS["stock"] if _PLAIN.fullmatch(symbol) else None


@dataclass
class Gaps:
    """The times of a file's series: 8 bytes a row."""

    calendar: str | None = None
    _times: dict[tuple[str, str, str], list[np.ndarray]] = field(default_factory=dict)

    def add(self, rows: pl.DataFrame) -> None:
        """Look at further rows."""
        known = rows.select("symbol", "asset_class", "interval", "event_time").drop_nulls()
        for (symbol, asset_class, interval), part in known.group_by("symbol", "asset_class", "interval"):
            if interval_length(str(interval)) is not None:
                times = part["event_time"].dt.epoch("us").to_numpy()
                self._times.setdefault((str(symbol), str(asset_class), str(interval)), []).append(times)

    def notes(self) -> list[str]:
        """What is missing in each series, in words; nothing of a series that lacks nothing."""
        found: list[str] = []
        unknown: set[str] = set()
        for (symbol, asset_class, interval), parts in sorted(self._times.items()):
            name = self.calendar or calendar_name(symbol, asset_class)
            if name is None:
                unknown.add(symbol)
                continue
            if note := _gaps(name, interval, np.unique(np.concatenate(parts))):
                found.append(f"{symbol} {interval}: {note}")
        if unknown:
            found.append(
                f"gaps were not looked for: the calendar of {', '.join(sorted(unknown)[:5])} is not known here"
            )
        return found


def _gaps(name: str, interval: str, times: np.ndarray) -> str | None:
    length = interval_length(interval)
    if length is None or len(times) < 2:
        return None
    steps = np.diff(times)
    wide = np.flatnonzero(steps > length // _MICROSECOND)
    calendar = trading_calendar(name)
    missing, gaps, largest, where = 0, 0, 0, ""
    for at in wide[:_MOST_STEPS]:
        before, after = (_EPOCH + timedelta(microseconds=int(times[at + one])) for one in (0, 1))
        count = calendar.missing(interval, before, after)
        missing, gaps = missing + count, gaps + bool(count)
        if count > largest:
            largest, where = count, f"{before:%Y-%m-%dT%H:%M}Z"
    if not missing:
        return None
    more = "at least " if len(wide) > _MOST_STEPS else ""
    shown = f"; most of them, {largest}, after {where}" if gaps > 1 else f", after {where}"
    return f"{more}{missing} bars are missing in {gaps} gaps by the calendar {name}{shown}"
