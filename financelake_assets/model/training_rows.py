"""Training rows: bars → features and labels, as Spark rows for the forests and as a frame for the evaluation.

Input: silver bars of one interval. Output: the rows that can be predicted; those whose label is not null can be learnt.
A bar of trades that may still grow is left out: its close is no outcome yet.
The bars of most markets fit in this process, and polars computes them at once. Spark's workers compute a larger market,
a series each. Both apply the same pure functions, so the rows are the same to the last bit.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from financelake_assets.config import ModelSettings, Settings
from financelake_assets.model.costs import Costs, with_costs
from financelake_assets.model.feature_frames import by_series
from financelake_assets.model.features import FEATURES, SYMBOL_WEEKDAY
from financelake_assets.model.labels import LABEL, LABELS, SIZE, TARGET, UP, labels_of
from financelake_assets.model.markets import Market
from financelake_assets.model.other_series import NONE, OtherBars
from financelake_assets.model.outputs import COST, EXECUTION
from financelake_assets.model.pipeline import local
from financelake_assets.model.plugged_features import Plugins, added, columns_of, features_with
from financelake_assets.model.targets import with_target
from financelake_assets.plugins import Plugin
from financelake_assets.silver.merging import without_growing
from financelake_assets.silver.schema import BARS

MOST_LOCAL_BARS = 500_000
"""A market with more bars is computed by Spark: that many take 1 GB of this process."""

KEY = ("symbol", "asset_class", "event_time")
"""The key of labelled rows; all have the same interval."""

_LATER = ("delayed_return", "traded_return")
FACTS = (*KEY, "target_time", "price", "realised_return", *_LATER, "expected_move", LABEL, EXECUTION)
"""What the evaluation needs of a row."""

_PRICED = (pa.field(COST, pa.float64()), pa.field(EXECUTION, pa.float64()))
_AIMED = pa.field(TARGET, pa.float64())
_PARTITIONS = 2

Bars = DataFrame | pl.DataFrame
"""Silver bars of one interval: in Spark, or in this process."""


def read_bars(session: SparkSession, settings: Settings, version: int, market: Market) -> Bars:
    """Silver's bars of a market at a Delta version; in this process if there are at most ``MOST_LOCAL_BARS``."""
    own = BARS.scan(settings, version).filter(pl.col("interval") == market.interval)
    if own.select(pl.len()).collect().item() <= MOST_LOCAL_BARS:
        return own.collect()
    bars = session.read.format("delta").option("versionAsOf", version).load(BARS.path(settings))
    return bars.where(F.col("interval") == market.interval)


def chosen(bars: Bars, settings: ModelSettings) -> Bars:
    """The bars of the symbols that the settings learn from."""
    if not settings.symbols:
        return bars
    if isinstance(bars, pl.DataFrame):
        return bars.filter(pl.col("symbol").is_in(list(settings.symbols)))
    return bars.where(F.col("symbol").isin(*settings.symbols))


def scorable_rows(
    session: SparkSession,
    bars: Bars,
    settings: ModelSettings,
    plugins: Plugins = (),
    costs: Costs | None = None,
    label: Plugin | None = None,
    others: OtherBars = NONE,
) -> DataFrame:
    """The rows that can be predicted, with features and labels, computed once; a label is null if it is not known yet.

    The target, which is learnt, is null too where nothing is learnt of a row.

    Args:
        session: the session of ``bars``.
        bars: whole series.
        settings: the symbols and the horizon.
        plugins: the feature plug-ins to learn from too.
        costs: of an execution at each row; unset means the default settings.
        label: what is learnt of the return; unset is our own label.
        others: bars of the other series that the plug-ins ask for.

    Raises:
        PluginError: a plug-in fails; from Spark's workers it comes as Spark's error, see ``plugin_frames.errors_told``.
    """
    own, horizon, charged = chosen(bars, settings), settings.horizon, Costs() if costs is None else costs
    # resolved here, not in Spark's workers
    ended, featured, priced, labelled, aimed = without_growing, features_with, with_costs, labels_of, with_target
    plugins = tuple(plugins)

    def made(series: pl.DataFrame) -> pl.DataFrame:
        known = labelled(priced(featured(ended(series), plugins, others), charged), horizon)
        return aimed(known, horizon, label)

    if isinstance(own, pl.DataFrame):
        arrow = made(own).filter("scorable").select(_columns(plugins)).to_arrow()
        rows = session.createDataFrame(arrow, from_arrow_schema(arrow.schema))  # without rows it would infer no schema
    else:
        rows = by_series(own, made, pa.schema([*added(plugins), *_PRICED, *LABELS, _AIMED])).where("scorable")
    # a forest's samples depend on the order of rows: sort them, because silver's files have no fixed order
    parts = ("symbol", "event_time")
    ordered = rows.select(*_columns(plugins)).repartition(_PARTITIONS, *parts).sortWithinPartitions(*parts)
    # otherwise every job of every fit would compute the rows again
    return ordered.localCheckpoint()


def facts_of(rows: DataFrame) -> pl.DataFrame:
    """``FACTS`` of the rows, in UTC without a zone; sorted, because the last bits of a mean depend on the order."""
    return local(rows.select(*FACTS)).sort(KEY)


def _columns(plugins: Plugins) -> tuple[str, ...]:
    return (*FACTS, TARGET, UP, SIZE, *FEATURES, *columns_of(plugins), SYMBOL_WEEKDAY)


def utc(moment: datetime) -> str:
    """A literal that Spark reads as the same instant in every time zone of the session.

    Args:
        moment: a time in UTC, with or without its zone.
    """
    return f"{moment.replace(tzinfo=None).isoformat(sep=' ')}Z"
