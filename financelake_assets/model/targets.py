"""Targets: what the forest of the return learns, which is the label or what a function of the user makes of it.

Input: the result of ``labels_of``. Output: the same rows with ``target``. Only the learning sees it. Calibration turns
what the forest says into a return over the horizon, and all judgement is of that return, so a predicted return means
the same whatever was learnt (docs/decisions/0013-labels.md).
"""

from __future__ import annotations

import polars as pl

from financelake_assets.intervals import SERIES
from financelake_assets.model import plugged_features
from financelake_assets.model.labels import LABEL, LARGEST_LABEL, TARGET
from financelake_assets.plugins.calling import called
from financelake_assets.plugins.declaration import Plugin, PluginError, bar_in_words

HANDED = ("horizon", "expected_move", "realised_return", LABEL)
"""What a label gets of a series beside what a feature gets."""


def with_target(labelled: pl.DataFrame, horizon: int, plugin: Plugin | None = None) -> pl.DataFrame:
    """Add what is learnt.

    Args:
        labelled: the result of ``labels_of``.
        horizon: how many bars ahead.
        plugin: a label; none leaves the target as the label.

    Returns:
        The same rows with ``target``, null where nothing is learnt of the row: the label is not known, or the plug-in
        leaves the row out.

    Raises:
        PluginError: the plug-in fails, or gives what is no target at a row that can be learnt.
    """
    if plugin is None or labelled.is_empty():
        return labelled.with_columns(pl.col(LABEL).alias(TARGET))
    return pl.concat(_learnt(one, horizon, plugin) for one in labelled.partition_by(SERIES, maintain_order=True))


def handed(labelled: pl.DataFrame, horizon: int) -> pl.DataFrame:
    """What a label gets of a series of ``labels_of``."""
    own = labelled.select(pl.lit(horizon).alias("horizon"), *HANDED[1:])
    return plugged_features.handed(labelled).with_columns(own.get_columns())


def refuse_longer(plugin: Plugin, horizon: int) -> None:
    """Make sure that a label looks no further than the return that is predicted, so it is known no later.

    Raises:
        PluginError: it declares more bars than the horizon.
    """
    if plugin.ahead is not None and plugin.ahead > horizon:
        raise PluginError(
            f"{plugin.title} looks {plugin.ahead} bars ahead, and the return over {horizon} is predicted",
            remedy=f"Predict as far as it looks: FINANCELAKE_MODEL__HORIZON={plugin.ahead}.",
        )


def _learnt(series: pl.DataFrame, horizon: int, plugin: Plugin) -> pl.DataFrame:
    said = called(plugin, handed(series, horizon))[LABEL]
    can_be_learnt = pl.col("scorable") & pl.col(LABEL).is_not_null()
    told = series.with_columns(_said=said, _is_target=said.is_between(-LARGEST_LABEL, LARGEST_LABEL).fill_null(True))
    wrong = told.filter(can_be_learnt & ~pl.col("_is_target"))
    if not wrong.is_empty():
        bar = wrong.row(0, named=True)
        raise PluginError(
            f"{plugin.title} gives the label {bar['_said']:g} for {bar_in_words(bar)}, not a number of expected moves "
            f"from -{LARGEST_LABEL:g} to {LARGEST_LABEL:g}, or null",
            remedy="Divide a log return by `expected_move`, and clip it.",
        )
    target = pl.when(pl.col(LABEL).is_not_null() & pl.col("_is_target")).then("_said")
    return told.with_columns(target.alias(TARGET)).drop("_said", "_is_target")
