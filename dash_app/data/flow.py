"""Latency of data through the lake, and the messages in quarantine, from a snapshot.

Input: a ``Snapshot``. Output: delays between the stages over the newest bars, counts of messages in quarantine, and the
track record of a symbol's predictions. Pure.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Any

import polars as pl
from cachetools import LRUCache

from dash_app.data.lake_reader import Snapshot
from financelake_assets.model import judgement
from financelake_assets.model.metrics import Interval

_NEWEST = 100

Row = dict[str, Any]


@dataclass(frozen=True)
class Delay:
    """Seconds between two stages over the newest bars; ``None`` if no bar has passed both."""

    stage: str
    median: float | None
    slow: float | None


@dataclass(frozen=True)
class Measured:
    """A figure with its 95 % interval; ``None`` where too little is known."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Record:
    """Results of predictions whose outcome is known."""

    scored: int
    hit_rate: Measured
    covered: Measured
    coverage: float | None
    skill: Measured
    acted: int
    net_return: Measured


_records: LRUCache[tuple[str, str], tuple[pl.DataFrame, Record]] = LRUCache(1_000)
_lock = threading.Lock()


def delays(snapshot: Snapshot) -> list[Delay]:
    """Bronze to silver, silver to gold, gold to this page; ``slow`` is the 95th percentile."""
    return snapshot.once("delays", lambda: _delays(snapshot))


def _delays(snapshot: Snapshot) -> list[Delay]:
    bars = [frame.select("symbol", "interval", "event_time", "ingested_at", "processed_at").tail(_NEWEST)
            for frame in snapshot.bars.groups.values()]  # fmt: skip
    if not bars:
        return [Delay("bronze to silver", None, None), Delay("silver to gold", None, None)]
    newest = pl.concat(bars).sort("processed_at").tail(_NEWEST)
    made = [frame.select("symbol", "interval", "event_time", "as_of").tail(_NEWEST)
            for frame in snapshot.signals.groups.values()]  # fmt: skip
    signals = pl.concat(made) if made else snapshot.signals.empty.select("symbol", "interval", "event_time", "as_of")
    both = newest.join(signals, on=["symbol", "interval", "event_time"])
    return [
        _delay("bronze to silver", newest["processed_at"] - newest["ingested_at"]),
        _delay("silver to gold", both["as_of"] - both["processed_at"]),
    ]


def slowest_symbols(snapshot: Snapshot, most: int = 20) -> list[tuple[str, str, list[Delay]]]:
    """By series, the delays of its newest bars; the slowest from bronze to silver first."""
    return snapshot.once(("delays by series", most), lambda: _by_series(snapshot, most))


def _by_series(snapshot: Snapshot, most: int) -> list[tuple[str, str, list[Delay]]]:
    found = []
    for (symbol, interval), frame in snapshot.bars.groups.items():
        newest = frame.select("event_time", "ingested_at", "processed_at").tail(_NEWEST)
        made = snapshot.signals.group(symbol, interval).select("event_time", "as_of").tail(_NEWEST)
        both = newest.join(made, on="event_time")
        found.append(
            (
                symbol,
                interval,
                [
                    _delay("bronze to silver", newest["processed_at"] - newest["ingested_at"]),
                    _delay("silver to gold", both["as_of"] - both["processed_at"]),
                ],
            )
        )
    return sorted(found, key=lambda one: (-(one[2][0].slow or 0.0), one[0], one[1]))[:most]


def _delay(stage: str, spans: pl.Series) -> Delay:
    seconds = spans.drop_nulls().dt.total_microseconds().cast(pl.Float64) / 1e6
    return Delay(stage, _number(seconds.quantile(0.5, "linear")), _number(seconds.quantile(0.95, "linear")))


def refused(snapshot: Snapshot) -> list[Row]:
    """Messages in quarantine by reason, the most frequent first."""
    rows = snapshot.quarantine.all
    if rows.is_empty():
        return []
    counted = rows.group_by("reason").agg(pl.len().alias("messages"), pl.col("quarantined_at").max().alias("newest"))
    return counted.sort("messages", "reason", descending=[True, False]).to_dicts()


def track_record(snapshot: Snapshot, symbol: str, interval: str) -> Record | None:
    """The results of a symbol's newest predictions; ``None`` before the first outcome."""
    rows = snapshot.scorecard.group(symbol, interval)
    if rows.is_empty():
        return None
    # snapshots share the rows of a series that did not change: its intervals take longer than the rest of the view
    with _lock:
        seen = _records.get((symbol, interval))
    if seen is None or seen[0] is not rows:
        seen = (rows, _record(rows))
        with _lock:
            _records[symbol, interval] = seen
    return seen[1]


def _record(rows: pl.DataFrame) -> Record:
    acted = rows.filter(pl.col("signal").is_in(["BUY", "SELL"]))
    executed = acted.filter(pl.col("traded_return").is_not_null())
    skill, earned = judgement.skill(rows), judgement.live_mean("net_return", executed)
    return Record(
        scored=rows.height,
        hit_rate=_share(rows, "hit"),
        covered=_share(rows, "covered"),
        coverage=_number(rows["coverage"].mean()),
        skill=_measured(skill.value, skill.interval),
        acted=acted.height,
        net_return=_measured(earned.value, earned.interval),
    )


def _share(rows: pl.DataFrame, name: str) -> Measured:
    """How often something was so, of the rows where it is known."""
    known = rows.filter(pl.col(name).is_not_null())
    right = known[name].cast(pl.Float64)
    return _measured(_number(right.mean()), judgement.live_proportion(right.to_numpy(), known))


def _measured(value: float | None, interval: Interval) -> Measured:
    return Measured(*(_number(one) for one in (value, interval.low, interval.high)))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
