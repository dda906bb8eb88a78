"""Predictions rebuilt: what a version says of bars as they were, beside what gold.predictions holds.

Input: a version, and silver.bars at some version. Output: the predictions again, and those that are not the same to the
last bit. A prediction is a function of its version's files, of the bars up to its own, and of the series' earlier
predictions, from which its interval follows; all of them are kept, so it comes out the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from financelake_assets.config import Settings
from financelake_assets.explanations import did_you_mean
from financelake_assets.gold import scoring
from financelake_assets.gold.adapting import COLUMNS, adapted
from financelake_assets.gold.explain import NoPredictionError
from financelake_assets.gold.predict import score
from financelake_assets.gold.schema import PREDICTIONS
from financelake_assets.intervals import SERIES
from financelake_assets.model import features, other_reading, registry
from financelake_assets.model.features import LOOKBACK, time_before
from financelake_assets.model.plugged_features import features_with
from financelake_assets.model.record import ModelRecord
from financelake_assets.plugins import installed
from financelake_assets.silver.merging import without_growing
from financelake_assets.silver.schema import BARS

_KEY = list(BARS.key)
_SAID = [name for name in PREDICTIONS.schema.names if name not in (*PREDICTIONS.key, "as_of")]
"""The columns that are compared: what a prediction says, and the bar that it is of."""


@dataclass(frozen=True)
class Rebuilt:
    """Predictions that were made again.

    ``rows``: of gold.predictions, by series and time, with the ``as_of`` of those that it holds. ``lacking``: how many
    could not be made again, because silver had not their bars. ``differing``: those that are not the same, with
    ``column`` (the first that differs), ``rebuilt`` and ``stored`` (its values as text) and ``corrected`` (whether a
    bar that the prediction rests on was written after it was made).
    """

    rows: pl.DataFrame
    lacking: int
    differing: pl.DataFrame


def rebuild(
    settings: Settings,
    record: ModelRecord,
    bars: pl.LazyFrame,
    symbols: Sequence[str] = (),
    start: datetime | None = None,
    end: datetime | None = None,
) -> Rebuilt:
    """Make the predictions of a version again that gold.predictions holds.

    Args:
        settings: the lake.
        record: the version.
        bars: silver.bars, as they are or at an earlier version.
        symbols: of these alone; none means all.
        start: of bars that begin then or later.
        end: of bars that begin before.

    Raises:
        NoPredictionError: gold holds none of them.
        ArtifactError: the files of the version differ from the registered hashes.
        PluginError: a plug-in that the version was trained with is not installed as it was, or fails.
    """
    stored = _stored(settings, record, symbols, start, end)
    first: datetime = stored["event_time"].min()  # type: ignore[assignment]
    # as many as the gold query has at hand
    extra = scoring.bars_before(settings) + record.plugin_bars + record.horizon
    own = (pl.col("interval") == record.interval) & pl.col("symbol").is_in(stored["symbol"].unique().to_list())
    since = first - time_before(record.interval, extra)
    silver, plugins = BARS.completed(bars), installed.recorded(record.plugins, settings.skipped_plugins)
    near = without_growing(silver.filter(own, pl.col("event_time") >= since).collect())
    featured = features_with(near, plugins, other_reading.beside(settings, silver, plugins, near))
    stamped = featured.join(
        stored.select(*_KEY, "horizon", "model_version", "as_of"), on=_KEY, how="inner", maintain_order="left"
    )
    made = score(stamped, registry.load_predictor(settings, record), record)
    whole = pl.concat([PREDICTIONS.empty, *_with_intervals(settings, made, featured, record)]).sort(_KEY)
    rested = _written_last(featured, LOOKBACK + extra)
    return Rebuilt(whole, stored.height - whole.height, _differing(whole, stored, rested))


def _stored(
    settings: Settings, record: ModelRecord, symbols: Sequence[str], start: datetime | None, end: datetime | None
) -> pl.DataFrame:
    own = PREDICTIONS.scan(settings).filter(pl.col("model_version") == record.model_version)
    rows = own if start is None else own.filter(pl.col("event_time") >= start)
    rows = rows if end is None else rows.filter(pl.col("event_time") < end)
    rows = rows.filter(pl.col("symbol").is_in(list(symbols))) if symbols else rows
    found = rows.collect()
    if found.is_empty():
        known = own.select(pl.col("symbol").unique().sort()).collect()["symbol"].to_list()
        meant = "".join(did_you_mean(symbol, known) for symbol in symbols if symbol not in known)
        raise NoPredictionError(
            f"gold.predictions holds no such prediction of {record.model_version}; it has some of: "
            f"{', '.join(known[:20]) or 'nothing'}.",
            remedy=f"{meant}`financelake model list` shows all versions.",
        )
    return found


def _with_intervals(
    settings: Settings, made: pl.DataFrame, featured: pl.DataFrame, record: ModelRecord
) -> list[pl.DataFrame]:
    """The predictions with their intervals as they adapted; each follows from those that stood there when it was made.

    One frame for each time at which some were made, because what was written meanwhile counts for the later ones.
    """
    series = made.select(SERIES).unique()
    earlier = PREDICTIONS.scan(settings).select(COLUMNS).join(series.lazy(), on=SERIES, how="semi").collect()
    reach = features.reach(record.interval) * record.horizon
    parts = []
    for some in made.partition_by("as_of"):
        stood = (pl.col("as_of") < some["as_of"][0]) & (
            pl.col("event_time") >= pl.lit(some["event_time"].min()) - reach
        )
        parts.append(adapted(some, featured, earlier.filter(stood), record).select(made.columns))
    return parts


def _written_last(bars: pl.DataFrame, before: int) -> pl.DataFrame:
    """For each bar, when the last of it and of the bars before was written."""
    written = pl.col("processed_at").to_physical().rolling_max(before + 1, min_samples=1).over(SERIES)
    return bars.select(*_KEY, written=written.cast(pl.Datetime("us", "UTC")))


def _differing(made: pl.DataFrame, stored: pl.DataFrame, rested: pl.DataFrame) -> pl.DataFrame:
    both = made.join(stored, on=list(PREDICTIONS.key), suffix="_stored").join(rested, on=_KEY, how="left")
    unlike = {name: pl.col(name).ne_missing(pl.col(f"{name}_stored")) for name in _SAID}

    def of_the_first(told: dict[str, pl.Expr]) -> pl.Expr:
        return pl.coalesce(pl.when(unlike[name]).then(value) for name, value in told.items())

    return (
        both.filter(pl.any_horizontal(unlike.values()))
        .select(
            *PREDICTIONS.key,
            of_the_first({name: pl.lit(name) for name in _SAID}).alias("column"),
            of_the_first({name: pl.col(name).cast(pl.String) for name in _SAID}).alias("rebuilt"),
            of_the_first({name: pl.col(f"{name}_stored").cast(pl.String) for name in _SAID}).alias("stored"),
            corrected=(pl.col("written") > pl.col("as_of")).fill_null(False),
        )
        .sort(_KEY)
    )
