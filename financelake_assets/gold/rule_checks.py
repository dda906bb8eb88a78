"""Examination of rules for leaks, on real bars with made-up forecasts.

Input: rules. Output: nothing, or the first signal that depends on what was not known, as an error that names its bar.
A process examines its rules once, before the first signal that they give.
"""

from __future__ import annotations

from functools import cache

import polars as pl

from financelake_assets.config import Settings
from financelake_assets.gold import rules
from financelake_assets.gold.signals import decide, surprise
from financelake_assets.intervals import SERIES
from financelake_assets.model.costs import Costs, with_costs
from financelake_assets.model.features import features_of
from financelake_assets.model.plugin_checks import example_bars, longest_series
from financelake_assets.plugins import examined, installed, leaks
from financelake_assets.plugins.declaration import Plugin, PluginError

_BARS_OF_A_SERIES = 600
_SERIES = 3


def in_use(settings: Settings) -> tuple[Plugin, ...]:
    """The rules that change this lake's signals, each examined.

    Raises:
        PluginError: one cannot be loaded, fails, or knows what was not known; then there must be no signal.
    """
    found = installed.rules(settings.skipped_plugins)
    examined.once(found, lambda: _examine_all(found))
    return found


def examine(rule: Plugin, scored: pl.DataFrame) -> None:
    """Examine a rule on scored bars.

    Args:
        rule: a rule.
        scored: the result of ``scored_examples``.

    Raises:
        PluginError: it fails, or has a leak.
    """
    for series in scored.partition_by(SERIES, maintain_order=True):
        leak = leaks.find(lambda part: rules.said(rule, part), series, rule.lookback)
        if leak is not None:
            raise PluginError(f"{rule.title} is refused ({leak.check}): {leak}")


@cache
def scored_examples() -> pl.DataFrame:
    """Packaged bars with forecasts that follow the last move, and the signals of the product's own rules."""
    newest = pl.concat(longest_series(example_bars(), _SERIES, _BARS_OF_A_SERIES))
    featured = with_costs(features_of(newest), Costs())
    known = pl.when("scorable")
    forecast = featured.with_columns(
        predicted_return=known.then(0.5 * pl.col("log_return")),
        volatility=known.then("bar_volatility"),
        probability_up=known.then(0.5 + (pl.col("log_return") / pl.col("bar_volatility")).clip(-4, 4) / 10),
        surprise=surprise(),
        dissimilarity=pl.lit(None, pl.Float64),
        market_open=pl.col("event_time").dt.weekday() < 6,  # Saturday
    )
    default = Settings.model_fields["signals"].default
    return decide(forecast, default, model_expired=False, slippage_bps=0.0).select(rules.HANDED)


def _examine_all(found: tuple[Plugin, ...]) -> None:
    for rule in found:
        examine(rule, scored_examples())
