"""Examination of costs for leaks, on real bars.

Input: the costs of a lake, and bars. Output: nothing, or the first cost that depends on what was not known, as an error
that names its bar. A training examines them on its own market's bars, and each process on the packaged ones before its
first signal.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import polars as pl

from financelake_assets.config import Settings
from financelake_assets.model.costs import Costs, handed, with_costs
from financelake_assets.model.features import LOOKBACK, features_of
from financelake_assets.model.plugin_checks import examined_series, example_bars, longest_series
from financelake_assets.plugins import PluginError, examined, leaks
from financelake_assets.plugins.calling import called

_BARS_OF_A_SERIES = 400
_SERIES = 3


def in_use(settings: Settings) -> Costs:
    """The costs of a lake, each function examined.

    Raises:
        PluginError: one cannot be loaded, fails, or knows what was not known; then there must be no signal.
    """
    costs = Costs.of(settings)
    examined.once(tuple(costs.functions), lambda: refuse_unsafe(costs, _examples(costs)))
    return costs


def _examples(costs: Costs) -> pl.DataFrame:
    """Few packaged bars: the first signal waits for this examination, and a training makes a longer one."""
    needed = LOOKBACK + costs.lookback + _BARS_OF_A_SERIES
    return pl.concat(longest_series(example_bars(), _SERIES, needed))


def refuse_unsafe(costs: Costs, bars: pl.DataFrame) -> None:
    """Make sure that costs know nothing that was not known, and are costs at each bar that is scored.

    Args:
        costs: with functions to examine.
        bars: of one or more series, of which the newest are examined.

    Raises:
        PluginError: the first that fails; the message has its bar.
    """
    for series in examined_series(bars, costs.lookback) if costs.functions else ():
        featured = features_of(series)
        for place, function in enumerate(costs.functions):
            given = handed(with_costs(featured, replace(costs, functions=costs.functions[:place])))
            leak = leaks.find(partial(called, function), given, function.lookback)
            if leak is not None:
                raise PluginError(f"{function.title} is refused ({leak.check}): {leak}")
        with_costs(featured, costs)
