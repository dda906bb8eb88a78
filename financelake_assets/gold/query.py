"""The gold query: changed silver bars → predictions, signals and scorecard, continuously.

Enters: silver's change feed. Leaves: one prediction and one signal per bar and model version, written when the bar was
finished and never rewritten, and the outcomes of those whose horizon is over. Every write is idempotent, so a replay
of a micro-batch changes nothing. A bar is only scored by a model that did not learn from it: every prediction is out
of sample. A new champion is taken up by the first batch that lies behind what it learnt from. Spark follows the feed
and asks the forest; the rest happens beside it, because every Spark job costs more than all of that together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import polars as pl
from pyspark.errors.exceptions.connect import SparkConnectException
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from financelake_assets.bronze.universe import calendars
from financelake_assets.calendars import TradingCalendar
from financelake_assets.config import Settings
from financelake_assets.gold import recording, schema, scoring
from financelake_assets.gold.recent import RecentBars
from financelake_assets.gold.scoring import BAR_KEY
from financelake_assets.gold.tables import OpenTables
from financelake_assets.model import registry
from financelake_assets.model.features import SERIES
from financelake_assets.model.registry import ModelRecord
from financelake_assets.silver.schema import BARS, UNIVERSE

QUERY = "gold"
TABLES = (
    schema.PREDICTIONS,
    schema.SIGNALS,
    schema.SCORECARD,
    schema.CORRECTIONS,
    schema.MODELS,
    schema.MODEL_METRICS,
)
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
    """The function that Spark calls with each micro-batch, for this lake. Its worker keeps what the next one needs."""
    plain = settings.model_dump_json()
    kept: list[Scorer] = []

    def write(changes: DataFrame, batch_id: int) -> None:  # noqa: ARG001  # Spark's signature
        if not kept:
            kept.append(Scorer(Settings.model_validate_json(plain)))
        kept[0].write_batch(changes)

    return write


class Scorer:
    """Scores sets of silver changes. What it keeps between them saves time and changes nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tables = OpenTables(settings)
        self._recent: tuple[int, RecentBars] | None = None
        self._model: tuple[str, PipelineModel] | None = None

    def write_batch(self, changes: DataFrame) -> None:
        """Score the bars of a set of silver changes, and record the outcomes that they bring. Again changes nothing.

        Args:
            changes: rows of silver's change feed.

        Raises:
            NoChampionError: the registry is empty, though the query was started with a champion.
            ArtifactError: the files of the model are not what was registered.
        """
        new = F.col("_change_type").isin("insert", "update_postimage")
        changed = local(changes.where(new).drop("_change_type", "_commit_timestamp"))
        if changed.is_empty():
            return
        last = changed.sort("_commit_version").unique(BAR_KEY, keep="last", maintain_order=True)
        versions = registry.versions(self._settings)
        longest = max((version.horizon for version in versions), default=1)
        bars = self._bars_around(longest).with_changes(last)
        keys = scoring.finished(bars, last)
        record = model_for(versions, int(changed["_commit_version"].min()))  # type: ignore[arg-type]
        if record is not None:
            self._score(changes.sparkSession, record, bars, keys)
        recording.record(self._tables, recording.Outcomes(bars, last.select(BAR_KEY), longest))

    def _bars_around(self, longest_horizon: int) -> RecentBars:
        if self._recent is None or self._recent[0] < longest_horizon:
            extra = scoring.bars_before(self._settings) + longest_horizon
            self._recent = (longest_horizon, RecentBars(self._tables, extra))
        return self._recent[1]

    def _score(self, spark: SparkSession, record: ModelRecord, bars: pl.DataFrame, keys: pl.DataFrame) -> None:
        own = pl.col("interval") == record.interval
        wanted = keys.filter(own)
        if wanted.is_empty():
            return
        series = bars.filter(own).join(wanted.select(SERIES).unique(), on=SERIES, how="semi")

        def scored() -> pl.DataFrame:
            model = self._loaded(spark, record)
            known = aside.result()
            return scoring.score_bars(spark, self._settings, series, wanted, model, record, known, datetime.now(UTC))

        # for the first batch a calendar takes a second to build, and so does its model to load
        with ThreadPoolExecutor(1) as pool:
            aside = pool.submit(self._calendars, wanted["symbol"].unique().to_list())
            try:
                rows = scored()
            except SparkConnectException as error:
                if error.getCondition() != _MODEL_DROPPED:
                    raise
                # any client of this session may have the server drop its models: load again, once
                self._model = None
                rows = scored()
        self._tables.insert(schema.PREDICTIONS, rows.filter(pl.col("predicted_return").is_not_null()))
        self._tables.insert(schema.SIGNALS, rows)

    def _calendars(self, symbols: list[str]) -> dict[str, TradingCalendar]:
        return calendars(self._tables.scan(UNIVERSE).filter(pl.col("symbol").is_in(symbols)).collect())

    def _loaded(self, spark: SparkSession, record: ModelRecord) -> PipelineModel:
        if self._model is None or self._model[0] != record.model_version:
            self._model = (record.model_version, registry.load(spark, self._settings, record))
        return self._model[1]


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


def local(rows: DataFrame) -> pl.DataFrame:
    """Spark rows on this side, times in UTC."""
    found = pl.DataFrame(pl.from_arrow(rows.toArrow()))
    return found.with_columns(pl.col(pl.Datetime).dt.convert_time_zone("UTC"))
