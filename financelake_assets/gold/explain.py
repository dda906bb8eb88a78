"""Why a prediction was made: how much each input of its model contributed.

Input: a series and a bar. Output: the parts of its predicted return, which add up to it. They are computed on demand,
from the version that made the prediction and from the bars as they are now.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.gold.featured import featured
from financelake_assets.gold.schema import PREDICTIONS
from financelake_assets.model import artifacts, forest, registry
from financelake_assets.model.contributions import contributions, paths_of
from financelake_assets.model.markets import FURTHER
from financelake_assets.model.outputs import RETURNS
from financelake_assets.model.record import ModelRecord
from financelake_assets.plugins import installed
from financelake_assets.silver.schema import BARS


class NoPredictionError(FinanceLakeError, LookupError):
    """There is no prediction of that bar."""


@dataclass(frozen=True)
class Part:
    """What one input contributed to the predicted log return; ``value`` is the input's own."""

    name: str
    value: float
    contribution: float


@dataclass(frozen=True)
class Explained:
    """The parts of one prediction, the largest first.

    ``base`` is what the version predicts of this series when it knows no input; ``base`` and all parts add up to
    ``predicted_return``. ``stored_return`` is that of gold.predictions: another number if bars were corrected since.
    """

    symbol: str
    interval: str
    event_time: datetime
    model_version: str
    predicted_return: float
    stored_return: float
    base: float
    parts: tuple[Part, ...]


def explain(
    settings: Settings,
    symbol: str,
    interval: str | None = None,
    at: datetime | None = None,
    further: int | None = None,
) -> Explained:
    """Explain the prediction of a bar.

    Args:
        settings: the lake.
        symbol: of the series.
        interval: of the series; unset means that of the newest prediction.
        at: the start of the bar; unset means the newest bar with a prediction.
        further: the horizon, in bars, of a prediction of a further one; unset means the prediction of the signal.

    Raises:
        NoPredictionError: there is none, or it was not made by a forest.
        ArtifactError: the files of the version that made it are not as they were saved, or not of this release.
        PluginError: a plug-in that the version was trained with is not installed as it was.
    """
    prediction = _prediction(settings, symbol, interval, at, further)
    made = prediction.row(0, named=True)
    record = registry.get(settings, made["model_version"])
    if record.learner:
        (name,) = record.learner
        raise NoPredictionError(
            f"{record.model_version} is a model of the plug-in {name}, which does not tell what its inputs contribute.",
            remedy=f"`financelake model show {record.model_version}` says what its inputs are worth on average.",
        )
    bar = _featured(settings, record, prediction)
    loaded = registry.load_forest(settings, record)
    stage = forest.stages_of(artifacts.pipeline_of(settings.models_dir, record.model_version))[RETURNS]
    paths, inputs = paths_of(forest.nodes_of(stage)), loaded.inputs_of(bar)
    # the prediction is the forest's, shrunk and scaled: so are its parts
    shrunk = record.calibration.shrinkage_of(symbol, str(bar["asset_class"][0]))
    scale = shrunk * float(bar["bar_volatility"][0]) * math.sqrt(record.horizon)
    values = inputs.cast(pl.Float64).to_numpy()
    found = scale * contributions(paths, values)[0]
    parts = [Part(name, float(values[0, place]), float(found[place])) for place, name in enumerate(loaded.inputs)]
    return Explained(
        symbol=symbol,
        interval=record.interval,
        event_time=made["event_time"],
        model_version=record.model_version,
        predicted_return=float(scale * paths.base + np.sum(found)),
        stored_return=made["predicted_return"],
        base=scale * paths.base,
        parts=tuple(sorted(parts, key=lambda part: -abs(part.contribution))),
    )


def _prediction(
    settings: Settings, symbol: str, interval: str | None, at: datetime | None, further: int | None
) -> pl.DataFrame:
    """The row of gold.predictions."""
    ahead = ~FURTHER if further is None else FURTHER & (pl.col("horizon") == further)
    rows = PREDICTIONS.scan(settings).filter((pl.col("symbol") == symbol) & ahead)
    rows = rows if interval is None else rows.filter(pl.col("interval") == interval)
    rows = rows if at is None else rows.filter(pl.col("event_time") == at)
    newest = rows.sort("event_time", "as_of").tail(1).collect()
    if not newest.is_empty():
        return newest
    bar = f"{symbol}{'' if interval is None else f' {interval}'}{'' if at is None else f' at {at:%Y-%m-%d %H:%M}'}"
    bar += "" if further is None else f", {further} bars ahead"
    known = PREDICTIONS.scan(settings).select(pl.col("symbol").unique().sort()).collect()["symbol"].to_list()
    there = ", ".join(known[:20]) or "none"
    raise NoPredictionError(
        f"There is no prediction of {bar}; there are predictions of: {there}.",
        remedy="`financelake status` says which markets have a model.",
    )


def _featured(settings: Settings, record: ModelRecord, prediction: pl.DataFrame) -> pl.DataFrame:
    """The bar of a prediction, with its features."""
    plugins = installed.recorded(record.plugins, settings.skipped_plugins)
    bar = featured(settings, record, plugins, prediction.select(BARS.key))
    if bar.is_empty():
        symbol, moment = prediction.row(0, named=True)["symbol"], prediction["event_time"][0]
        raise NoPredictionError(
            f"{symbol} {record.interval} at {moment:%Y-%m-%d %H:%M} cannot be scored any more: silver has not the bars."
        )
    return bar
