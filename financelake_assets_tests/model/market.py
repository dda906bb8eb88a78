"""Made-up markets for the tests: silver bars with known properties, the same every time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession

from financelake_assets.intervals import bar_length

START = datetime(2015, 1, 1, tzinfo=UTC)
Moves = NDArray[np.float64]


def moves(count: int, seed: int, persistence: float = 0.0, size: float = 0.02) -> Moves:
    """Daily log returns; with persistence each goes part of the way of the one before, which a model can find out."""
    made = np.random.default_rng(seed).standard_normal(count) * size
    for day in range(1, count):
        made[day] += persistence * made[day - 1]
    return made


def bars(symbol: str, changes: Moves, asset_class: str = "stock", price: float = 100.0) -> pl.DataFrame:
    """Daily bars with ranges and volumes around given log returns."""
    random = np.random.default_rng(len(changes))
    count = len(changes)
    close = price * np.exp(np.cumsum(changes))
    opened = np.concatenate([[price], close[:-1]]) * np.exp(random.standard_normal(count) * 0.002)
    spread = np.exp(np.abs(random.standard_normal(count)) * 0.01)
    return pl.DataFrame(
        {
            "symbol": symbol,
            "asset_class": asset_class,
            "interval": "1d",
            "event_time": [START + timedelta(days=day) for day in range(count)],
            "open": opened,
            "high": np.maximum(opened, close) * spread,
            "low": np.minimum(opened, close) / spread,
            "close": close,
            "adj_close": close,
            "volume": np.round(1e6 * np.exp(random.standard_normal(count) * 0.3)),
            "split": pl.Series([None] * count, dtype=pl.Float64),
            "imputed": pl.Series([None] * count, dtype=pl.String),
            "trades": pl.Series([None] * count, dtype=pl.Int64),
            "parts": pl.Series([None] * count, dtype=pl.Int64),
        }
    ).with_columns(pl.col("event_time").cast(pl.Datetime("us", "UTC")))


def of_interval(frame: pl.DataFrame, interval: str) -> pl.DataFrame:
    """The same bars as those of another interval, from ``START`` on without a pause."""
    number = (pl.col("event_time") - START).dt.total_days()
    return frame.with_columns(interval=pl.lit(interval), event_time=START + number * bar_length(interval))


def close_only(symbol: str, changes: Moves) -> pl.DataFrame:
    """Bars of a spot price, as silver has them: open, high and low filled in from the close."""
    empty = pl.lit(None, dtype=pl.Float64)
    return bars(symbol, changes, "commodity").with_columns(
        *[pl.col("close").alias(name) for name in ("open", "high", "low")],
        empty.alias("adj_close"),
        empty.alias("volume"),
        pl.lit("open,high,low").alias("imputed"),
    )


def with_close(frame: pl.DataFrame, day: int, close: float) -> pl.DataFrame:
    """The same bars with another close on one day."""
    return frame.with_columns(
        pl.when(pl.int_range(pl.len()) == day).then(close).otherwise(pl.col("close")).alias("close")
    ).with_columns(
        pl.max_horizontal("high", "close").alias("high"),
        pl.min_horizontal("low", "close").alias("low"),
    )


def with_raw_split(frame: pl.DataFrame, day: int, split: float) -> pl.DataFrame:
    """The same bars of one symbol as a provider has them that tells of a split on a day, and adjusts nothing for it."""
    old = pl.int_range(pl.len()) < day
    return frame.with_columns(
        *[
            pl.when(old).then(pl.col(name) * split).otherwise(pl.col(name)).alias(name)
            for name in ("open", "high", "low", "close")
        ],
        pl.when(old).then(pl.col("volume") / split).otherwise(pl.col("volume")).alias("volume"),
        split=pl.when(pl.int_range(pl.len()) == day).then(split),
    )


def shuffled(*frames: pl.DataFrame) -> pl.DataFrame:
    """The bars in another order: nothing may depend on the order of rows."""
    return pl.concat(frames).sample(fraction=1, shuffle=True, seed=5)


def to_spark(spark: SparkSession, *frames: pl.DataFrame) -> DataFrame:
    """``shuffled`` bars as a Spark frame."""
    return spark.createDataFrame(shuffled(*frames).to_arrow())


def to_polars(frame: DataFrame) -> pl.DataFrame:
    """Spark rows on this side, by symbol and time."""
    return pl.DataFrame(pl.from_arrow(frame.toArrow())).sort("symbol", "event_time")
