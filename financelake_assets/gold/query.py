"""The gold query: changed silver bars → predictions and signals of the champion model, continuously.

Enters: silver's change feed. Leaves: one prediction and one signal per bar and model version, written when the bar was
first seen and never rewritten, so a replay of a micro-batch changes nothing. It starts with the first commit that
the first champion did not learn from: every prediction is out of sample. A new champion is taken up by the next batch.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from pyspark.ml import PipelineModel
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from financelake_assets.config import Settings
from financelake_assets.gold import schema
from financelake_assets.gold.signals import decide
from financelake_assets.model import features, registry
from financelake_assets.model.predict import score
from financelake_assets.model.registry import ModelRecord
from financelake_assets.resources.delta import merge
from financelake_assets.silver.schema import BARS

QUERY = "gold"
TABLES = (schema.PREDICTIONS, schema.SIGNALS, schema.MODELS, schema.MODEL_METRICS)

_BAR_LENGTH = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
# closed markets: five trading days take seven, and holidays more; too much costs little, too little costs features
_CALENDAR_SLACK = 2
_LONGEST_CLOSURE = timedelta(days=14)


class NoChampionError(LookupError):
    """There is no model to score with, so there are no signals."""


def waits_for(settings: Settings) -> str | None:
    """What the query still needs before it can start; ``None`` when it can."""
    champion = registry.champion(settings)
    if champion is None:
        return "a champion model: none is trained yet"
    silver = BARS.open(settings)
    if silver is None or silver.version() <= champion.silver_version:
        return f"a bar that {champion.model_version} did not learn from"
    return None


def start(spark: SparkSession, settings: Settings) -> StreamingQuery:
    """Start the gold query from its checkpoint, or behind the champion's training data when it has none.

    Raises:
        NoChampionError: no model, or nothing to score yet; the message says which.
    """
    lacking = waits_for(settings)
    champion = registry.champion(settings)
    if lacking or champion is None:
        raise NoChampionError(f"the gold query waits for {lacking}")
    for table in TABLES:
        table.ensure(settings)
    changes = (
        spark.readStream.format("delta")
        .option("readChangeFeed", "true")
        .option("startingVersion", champion.silver_version + 1)  # the checkpoint's own version goes before this
        .load(BARS.path(settings))
    )
    return (
        changes.writeStream.queryName(QUERY)
        .foreachBatch(batch_writer(settings))
        .option("checkpointLocation", settings.checkpoint(QUERY))
        .trigger(processingTime=f"{settings.spark.trigger_seconds} seconds")
        .start()
    )


def batch_writer(settings: Settings) -> Callable[[DataFrame, int], None]:
    """The function that Spark calls with each micro-batch, for this lake. It keeps the loaded champion."""
    plain = settings.model_dump_json()
    loaded: dict[str, Any] = {}

    def write(changes: DataFrame, batch_id: int) -> None:  # noqa: ARG001  # Spark's signature
        lake = Settings.model_validate_json(plain)
        spark = changes.sparkSession
        record = registry.champion(lake)
        if record is None:
            raise NoChampionError("the champion model is gone; train one or roll back to an earlier version")
        if record.model_version not in loaded:
            loaded.clear()
            loaded[record.model_version] = registry.load(spark, lake, record)
        write_batch(spark, lake, changes, loaded[record.model_version], record)

    return write


def write_batch(
    spark: SparkSession, settings: Settings, changes: DataFrame, model: PipelineModel, record: ModelRecord
) -> None:
    """Score the bars of a set of silver changes and merge predictions and signals into gold.

    Args:
        spark: the session of ``changes``.
        settings: the lake.
        changes: rows of silver's change feed.
        model: the loaded pipeline of ``record``.
        record: the champion.
    """
    changed = changes.where(
        F.col("_change_type").isin("insert", "update_postimage") & (F.col("interval") == record.interval)
    ).select("symbol", "event_time")
    first, last, symbols = changed.agg(
        F.unix_micros(F.min("event_time")), F.unix_micros(F.max("event_time")), F.collect_set("symbol")
    ).collect()[0]
    if first is None:
        return
    bars = (
        spark.read.format("delta")
        .load(BARS.path(settings))
        .where((F.col("interval") == record.interval) & F.col("symbol").isin(symbols))
        .where(F.col("event_time").between(_micros(first - lookback(record.interval)), _micros(last)))
    )
    targets = features.with_features(bars).join(changed.distinct(), ["symbol", "event_time"], "left_semi")
    _write(spark, settings, targets, model, record, first)


def _write(
    spark: SparkSession,
    settings: Settings,
    targets: DataFrame,
    model: PipelineModel,
    record: ModelRecord,
    first: int,
) -> None:
    stamped = targets.withColumns(
        {
            "horizon": F.lit(record.horizon),
            "model_version": F.lit(record.model_version),
            "as_of": F.current_timestamp(),
        }
    ).persist()
    try:
        predictions = score(stamped, model, record).persist()
        within = f"t.event_time >= timestamp_micros({first})"
        _insert(spark, settings, schema.PREDICTIONS, predictions, within)
        expired = datetime.now(UTC) - record.trained_at > timedelta(days=settings.model.max_age_days)
        unscored = stamped.join(predictions, list(BARS.key), "left_anti")
        rows = predictions.unionByName(unscored, allowMissingColumns=True)
        _insert(spark, settings, schema.SIGNALS, decide(rows, settings.signals, model_expired=expired), within)
        predictions.unpersist()
    finally:
        stamped.unpersist()


def _insert(spark: SparkSession, settings: Settings, table: Any, rows: DataFrame, within: str) -> None:
    names = table.schema.names
    merge(
        spark,
        table,
        settings,
        rows.select(*names),
        within=within,
        insert={name: f"s.`{name}`" for name in names},
    )


def _micros(since_1970: int) -> Column:
    return F.timestamp_micros(F.lit(since_1970))


def lookback(interval: str) -> int:
    """How far before a bar its features may look, in calendar time, as microseconds.

    Args:
        interval: such as ``1d``; validated by silver.
    """
    length = _BAR_LENGTH[interval[-1]] * int(interval[:-1])
    return (length * features.LOOKBACK * _CALENDAR_SLACK + _LONGEST_CLOSURE) // timedelta(microseconds=1)
