"""A lake with silver bars and a small trained forest, for the tests of gold."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
from deltalake import write_deltalake
from pyspark.sql import SparkSession

from financelake_assets.config import Settings
from financelake_assets.gold.query import Scorer
from financelake_assets.gold.silver_changes import Versions
from financelake_assets.model import registration, registry
from financelake_assets.model.markets import Market
from financelake_assets.model.record import ModelRecord
from financelake_assets.model.training import train
from financelake_assets.model.training_rows import read_bars
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.delta import TableSpec
from financelake_assets_tests.gold.frames import MADE_AT, START, bars

SYMBOLS = {"AAPL": "stock", "BTC-USD": "crypto", "WTI": "commodity"}
HISTORY = 200
DAILY = Market("1d")


def small(settings: Settings) -> Settings:
    """The same lake with a forest that trains in seconds."""
    model = {"trees": 3, "depth": 3, "min_instances_per_node": 5, "min_rows": 50, "folds": 3, "refits": 0}
    return settings.model_copy(update={"model": settings.model.model_copy(update=model)})


def market(first: int, last: int, seed: int = 5) -> pl.DataFrame:
    """Days ``first`` to ``last`` (not included) of three symbols; the same whatever part is asked for."""
    rows = []
    for number, (symbol, asset_class) in enumerate(SYMBOLS.items()):
        chance = np.random.default_rng(seed + number)
        moves = chance.normal(0.002 * (-1) ** number, 0.02, HISTORY * 2)
        closes = 100 * np.exp(np.cumsum(moves))
        opens = np.concatenate([[100.0], closes[:-1]]) * np.exp(chance.normal(0, 0.003, HISTORY * 2))
        rows += [
            {
                "symbol": symbol,
                "asset_class": asset_class,
                "interval": "1d",
                "event_time": START + timedelta(days=day),
                "open": opens[day],
                "high": max(opens[day], closes[day]) * 1.005,
                "low": min(opens[day], closes[day]) * 0.995,
                "close": closes[day],
                "volume": 1_000.0 + day,
                "messages": 1,
                "topic": f"bronze.{asset_class}",
                "partition": 0,
                "offset": day,
                "provider": "test",
                "ingested_at": MADE_AT,
                "processed_at": MADE_AT,
            }
            for day in range(first, last)
        ]
    return bars(*rows)


def append(settings: Settings, rows: pl.DataFrame) -> int:
    """Commit bars to silver; gives the table's version."""
    table = BARS.ensure(settings)
    write_deltalake(table, rows.select(BARS.schema.names).to_arrow().cast(BARS.schema), mode="append")
    table.update_incremental()
    return int(table.version())


def correct(settings: Settings, rows: pl.DataFrame) -> int:
    """Merge bars into silver by key, as the silver query does; gives the table's version."""
    table = BARS.ensure(settings)
    source = rows.select(BARS.schema.names).to_arrow().cast(BARS.schema)
    merger = table.merge(source, BARS.same_key, source_alias="s", target_alias="t")
    merger.when_matched_update_all().when_not_matched_insert_all().execute()
    return int(table.version())


def trained(spark: SparkSession, settings: Settings, market: Market = DAILY) -> ModelRecord:
    """Train a market on silver as it is, register, and make it the champion whatever it is worth."""
    version = BARS.ensure(settings).version()
    frame = read_bars(spark, settings, version, market)
    record = registration.save(settings, train(spark, frame, market.settings(settings.model), version, lambda _: None))
    return record if record.promoted_at is not None else registry.promote(settings, record.model_version, "a test")


def score_changes(settings: Settings, first: int, last: int | None = None) -> None:
    """What the gold query does with a micro-batch of these versions, or of all from the first on."""
    newest = BARS.ensure(settings).version()
    Scorer(settings).write_batch(Versions(first, newest if last is None else last))


def content(table: TableSpec, settings: Settings, without: tuple[str, ...] = ()) -> pl.DataFrame:
    """The rows of a table in the order of its key."""
    return table.scan(settings).drop(without, strict=False).collect().sort(table.key)
