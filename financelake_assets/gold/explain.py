"""Why a prediction was made: how much each input of its model contributed.

Input: a series and a bar, or rows of gold.predictions. Output: the parts of each predicted return, which add up to it.
They are computed on demand, from the version that made the prediction and from the bars as they are now, or as they
were; ``kept_contributions`` keeps those of the newest predictions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.explanations import did_you_mean
from financelake_assets.gold.featured import featured
from financelake_assets.gold.schema import PREDICTIONS
from financelake_assets.model import artifacts, forest, registry
from financelake_assets.model.contributions import Paths, contributions, paths_of
from financelake_assets.model.forest import Forest
from financelake_assets.model.markets import FURTHER
from financelake_assets.model.metrics import Floats
from financelake_assets.model.outputs import RETURNS
from financelake_assets.model.record import ModelRecord
from financelake_assets.plugins import installed
from financelake_assets.plugins.declaration import bar_in_words
from financelake_assets.silver.schema import BARS

_ROUNDING = 1e-12
"""Of a log return: the parts are added in another order than the trees."""


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
    ``predicted_return``. ``stored_return`` is that of gold.predictions: another number if the bars are not those that
    it was made of.
    """

    symbol: str
    interval: str
    event_time: datetime
    model_version: str
    predicted_return: float
    stored_return: float
    base: float
    parts: tuple[Part, ...]

    @property
    def made_of_these_bars(self) -> bool:
        """Whether the prediction that is stored was made of the bars that were read here."""
        return abs(self.predicted_return - self.stored_return) <= _ROUNDING


@dataclass(frozen=True)
class Version:
    """A version whose predictions can be explained."""

    record: ModelRecord
    forest: Forest
    paths: Paths


def explain(
    settings: Settings,
    symbol: str,
    interval: str | None = None,
    at: datetime | None = None,
    bars: pl.LazyFrame | None = None,
    further: int | None = None,
) -> Explained:
    """Explain the prediction of a bar.

    Args:
        settings: the lake.
        symbol: of the series.
        interval: of the series; unset means that of the newest prediction.
        at: the start of the bar; unset means the newest bar with a prediction.
        bars: silver.bars at an earlier version, of whose bars one is explained; unset means as they are now.
        further: the horizon, in bars, of a prediction of a further one; unset means the prediction of the signal.

    Raises:
        NoPredictionError: there is none, or it was not made by a forest.
        ArtifactError: the files of the version that made it are not as they were saved, or not of this release.
        PluginError: a plug-in that the version was trained with is not installed as it was.
    """
    prediction = _prediction(settings, symbol, interval, at, bars, further)
    version = load(settings, registry.get(settings, prediction["model_version"][0]))
    found = explained(settings, version, prediction, bars)
    if found:
        return found[0]
    raise NoPredictionError(
        f"{bar_in_words(prediction.row(0, named=True))} cannot be scored any more: silver has not the bars."
    )


def load(settings: Settings, record: ModelRecord) -> Version:
    """Load what explains the predictions of a version.

    Raises:
        NoPredictionError: no forest made them.
        ArtifactError: see ``registry.load_forest``.
        PluginError: see ``registry.load_forest``.
    """
    if record.learner:
        (name,) = record.learner
        raise NoPredictionError(
            f"{record.model_version} is a model of the plug-in {name}, which does not tell what its inputs contribute.",
            remedy=f"`financelake model show {record.model_version}` says what its inputs are worth on average.",
        )
    loaded = registry.load_forest(settings, record)
    stage = forest.stages_of(artifacts.pipeline_of(settings.models_dir, record.model_version))[RETURNS]
    return Version(record, loaded, paths_of(forest.nodes_of(stage)))


def explained(
    settings: Settings, version: Version, predictions: pl.DataFrame, bars: pl.LazyFrame | None = None
) -> list[Explained]:
    """Explain predictions of one version.

    Args:
        settings: the lake.
        version: that made them.
        predictions: the key of silver.bars and ``predicted_return``.
        bars: silver.bars at an earlier version; unset means as they are now.

    Returns:
        One for each prediction whose bar can still be scored.

    Raises:
        PluginError: a plug-in that the version was trained with is not installed as it was, or fails.
    """
    record, key = version.record, list(BARS.key)
    plugins = installed.recorded(record.plugins, settings.skipped_plugins)
    keys = predictions.select(key)
    rows = featured(settings, record, plugins, keys, bars).join(
        predictions.select(*key, stored="predicted_return"), on=key, maintain_order="left"
    )
    values = version.forest.inputs_of(rows).cast(pl.Float64).to_numpy()
    said = contributions(version.paths, values)
    return [_one(version, row, values[place], said[place]) for place, row in enumerate(rows.iter_rows(named=True))]


def _one(version: Version, row: dict[str, Any], values: Floats, said: Floats) -> Explained:
    record = version.record
    # the prediction is the forest's, shrunk and scaled: so are its parts
    shrunk = record.calibration.shrinkage_of(row["symbol"], str(row["asset_class"]))
    scale = shrunk * float(row["bar_volatility"]) * math.sqrt(record.horizon)
    found = scale * said
    names = enumerate(version.forest.inputs)
    parts = [Part(name, float(values[place]), float(found[place])) for place, name in names]
    return Explained(
        symbol=row["symbol"],
        interval=record.interval,
        event_time=row["event_time"],
        model_version=record.model_version,
        predicted_return=float(scale * version.paths.base + np.sum(found)),
        stored_return=row["stored"],
        base=scale * version.paths.base,
        parts=tuple(sorted(parts, key=lambda part: -abs(part.contribution))),
    )


def _prediction(
    settings: Settings,
    symbol: str,
    interval: str | None,
    at: datetime | None,
    bars: pl.LazyFrame | None,
    further: int | None,
) -> pl.DataFrame:
    """The row of gold.predictions."""
    ahead = ~FURTHER if further is None else FURTHER & (pl.col("horizon") == further)
    rows = PREDICTIONS.scan(settings).filter((pl.col("symbol") == symbol) & ahead)
    rows = rows if interval is None else rows.filter(pl.col("interval") == interval)
    rows = rows if at is None else rows.filter(pl.col("event_time") == at)
    if bars is not None:
        known_then = bars.filter(pl.col("symbol") == symbol).select(BARS.key)
        rows = rows.join(known_then, on=list(BARS.key), how="semi")
    newest = rows.sort("event_time", "as_of").tail(1).collect()
    if not newest.is_empty():
        return newest
    bar = f"{symbol}{'' if interval is None else f' {interval}'}{'' if at is None else f' at {at:%Y-%m-%d %H:%M}'}"
    bar += "" if further is None else f", {further} bars ahead"
    known = PREDICTIONS.scan(settings).select(pl.col("symbol").unique().sort()).collect()["symbol"].to_list()
    if symbol in known and bars is not None:
        raise NoPredictionError(f"There is no prediction of {bar} among the bars that silver had then.")
    there = ", ".join(known[:20]) or "none"
    raise NoPredictionError(
        f"There is no prediction of {bar}; there are predictions of: {there}.",
        remedy=f"{did_you_mean(symbol, known)}`financelake status` says which markets have a model.",
    )
