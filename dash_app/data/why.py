"""What a bar's signal was made of: the bars and features behind it, its model, and where each came from.

Input: a ``Snapshot``, and the bar that a visitor chose. Output: an ``Explanation`` of plain values, without Dash. The
features are computed again by the model's own code from the bars as they are now; ``corrected`` says how many of those
changed after the signal.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from dash_app.data.lake_reader import Snapshot
from financelake_assets.gold.schema import PREDICTIONS, SIGNALS
from financelake_assets.model.features import FEATURES, LOOKBACK, features_of
from financelake_assets.silver.schema import BARS

Row = dict[str, Any]

_COMPARED = 250
"""Bars before the chosen one that its features are compared with: more would make a page slow."""


@dataclass(frozen=True)
class Feature:
    """An input of the model: its value, and the share of the 250 bars before with a lower one."""

    name: str
    value: float | None
    above: float | None


@dataclass(frozen=True, eq=False)
class Explanation:
    """The parts behind one bar's signal.

    ``prediction``, ``signal`` and ``model`` are ``None`` where the bar has none; ``first`` and ``used`` tell the bars
    that the features may use; ``versions`` the Delta versions that this page has read, by table.
    """

    symbol: str
    interval: str
    bar: Row
    prediction: Row | None
    signal: Row | None
    model: Row | None
    first: datetime
    used: int
    corrected: int
    features: tuple[Feature, ...]
    versions: dict[str, int | None]


def explain(snapshot: Snapshot, symbol: str, interval: str, moment: datetime) -> Explanation | None:
    """Explain a bar's signal; ``None`` if the page does not have the bar."""
    return snapshot.once(("why", symbol, interval, moment), lambda: _explain(snapshot, symbol, interval, moment))


def _explain(snapshot: Snapshot, symbol: str, interval: str, moment: datetime) -> Explanation | None:
    known = snapshot.bars.group(symbol, interval)
    until = known.filter(pl.col("event_time") <= moment) if not known.is_empty() else known
    if until.is_empty() or until["event_time"][-1] != moment:
        return None
    prediction, signal = (
        _at(table.group(symbol, interval), moment) for table in (snapshot.predictions, snapshot.signals)
    )
    used = until.tail(LOOKBACK + 1)
    models = snapshot.models
    version = None if signal is None else signal["model_version"]
    model = models.filter(pl.col("model_version") == version) if version and not models.is_empty() else models.clear()
    made = None if signal is None else signal["as_of"]
    tables = (BARS, PREDICTIONS, SIGNALS)
    return Explanation(
        symbol=symbol,
        interval=interval,
        bar=until.row(-1, named=True),
        prediction=prediction,
        signal=signal,
        model=None if model.is_empty() else model.row(-1, named=True),
        first=used["event_time"][0],
        used=used.height,
        corrected=0 if made is None else used.filter(pl.col("processed_at") > made).height,
        features=_features(until),
        versions={
            table.full_name: snapshot.tables[table.full_name].version
            for table in tables
            if table.full_name in snapshot.tables
        },
    )


def _at(rows: pl.DataFrame, moment: datetime) -> Row | None:
    found = rows.filter(pl.col("event_time") == moment) if not rows.is_empty() else rows
    return None if found.is_empty() else found.row(-1, named=True)


def _features(until: pl.DataFrame) -> tuple[Feature, ...]:
    """The features of the last bar, each beside those of the bars before it."""
    whole = features_of(until.tail(LOOKBACK + 1 + _COMPARED)).filter("scorable")
    if whole.is_empty() or whole["event_time"][-1] != until["event_time"][-1]:
        return ()
    last, before = whole.row(-1, named=True), whole.head(whole.height - 1)
    return tuple(Feature(name, last[name], _share_below(before[name].drop_nulls(), last[name])) for name in FEATURES)


def _share_below(values: pl.Series, value: float | None) -> float | None:
    """The share of values below one; equal ones count half. ``None`` if all are equal, or too few."""
    if value is None or len(values) < LOOKBACK or values.n_unique() < 2:
        return None
    known = values.to_numpy()
    return float(np.mean(known < value) + 0.5 * np.mean(known == value))
