"""Plug-ins and Spark frames: which bars a training examines them on, and what they raise in Spark's workers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from financelake_assets.intervals import SERIES
from financelake_assets.model import cost_checks, label_checks, plugin_checks
from financelake_assets.model.costs import Costs
from financelake_assets.model.features import LOOKBACK
from financelake_assets.model.other_series import OtherBars
from financelake_assets.model.plugged_features import Plugins, longest_lookback
from financelake_assets.model.training_rows import Bars
from financelake_assets.plugins import Plugin, PluginError


def refuse_unsafe(
    plugins: Plugins, costs: Costs, label: Plugin | None, horizon: int, bars: Bars, others: OtherBars
) -> None:
    """Examine features, costs and the label on the newest bars of a training's longest series; see ``plugin_checks``.

    Args:
        plugins: features.
        costs: with the functions to examine.
        label: if there is one.
        horizon: of the training.
        bars: of the training.
        others: bars of the other series that the features ask for.

    Raises:
        PluginError: the first that fails; the message has column and bar.
    """
    needed = plugin_checks.BARS_OF_A_SERIES + LOOKBACK + max(longest_lookback(plugins), costs.lookback, horizon)
    own = bars if isinstance(bars, pl.DataFrame) else _newest(bars, needed)
    plugin_checks.refuse_unsafe(plugins, own, others)
    cost_checks.refuse_unsafe(costs, own)
    if label is not None:
        label_checks.refuse_unsafe(label, horizon, own)


def _newest(bars: DataFrame, needed: int) -> pl.DataFrame:
    """The newest bars of the longest series, so that no more of a large market comes into this process."""
    longest = bars.groupBy(*SERIES).count().orderBy(F.desc("count"), *SERIES).limit(plugin_checks.MOST_SERIES)
    newest = Window.partitionBy(*SERIES).orderBy(F.desc("event_time"))
    rows = bars.join(longest, list(SERIES), "left_semi").withColumn("_back", F.row_number().over(newest))
    return pl.DataFrame(pl.from_arrow(rows.where(F.col("_back") <= needed).drop("_back").toArrow()))


@contextmanager
def errors_told() -> Iterator[None]:
    """Raise what a plug-in did wrong in a worker as what it was: Spark tells only the text of such an error.

    Raises:
        PluginError: a plug-in failed.
    """
    try:
        yield
    except PySparkException as error:
        found = re.search(rf"{PluginError.__name__}: (.+)", str(error))
        if found is None:
            raise
        raise PluginError(found[1]) from error
