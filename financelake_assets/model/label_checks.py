"""Examination of labels: whether they look ahead no further than they declare, on real bars.

Input: a label, and bars. Output: nothing, or the first label that depends on later bars, as an error that names its
bar. A training examines its label on its own market's bars before it learns it.
"""

from __future__ import annotations

import polars as pl

from financelake_assets.model import targets
from financelake_assets.model.features import features_of
from financelake_assets.model.labels import labels_of
from financelake_assets.model.plugin_checks import examined_series
from financelake_assets.plugins import Plugin, PluginError, leaks
from financelake_assets.plugins.calling import called


def refuse_unsafe(plugin: Plugin, horizon: int, bars: pl.DataFrame) -> None:
    """Make sure that a label knows only the bars up to its horizon, and is a target wherever it says something.

    Args:
        plugin: a label.
        horizon: of the training.
        bars: of one or more series, of which the newest are examined.

    Raises:
        PluginError: it fails, or knows what lies behind its horizon; the message has its bar.
    """
    targets.refuse_longer(plugin, horizon)
    ahead = horizon if plugin.ahead is None else plugin.ahead

    def made(part: pl.DataFrame) -> pl.DataFrame:
        return called(plugin, targets.handed(labels_of(part, horizon), horizon))

    for series in examined_series(bars, horizon):
        featured = features_of(series)
        leak = leaks.find_ahead(made, featured, ahead)
        if leak is not None:
            raise PluginError(f"{plugin.title} is refused ({leak.check}): {leak}")
        targets.with_target(labels_of(featured, horizon), horizon, plugin)
