"""The signals of all symbols in one list, newest first, also as a file.

Input: a ``Snapshot``. Output: rows for the grid, and CSV in which a spreadsheet finds no formula.
"""

from __future__ import annotations

import threading
from typing import Any

import polars as pl
from cachetools import LRUCache, cached

from dash_app import wording
from dash_app.data.cached_tables import TableView
from dash_app.data.lake_reader import Snapshot
from financelake_assets.gold.verdicts import Signal

SHOWN = 500
_EACH = 200
_TOLD = 20
_ACTED = (Signal.BUY, Signal.SELL)
_KEY = ("symbol", "interval", "event_time")
_COLUMNS = ("as_of", *_KEY, "signal", "reason", "close", "predicted_return", "confidence", "strength", "cost_bps",
            "model_version")  # fmt: skip
_FORMULA = r"^[=+\-@\t\r]"

Row = dict[str, Any]


def signals(snapshot: Snapshot, signal: str | None = None, *, each: int = _EACH) -> pl.DataFrame:
    """The newest signals of every symbol, the newest first.

    Args:
        snapshot: the lake.
        signal: only this signal; ``None`` means all.
        each: the largest number for each symbol.
    """
    found = snapshot.once(("signals", each), lambda: _signals(snapshot, each))
    return found if signal is None else found.filter(pl.col("signal") == signal)


def _signals(snapshot: Snapshot, each: int) -> pl.DataFrame:
    parts = [
        frame.tail(each).join(
            snapshot.predictions.group(*key).select("event_time", "predicted_return"), on="event_time", how="left"
        )
        for key, frame in snapshot.signals.groups.items()
    ]
    if not parts:
        return snapshot.signals.empty.with_columns(pl.lit(None, pl.Float64).alias("predicted_return"))
    return pl.concat(parts).sort("as_of", "event_time", "symbol", descending=[True, True, False])


@cached(LRUCache(2), lock=threading.Lock())
def told(signals: TableView) -> list[tuple[int, str, str, str]]:
    """The newest of the BUY and SELL signals that are the last of their series: time in ms, symbol, interval, signal.

    An open page tells a person of those that are newer than what it knew a moment ago.
    """
    last = [(rows["as_of"][-1], *key, rows["signal"][-1]) for key, rows in signals.groups.items()]
    acted = sorted((one for one in last if one[0] is not None and one[3] in _ACTED), reverse=True)
    return [(int(time.timestamp() * 1000), *rest) for time, *rest in acted[:_TOLD]]


def rows(snapshot: Snapshot, signal: str | None) -> list[Row]:
    """The newest signals as rows for the grid."""
    return snapshot.once(("feed", signal), lambda: [_row(one) for one in _shown(snapshot, signal)])


def _shown(snapshot: Snapshot, signal: str | None) -> list[Row]:
    found = signals(snapshot, signal)
    return found.head(SHOWN).to_dicts() if "signal" in found.columns else []


def _row(one: Row) -> Row:
    return {
        "id": f"{one['symbol']}|{one['interval']}|{one['event_time']:%Y%m%d%H%M%S}",
        "given": wording.moment(one["as_of"]),
        "symbol": one["symbol"],
        "interval": one["interval"],
        "bar": wording.bar_time(one["event_time"], one["interval"]),
        "signal": one["signal"],
        "why": wording.hold_reason(one["reason"]) if one["reason"] else "expected to beat its costs",
        "close": one["close"],
        "close_text": wording.price(one["close"]),
        "expected": one["predicted_return"],
        "expected_text": wording.percent(one["predicted_return"], sign=True),
        "confidence": one["confidence"],
        "confidence_text": wording.percent(one["confidence"], 0),
        "strength": one["strength"],
        "strength_text": wording.number(one["strength"], 2),
        "model": one["model_version"],
    }


def csv(snapshot: Snapshot, signal: str | None) -> str:
    """All signals in memory as CSV. A text that a spreadsheet would read as a formula begins with an apostrophe."""
    found = signals(snapshot, signal, each=1_000).select(_COLUMNS)
    return without_formulas(found).write_csv(datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ")


def without_formulas(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows for a spreadsheet: a text that it would read as a formula begins with an apostrophe."""
    texts = [name for name, kind in rows.schema.items() if kind == pl.String]
    safe = [
        pl.when(pl.col(name).str.contains(_FORMULA)).then("'" + pl.col(name)).otherwise(pl.col(name)).alias(name)
        for name in texts
    ]
    return rows.with_columns(safe)
