"""Latency of data through the lake, and the messages in quarantine, from a snapshot.

Input: a ``Snapshot``. Output: delays between the stages over the newest bars, counts of messages in quarantine, and the
track record of a symbol's predictions. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from dash_app.data.lake_reader import Snapshot
from financelake_assets.model.metrics import LIVE_MOVE

_NEWEST = 100

Row = dict[str, Any]


@dataclass(frozen=True)
class Delay:
    """Seconds between two stages over the newest bars; ``None`` if no bar has passed both."""

    stage: str
    median: float | None
    slow: float | None


@dataclass(frozen=True)
class Record:
    """Results of predictions whose outcome is known."""

    scored: int
    hit_rate: float | None
    covered: float | None
    coverage: float | None
    skill: float | None
    acted: int
    net_return: float | None


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
    acted = rows.filter(pl.col("signal").is_in(["BUY", "SELL"]))
    executed = acted.filter(pl.col("traded_return").is_not_null())
    known = pl.col("realised_return").is_not_null() & pl.col("predicted_return").is_not_null() & (LIVE_MOVE > 0)
    moves = rows.filter(known).select(
        naive=pl.col("realised_return") / LIVE_MOVE,
        error=(pl.col("realised_return") - pl.col("predicted_return")) / LIVE_MOVE,
    )
    error, naive = (float((moves[name] ** 2).sum()) for name in ("error", "naive"))
    return Record(
        scored=rows.height,
        hit_rate=_number(rows["hit"].cast(pl.Float64).mean()),
        covered=_number(rows["covered"].cast(pl.Float64).mean()),
        coverage=_number(rows["coverage"].mean()),
        skill=1 - error / naive if naive else None,
        acted=acted.height,
        net_return=_number(executed["net_return"].mean()),
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
