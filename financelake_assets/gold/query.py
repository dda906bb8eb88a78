"""The gold query: changed silver bars → predictions, signals, scorecard and paper portfolio, continuously.

Enters: silver's change feed. Leaves: one prediction and one signal per bar and model version, written when the bar was
first seen and never rewritten, and the outcomes of those whose horizon is over. Every write is idempotent, so a replay
of a micro-batch changes nothing. A bar is only scored by a model that did not learn from it: every prediction is out
of sample. A new champion is taken up by the first batch that lies behind what it learnt from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
from pyspark.errors.exceptions.connect import SparkConnectException
from pyspark.ml import PipelineModel
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from financelake_assets.config import Settings
from financelake_assets.gold import recording, schema
from financelake_assets.gold.signals import decide
from financelake_assets.gold.tables import insert
from financelake_assets.model import features, registry
from financelake_assets.model.predict import score
from financelake_assets.model.registry import ModelRecord
from financelake_assets.silver.schema import BARS

QUERY = "gold"
TABLES = (
    schema.PREDICTIONS,
    schema.SIGNALS,
    schema.SCORECARD,
    schema.CORRECTIONS,
    schema.MODELS,
    schema.MODEL_METRICS,
)
_BAR_KEY = list(BARS.key)
_MODEL_DROPPED = "CONNECT_ML.CACHE_INVALID"


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
    """The function that Spark calls with each micro-batch, for this lake. It keeps the loaded model."""
    plain = settings.model_dump_json()
    loaded: dict[str, PipelineModel] = {}

    def write(changes: DataFrame, batch_id: int) -> None:  # noqa: ARG001  # Spark's signature
        lake = Settings.model_validate_json(plain)
        spark = changes.sparkSession

        def model_of(record: ModelRecord) -> PipelineModel:
            model = loaded.get(record.model_version)
            if model is None:
                loaded.clear()
                model = loaded[record.model_version] = registry.load(spark, lake, record)
            return model

        try:
            write_batch(spark, lake, changes, model_of)
        except SparkConnectException as error:
            if error.getCondition() != _MODEL_DROPPED:
                raise
            # any client of this session may have the server drop its models: load again, once
            loaded.clear()
            write_batch(spark, lake, changes, model_of)

    return write


def write_batch(
    spark: SparkSession, settings: Settings, changes: DataFrame, model_of: Callable[[ModelRecord], PipelineModel]
) -> None:
    """Score the bars of a set of silver changes, and record the outcomes that they bring. Again changes nothing.

    Args:
        spark: the session of ``changes``.
        settings: the lake.
        changes: rows of silver's change feed.
        model_of: loads a version's pipeline.

    Raises:
        NoChampionError: the registry is empty, though the query was started with a champion.
    """
    changed = local(
        changes.where(F.col("_change_type").isin("insert", "update_postimage")).select(*_BAR_KEY, "_commit_version")
    )
    if changed.is_empty():
        return
    versions = registry.versions(settings)
    record = model_for(versions, int(changed["_commit_version"].min()))  # type: ignore[arg-type]
    keys = changed.select(_BAR_KEY).unique()
    if record is not None:
        wanted = keys.filter(pl.col("interval") == record.interval)
        if not wanted.is_empty():
            rows = score_bars(spark, settings, wanted, model_of(record), record)
            insert(schema.PREDICTIONS, settings, rows.filter(pl.col("predicted_return").is_not_null()))
            insert(schema.SIGNALS, settings, rows)
    recording.record(settings, keys, max(version.horizon for version in versions))


def model_for(versions: Sequence[ModelRecord], commit_version: int) -> ModelRecord | None:
    """The last promoted version that did not learn from a commit of silver; ``None`` when all of them did.

    Args:
        versions: the registered versions.
        commit_version: Delta version of silver that brought the bars.

    Raises:
        NoChampionError: no version was ever promoted.
    """
    promoted = sorted(
        (version for version in versions if version.promoted_at is not None),
        key=lambda version: version.promoted_at or version.trained_at,
    )
    if not promoted:
        raise NoChampionError("the champion model is gone; train one or roll back to an earlier version")
    return next((version for version in reversed(promoted) if version.silver_version < commit_version), None)


def score_bars(
    spark: SparkSession, settings: Settings, wanted: pl.DataFrame, model: PipelineModel, record: ModelRecord
) -> pl.DataFrame:
    """Predictions and signals of bars in silver.

    Args:
        spark: any session.
        settings: the lake.
        wanted: symbol, interval and event_time of the bars; all of the record's interval.
        model: the loaded pipeline of ``record``.
        record: the version.

    Returns:
        One row a bar with the columns of gold.predictions and gold.signals; those of the prediction are null where
        the bar could not be scored.
    """
    expired = datetime.now(UTC) - record.trained_at > timedelta(days=settings.model.max_age_days)
    keys = F.broadcast(spark.createDataFrame(wanted.with_columns(pl.lit(True).alias("_wanted")).to_arrow()))
    settle = settings.signals.settle_bars
    # the few bars before a wanted one count for its signal too, see ``decide``
    near = Window.partitionBy(*features.SERIES).orderBy("event_time").rowsBetween(0, settle)
    series = Window.partitionBy(*features.SERIES).orderBy("event_time")
    stamped = (
        features.with_features(_bars_around(spark, settings, wanted, record.interval, settle))
        .withColumn("surprise", F.abs("log_return") / F.lag("bar_volatility").over(series))
        .join(keys, _BAR_KEY, "left")
        .withColumn("_near", F.max("_wanted").over(near))
        .where("_near")
        .withColumns(
            {
                "horizon": F.lit(record.horizon),
                "model_version": F.lit(record.model_version),
                "as_of": F.current_timestamp(),
            }
        )
    )
    seen = stamped.select(*_BAR_KEY, "asset_class", "close", "horizon", "model_version", "as_of", "surprise", "_wanted")
    forecast = score(stamped, model, record).drop("asset_class", "close", "horizon", "model_version", "as_of")
    rows = decide(seen.join(forecast, _BAR_KEY, "left"), settings.signals, model_expired=expired)
    names = dict.fromkeys((*schema.PREDICTIONS.schema.names, *schema.SIGNALS.schema.names))
    return local(rows.where("_wanted").select(*names))


def _bars_around(
    spark: SparkSession, settings: Settings, wanted: pl.DataFrame, interval: str, settle_bars: int
) -> DataFrame:
    """The wanted bars and those before them that their features look at."""
    first, last = _micros(wanted["event_time"].min()), _micros(wanted["event_time"].max())
    # one bar more for the volatility expected before the first of them
    before = features.reach(interval) + features.bar_length(interval) * 2 * (settle_bars + 1)
    return (
        spark.read.format("delta")
        .load(BARS.path(settings))
        .where((F.col("interval") == interval) & F.col("symbol").isin(wanted["symbol"].unique().to_list()))
        .where(F.col("event_time").between(_time(first - before // timedelta(microseconds=1)), _time(last)))
    )


def local(rows: DataFrame) -> pl.DataFrame:
    """Spark rows on this side, times in UTC."""
    found = pl.DataFrame(pl.from_arrow(rows.toArrow()))
    return found.with_columns(pl.col(pl.Datetime).dt.convert_time_zone("UTC"))


def _micros(moment: object) -> int:
    if not isinstance(moment, datetime):
        raise TypeError(f"{moment!r} is not a time")
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _time(since_1970: int) -> Column:
    return F.timestamp_micros(F.lit(since_1970))
