"""Rules of the user: installed functions of scored bars that change signals after the product's own rules.

Input: the result of ``signals.decide``. Output: the same rows, with the signals that the rules gave and the rule's name
as reason. The live query, the repair of history and the back-test all use this function. What cannot be traded at all
stays a HOLD.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from financelake_assets.gold.verdicts import RULE, HoldReason, Signal
from financelake_assets.intervals import SERIES
from financelake_assets.plugins.calling import called
from financelake_assets.plugins.declaration import Plugin, PluginError

HANDED = (
    *("symbol", "asset_class", "interval", "event_time", "close"),
    *("predicted_return", "volatility", "probability_up", "surprise", "market_open"),
    *("strength", "confidence", "cost_bps", "signal", "reason"),
)
"""The columns that a rule gets."""

FINAL = (HoldReason.MODEL_EXPIRED, HoldReason.INSUFFICIENT_HISTORY, HoldReason.MARKET_CLOSED)
"""Reasons that no rule overrules: there is no forecast, none to rely on, or nobody to trade with."""


def applied(decided: pl.DataFrame, rules: Sequence[Plugin]) -> pl.DataFrame:
    """Let the rules change signals, one after the other.

    Args:
        decided: the result of ``signals.decide`` with ``close``.
        rules: in use; each sees what the one before it gave.

    Returns:
        The same rows; ``reason`` of a signal that a rule changed names the rule.

    Raises:
        PluginError: a rule fails, or gives what is no signal.
    """
    if not rules or decided.is_empty():
        return decided
    series = decided.partition_by(SERIES, maintain_order=True)
    return pl.concat([_applied(one, rules) for one in series])


def longest_lookback(rules: Sequence[Plugin]) -> int:
    """How many scored bars before a bar its signal needs for the rules: each looks at what the one before it gave."""
    return sum(rule.lookback for rule in rules)


def _applied(series: pl.DataFrame, rules: Sequence[Plugin]) -> pl.DataFrame:
    fixed = pl.col("reason").is_in([reason.value for reason in FINAL]).fill_null(False)
    for rule in rules:
        given = said(rule, series.select(HANDED))
        changes = ~fixed & (given["signal"] != pl.col("signal"))
        series = series.with_columns(
            signal=pl.when(changes).then(given["signal"]).otherwise("signal"),
            reason=pl.when(changes).then(pl.lit(f"{RULE}{rule.name}")).otherwise("reason"),
        )
    return series


def said(rule: Plugin, series: pl.DataFrame) -> pl.DataFrame:
    """The column ``signal`` that a rule gives for the scored bars of a series.

    Raises:
        PluginError: the rule fails, or gives what is no signal.
    """
    given = called(rule, series)
    wrong = given.filter(~pl.col("signal").is_in([signal.value for signal in Signal]).fill_null(False))
    if not wrong.is_empty():
        raise PluginError(f"{rule.title} gives {wrong['signal'][0]!r}, not {', '.join(Signal)}")
    return given
