"""Examination of features for leaks, of plug-ins and of the product's own, on real bars.

Input: plug-ins, and bars. Output: nothing, or the first value that depends on what was not known, as an error that
names its column and bar. A training examines its plug-ins on its own market's bars before it learns from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import polars as pl

from financelake_assets.intervals import SERIES
from financelake_assets.model import other_series
from financelake_assets.model.features import FEATURES, LOOKBACK, features_of
from financelake_assets.model.other_series import NONE, OtherBars
from financelake_assets.model.plugged_features import (
    Plugins,
    columns_of,
    handed,
    longest_lookback,
    made_by,
    refuse_gaps,
)
from financelake_assets.plugins import leaks
from financelake_assets.plugins.calling import called
from financelake_assets.plugins.declaration import Plugin, PluginError
from financelake_assets.plugins.leaks import Leak
from financelake_assets.providers.replay import ReplayProvider

BARS_OF_A_SERIES = 1_500
"""So many of the newest bars of a series, and those of the look-back, are examined."""

MOST_SERIES = 12
_LEAST_BARS = 20  # fewer beyond the look-back show little
_CUTS_OF_OURS = 6  # our own features take longer than a plug-in


def refuse_unsafe(plugins: Plugins, bars: pl.DataFrame, others: OtherBars = NONE) -> None:
    """Make sure that plug-ins know nothing that was not known, and have a value wherever a bar is scored.

    Args:
        plugins: features.
        bars: of one or more series, of which the newest are examined.
        others: bars of the other series that they ask for.

    Raises:
        PluginError: the first that fails; the message has column and bar.
    """
    columns_of(plugins)
    for series in examined_series(bars, longest_lookback(plugins)):
        featured = features_of(series)
        for plugin in plugins:
            examine(plugin, featured, others)


def examine(plugin: Plugin, featured: pl.DataFrame, others: OtherBars = NONE) -> None:
    """Examine a plug-in on a series.

    Args:
        plugin: a feature.
        featured: the result of ``features_of`` for one series.
        others: bars of the other series that it asks for.

    Raises:
        PluginError: it fails, or has a leak, or lacks a value.
    """
    bars = handed(featured)
    # of a part of the bars it gets the part of the other series that was known by then
    leak = leaks.find(lambda part: made_by(plugin, part, others), bars, plugin.lookback)
    if leak is None and plugin.others:
        ended = other_series.with_ends(bars)
        whole = other_series.handed(plugin, ended, others)
        leak = leaks.find_in_others(lambda own, seen: called(plugin, own, others=seen), ended, whole)
    if leak is not None:
        raise PluginError(f"{plugin.title} is refused ({leak.check}): {leak}")
    behind = pl.int_range(pl.len()) >= LOOKBACK + plugin.lookback
    known = other_series.computable(plugin, bars, others)
    made = featured.with_columns(made_by(plugin, bars, others).get_columns())
    refuse_gaps(plugin, made.with_columns(scorable=pl.col("scorable") & behind & known))


def leak_of_ours(bars: pl.DataFrame) -> Leak | None:
    """The first leak of the product's own features, which must be the same to the last bit.

    Args:
        bars: as for ``refuse_unsafe``.
    """
    names = ("price", "log_return", "bar_volatility", *FEATURES)

    def made(part: pl.DataFrame) -> pl.DataFrame:
        # features of a bar that is not scorable are not used
        known = pl.when("scorable")
        return features_of(part).select("scorable", *(known.then(pl.col(name)).alias(name) for name in names))

    found = (leaks.find(made, one, LOOKBACK, tolerance=0.0, cuts=_CUTS_OF_OURS) for one in examined_series(bars, 0))
    return next((leak for leak in found if leak is not None), None)


@cache
def example_bars() -> pl.DataFrame:
    """The packaged bars, for what is examined before there is a market: every column that plug-ins get is there."""
    chunks = (chunk.rows for part in ReplayProvider().history() for chunk in part.chunks)
    bars = pl.concat(chunks).drop_nulls("close").unique([*SERIES, "event_time"], keep="last")
    return bars.with_columns(imputed=pl.lit(None, pl.String))


def longest_series(bars: pl.DataFrame, most: int, newest: int) -> Iterator[pl.DataFrame]:
    """The newest bars of each of the longest series, by time.

    Args:
        bars: of one or more series.
        most: series.
        newest: bars of a series.
    """
    whole = sorted(bars.partition_by(SERIES), key=lambda one: (-one.height, one["symbol"][0]))
    for series in whole[:most]:
        yield series.sort("event_time").tail(newest)


def examined_series(bars: pl.DataFrame, lookback: int) -> Iterator[pl.DataFrame]:
    """The series to examine: the newest bars of the longest, those with enough bars behind the look-back.

    Args:
        bars: of one or more series.
        lookback: of what is examined, in bars.
    """
    needed = LOOKBACK + lookback
    for series in longest_series(bars, MOST_SERIES, BARS_OF_A_SERIES + needed):
        if series.height >= needed + _LEAST_BARS:
            yield series
