"""Costs of an execution: what the settings say for a bar's asset class, changed by functions of the user.

Input: the result of ``features_of``. Output: the same rows with the cost of one execution at each bar, in basis points.
The live query, the repair of history, the back-test and the judgement of a training all use this function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from financelake_assets.config import AssetClass, PortfolioSettings, Settings, SignalSettings
from financelake_assets.intervals import SERIES
from financelake_assets.model import plugged_features
from financelake_assets.model.outputs import COST, EXECUTION
from financelake_assets.model.plugged_features import Plugins, has_bars_before
from financelake_assets.plugins import PluginError, installed
from financelake_assets.plugins.calling import called
from financelake_assets.plugins.declaration import Plugin, bar_in_words

MOST_BPS = 10_000
"""More than the whole price is no cost."""


@dataclass(frozen=True)
class Costs:
    """What one execution costs, in basis points; the default is that of the default settings.

    ``by_class``: by asset class; ``slippage_bps``: on top; ``functions``: change the cost, one after the other.
    """

    by_class: Mapping[AssetClass, float] = field(default_factory=lambda: dict(SignalSettings().cost_bps))
    slippage_bps: float = field(default_factory=lambda: PortfolioSettings().slippage_bps)
    functions: Plugins = ()

    @classmethod
    def of(cls, settings: Settings) -> Costs:
        """Those of a lake.

        Raises:
            PluginError: a function cannot be loaded.
        """
        functions = installed.costs(settings.skipped_plugins)
        return cls(dict(settings.signals.cost_bps), settings.portfolio.slippage_bps, functions)

    @property
    def lookback(self) -> int:
        """How many bars before a bar its cost needs: each function sees what the one before it gave."""
        return sum(function.lookback for function in self.functions)


def with_costs(featured: pl.DataFrame, costs: Costs) -> pl.DataFrame:
    """Add what an execution costs at each bar.

    Args:
        featured: the result of ``features_of``.
        costs: of the lake.

    Returns:
        The same rows with ``cost_bps`` (one way, without slippage) and ``execution_bps`` (with it). Bars before the
        look-back of a function, and those that cannot be scored and for which it gives nothing, have the cost before
        it.

    Raises:
        PluginError: a function fails, or gives what is no cost at a bar that can be scored.
    """
    of_class = pl.col("asset_class").replace_strict(dict(costs.by_class), default=None, return_dtype=pl.Float64)
    priced = featured.with_columns(of_class.alias(COST))
    if costs.functions and not priced.is_empty():
        priced = pl.concat(_changed(one, costs) for one in priced.partition_by(SERIES, maintain_order=True))
    return priced.with_columns((pl.col(COST) + costs.slippage_bps).alias(EXECUTION))


def handed(priced: pl.DataFrame) -> pl.DataFrame:
    """What a function gets of a series: what features get, and the cost so far."""
    return plugged_features.handed(priced).with_columns(priced[COST])


def _changed(series: pl.DataFrame, costs: Costs) -> pl.DataFrame:
    lookback = 0
    for function in costs.functions:
        lookback += function.lookback
        said = called(function, handed(series))[COST]
        judged = series.with_columns(
            _said=said,
            _behind=has_bars_before(str(series["interval"][0]), lookback),
            _is_cost=(said.is_finite() & said.is_between(0, MOST_BPS)).fill_null(False),
        )
        _refuse(function, judged.filter("scorable", "_behind", ~pl.col("_is_cost")))
        used = pl.when(pl.col("_behind") & pl.col("_is_cost")).then("_said").otherwise(COST)
        series = judged.with_columns(used.alias(COST)).drop("_said", "_behind", "_is_cost")
    return series


def _refuse(function: Plugin, wrong: pl.DataFrame) -> None:
    if not wrong.is_empty():
        bar = wrong.row(0, named=True)
        said = "null" if bar["_said"] is None else f"{bar['_said']:g}"
        raise PluginError(
            f"{function.title} gives the cost {said} for {bar_in_words(bar)}, not 0 to {MOST_BPS:,} basis points",
            remedy="Let it give `cost_bps` as it came where it cannot compute another one.",
        )
