"""Bars with the features that a version was trained with, read for those bars alone.

Input: the keys of bars of the version's interval. Output: those of them that can be scored, with all features.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from financelake_assets.config import Settings
from financelake_assets.model import other_reading
from financelake_assets.model.features import time_before
from financelake_assets.model.plugged_features import Plugins, features_with
from financelake_assets.model.record import ModelRecord
from financelake_assets.silver.schema import BARS


def featured(
    settings: Settings,
    record: ModelRecord,
    plugins: Plugins,
    keys: pl.DataFrame,
    bars: pl.LazyFrame | None = None,
) -> pl.DataFrame:
    """The features of bars.

    Args:
        settings: the lake.
        record: the version.
        plugins: as the version records them.
        keys: symbol, interval and event_time, of at least one bar.
        bars: silver.bars at an earlier version; unset means as they are now.

    Returns:
        The result of ``features_with`` for the bars that can be scored.

    Raises:
        PluginError: a plug-in fails.
    """
    first: datetime = keys["event_time"].min()  # type: ignore[assignment]
    span = pl.col("event_time").is_between(
        first - time_before(record.interval, record.plugin_bars), keys["event_time"].max()
    )
    own = (pl.col("interval") == record.interval) & pl.col("symbol").is_in(keys["symbol"].unique().to_list())
    silver = BARS.scan(settings) if bars is None else BARS.completed(bars)
    near = silver.filter(own & span).collect()
    others = other_reading.beside(settings, silver, plugins, near)
    return features_with(near, plugins, others).filter("scorable").join(keys, on=list(BARS.key), how="semi")
