"""Features with those of plug-ins: the product's own columns, and beside them what the user's functions give.

Input: bars, and the plug-ins in use. Output: the result of ``features_of`` with the columns of the plug-ins. Without
plug-ins it is the result of ``features_of`` itself. Training, scoring and drift all use this function.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pyarrow as pa

from financelake_assets.intervals import SERIES
from financelake_assets.model import other_series
from financelake_assets.model.features import ADDED, LOOKBACK, features_of, time_before
from financelake_assets.model.labels import LABELS, TARGET
from financelake_assets.model.other_series import NONE, OtherBars
from financelake_assets.model.outputs import COST, DISSIMILARITY, EXECUTION, OUTPUTS, WEEKDAY_EFFECT
from financelake_assets.plugins.calling import called
from financelake_assets.plugins.declaration import Plugin, PluginError, bar_in_words
from financelake_assets.silver.schema import BARS

Plugins = Sequence[Plugin]

HANDED = (
    *("symbol", "asset_class", "interval", "event_time"),
    *("open", "high", "low", "close", "adj_close", "volume", "split", "imputed"),
    *("price", "log_return", "bar_volatility"),
)
"""The columns that a feature plug-in gets: those of the bars, and three that ``features_of`` adds."""


def features_with(bars: pl.DataFrame, plugins: Plugins, others: OtherBars = NONE) -> pl.DataFrame:
    """Add the product's own features and those of plug-ins.

    Args:
        bars: see ``features_of``.
        plugins: in use.
        others: bars of the other series that they ask for.

    Returns:
        See ``features_of``, with the columns of the plug-ins. A bar is scorable only behind the look-backs of all
        plug-ins and where they have the bars of other series, and there each of their values is finite.

    Raises:
        PluginError: a plug-in fails, or gives a value that is not finite at a scorable bar, or silver has no bar of
            another symbol that it asks for.
    """
    featured = features_of(bars)
    if not plugins:
        return featured
    return pl.concat(
        _extended(series, plugins, others) for series in featured.partition_by(SERIES, maintain_order=True)
    )


def handed(featured: pl.DataFrame) -> pl.DataFrame:
    """What a feature plug-in gets of a series of ``features_of``."""
    return featured.select(name for name in HANDED if name in featured.columns)


def made_by(plugin: Plugin, given: pl.DataFrame, others: OtherBars = NONE) -> pl.DataFrame:
    """The columns of a feature.

    Args:
        plugin: a feature.
        given: see ``handed``.
        others: bars of the other series that it asks for.

    Raises:
        PluginError: it fails.
    """
    if not plugin.others:
        return called(plugin, given)
    ended = other_series.with_ends(given)
    return called(plugin, ended, others=other_series.handed(plugin, ended, others))


def columns_of(plugins: Plugins) -> tuple[str, ...]:
    """The columns of plug-ins, in their order.

    Raises:
        PluginError: one has a name that bars, features or labels have.
    """
    taken = {
        *BARS.schema.names,
        *ADDED.names,
        *LABELS.names,
        TARGET,
        *OUTPUTS,
        DISSIMILARITY,
        WEEKDAY_EFFECT,
        COST,
        EXECUTION,
        "inputs",
    }
    for plugin in plugins:
        for name in plugin.columns:
            if name in taken:
                raise PluginError(f"the column {name} of {plugin.title} has a name that FinanceLake uses itself")
    return tuple(name for plugin in plugins for name in plugin.columns)


def added(plugins: Plugins) -> pa.Schema:
    """The columns that ``features_with`` adds."""
    return pa.schema([*ADDED, *(pa.field(name, pa.float64()) for name in columns_of(plugins))])


def longest_lookback(plugins: Plugins) -> int:
    """How many bars the plug-ins need before a bar, in addition to those for the product's own features."""
    return max((plugin.lookback for plugin in plugins), default=0)


def _extended(series: pl.DataFrame, plugins: Plugins, others: OtherBars) -> pl.DataFrame:
    given = handed(series)
    made = series.with_columns(
        column for plugin in plugins for column in made_by(plugin, given, others).get_columns()
    ).with_columns(scorable=pl.col("scorable") & has_bars_before(str(series["interval"][0]), longest_lookback(plugins)))
    for plugin in other_series.asking(plugins):
        made = made.with_columns(pl.col("scorable") & other_series.computable(plugin, series, others))
    for plugin in plugins:
        refuse_gaps(plugin, made)
    return made


def refuse_gaps(plugin: Plugin, made: pl.DataFrame) -> None:
    """Make sure that a plug-in has a value at each scorable bar.

    Args:
        plugin: a feature.
        made: bars with ``scorable`` and its columns.

    Raises:
        PluginError: one is null, NaN or infinite.
    """
    for name in plugin.columns:
        gaps = made.filter("scorable", ~pl.col(name).is_finite().fill_null(False))
        if not gaps.is_empty():
            bar = gaps.row(0, named=True)
            raise PluginError(
                f"the column {name} of {plugin.title} is {'null' if bar[name] is None else bar[name]} for "
                f"{bar_in_words(bar)}, behind its look-back of {plugin.lookback} bars",
                remedy="Let the plug-in give a neutral number where it cannot be computed.",
            )


def has_bars_before(interval: str, lookback: int) -> pl.Expr:
    """Whether all bars of a look-back, and those that their own features need, are within what scoring reads.

    Args:
        interval: of the series.
        lookback: of plug-ins, in bars.
    """
    span = pl.col("event_time") - pl.col("event_time").shift(LOOKBACK + lookback)
    return (span <= time_before(interval, lookback)).fill_null(False)
