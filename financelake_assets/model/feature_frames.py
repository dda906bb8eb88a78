"""Features and labels of every series of a Spark DataFrame: applies the pure functions in Spark."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructType

from financelake_assets.intervals import SERIES
from financelake_assets.model.plugged_features import Plugins, added, features_with


def with_features(bars: DataFrame, plugins: Plugins = ()) -> DataFrame:
    """Apply ``features_with`` to every series of a Spark frame."""
    featured, plugins = features_with, tuple(plugins)  # resolved here, not in the workers
    return by_series(bars, lambda series: featured(series, plugins), added(plugins))


def by_series(bars: DataFrame, function: Callable[[pl.DataFrame], pl.DataFrame], added: pa.Schema) -> DataFrame:
    """Apply a function of frames to every series of a Spark frame, each in one Python worker.

    Args:
        bars: rows with the columns of ``SERIES``.
        function: adds columns to the rows of a series.
        added: the schema of the added columns.
    """

    def of_series(rows: pa.Table) -> pa.Table:
        found = function(pl.DataFrame(pl.from_arrow(rows)))
        return found.to_arrow().cast(pa.schema([*rows.schema, *added]))

    schema = StructType([*bars.schema.fields, *from_arrow_schema(added).fields])
    return bars.groupBy(*SERIES).applyInArrow(of_series, schema)
