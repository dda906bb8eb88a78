"""The screener: which series of the watch list a visitor's filter keeps, in the language of the alerts' rules.

Input: a ``Snapshot`` and a text such as ``signal is BUY and rsi < 30 %``. Output: the series at whose newest bar the
filter holds, or the language's error. Nothing of a text is run as code.
"""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from dash_app.data.lake_reader import Snapshot
from financelake_assets.alerting.conditions import Rule
from financelake_assets.alerting.evaluation import matching
from financelake_assets.alerting.fields import SCREEN
from financelake_assets.alerting.language import parse
from financelake_assets.intervals import SERIES
from financelake_assets.model.features import FEATURES, LOOKBACK, features_of

Key = tuple[str, str]

_SIGNAL = ("signal", "confidence", "strength")
_COMPARED = 2
"""Bars of a series that a filter looks at: a crossing, and the change, compare the newest with the one before."""


def read(text: str) -> Rule:
    """Read a filter.

    Raises:
        RuleError: it cannot be understood; the message shows where.
    """
    return parse(text, SCREEN)


def kept(snapshot: Snapshot, text: str, series: Iterable[Key]) -> frozenset[Key]:
    """The series that a filter keeps; a signal is the newest one, which may be of the bar before.

    Raises:
        RuleError: as ``read``.
    """
    wanted = tuple(series)
    return snapshot.once(("screen", text, wanted), lambda: _kept(snapshot, read(text), wanted))


def _kept(snapshot: Snapshot, rule: Rule, wanted: tuple[Key, ...]) -> frozenset[Key]:
    names = {field.name for field in rule.fields}
    seen = names & set(FEATURES)
    # a feature needs the bars before it, and costs as much as all else together
    length = LOOKBACK + _COMPARED if seen else _COMPARED
    parts = [frame.tail(length) for key in wanted if not (frame := snapshot.bars.group(*key)).is_empty()]
    if not parts:
        return frozenset()
    bars = pl.concat(parts)
    rows = (features_of(bars) if seen else bars).group_by(SERIES, maintain_order=True).tail(_COMPARED)
    given = [
        frame.select(*SERIES, "event_time", *_SIGNAL)
        for key in wanted
        if not (frame := snapshot.signals.group(*key)).is_empty()
    ]
    if given:
        signals = pl.concat(given).sort("event_time")
        rows = rows.sort("event_time").join_asof(signals, on="event_time", by=list(SERIES), check_sortedness=False)
    else:
        rows = rows.with_columns(
            pl.lit(None, pl.String).alias("signal"), *(pl.lit(None, pl.Float64).alias(one) for one in _SIGNAL[1:])
        )
    return frozenset(matching(rule, rows.sort(*SERIES, "event_time")).select(SERIES).rows())
