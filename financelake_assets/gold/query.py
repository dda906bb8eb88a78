"""The gold query: changed silver bars → predictions, signals and scorecard, continuously.

Input: silver's commits. Output: one prediction and one signal for each bar and model version, written when the bar is
finished and never rewritten, and the outcomes of predictions whose horizon has passed. Every write is idempotent, so a
repeated micro-batch changes nothing. Each market has a champion of its own; those of further horizons give predictions
and no signals. No model scores a bar that it was trained on: every prediction is out of sample. A new champion takes
over at the first batch after its training data. Spark follows silver, stores the position and restarts failed batches.
The rest runs outside Spark, because one Spark job takes longer than all other steps together.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.bronze.universe import calendars
from financelake_assets.calendars import TradingCalendar
from financelake_assets.config import ModelSettings, Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.gold import recording, schema, scoring, source
from financelake_assets.gold import silver_changes as feed
from financelake_assets.gold.earlier import EarlierPredictions
from financelake_assets.gold.recent import RecentBars
from financelake_assets.gold.recent_others import RecentOthers
from financelake_assets.gold.scoring import BAR_KEY
from financelake_assets.gold.source import SilverVersions
from financelake_assets.gold.waiting import Waiting
from financelake_assets.intervals import BAR_LENGTHS, SERIES
from financelake_assets.model import markets, other_series, registry, standstill
from financelake_assets.model.markets import Market
from financelake_assets.model.other_series import OtherBars, Plugins
from financelake_assets.model.outputs import Predictor
from financelake_assets.model.record import ModelRecord
from financelake_assets.model.schema import MODEL_METRICS, MODELS
from financelake_assets.plugins import PluginError, installed
from financelake_assets.silver.schema import BARS
from financelake_assets.spark_sessions import WriteBatch, start_query
from financelake_assets.storage.open_tables import OpenTables

QUERY = "gold"
TABLES = (
    schema.PREDICTIONS,
    schema.SIGNALS,
    schema.SCORECARD,
    schema.CORRECTIONS,
    MODELS,
    MODEL_METRICS,
)


Features = dict[tuple[str, str], pl.DataFrame]
"""By interval and the plug-ins of a version, the bars of one batch with their features: no horizon changes them."""


class NoChampionError(FinanceLakeError, LookupError):
    """There is no model to score with, so there are no signals."""


def waits_for(settings: Settings) -> str | None:
    """What the query waits for before it can start; ``None`` when it can start: one champion is enough."""
    champions = list(registry.champions(settings).values())
    if not champions:
        return "a champion model: none is trained yet"
    first = _first(champions)
    if first is None:
        names = ", ".join(champion.model_version for champion in champions)
        return f"a champion of this release: of an earlier release are {names}; a training is due"
    silver = BARS.open(settings)
    if silver is None or silver.version() <= first.silver_version:
        return f"a bar that is later than the training data of {first.model_version}"
    return None


def _first(champions: Iterable[ModelRecord]) -> ModelRecord | None:
    """Of the champions that this release can score with, the one whose training data end first."""
    usable = [champion for champion in champions if not champion.outdated]
    return min(usable, key=lambda champion: champion.silver_version, default=None)


def first_version(settings: Settings) -> int | None:
    """The first version of silver that a query without a checkpoint scores; ``None`` without a champion."""
    first = _first(registry.champions(settings).values())
    return None if first is None else first.silver_version + 1


def start(spark: SparkSession, settings: Settings) -> StreamingQuery:
    """Start the gold query from its checkpoint or, without one, after the training data of the earliest champion.

    Raises:
        NoChampionError: no model, or nothing to score yet; the message says which.
        CheckpointError: the checkpoint is damaged or belongs to another table.
    """
    lacking = waits_for(settings)
    first = first_version(settings)
    if lacking or first is None:
        raise NoChampionError(f"the gold query waits for {lacking}")
    for table in TABLES:
        table.ensure(settings)
    checkpoint = Path(settings.checkpoint(QUERY))
    feed.refuse_other_table(checkpoint, BARS.ensure(settings))
    spark.dataSource.register(SilverVersions)
    commits = (
        spark.readStream.format(SilverVersions.name())
        .option(source.LAKE, settings.without_secrets())
        .option(source.FIRST_VERSION, first)  # used only without a checkpoint
        .load()
    )
    return start_query(commits, QUERY, settings, batch_writer(settings, first))


def batch_writer(settings: Settings, first_version: int) -> WriteBatch:
    """Make the function that Spark calls with each micro-batch. Its worker process keeps caches for the next batch.

    Args:
        settings: the lake.
        first_version: the Delta version of silver with which an empty checkpoint begins.
    """
    plain = settings.without_secrets()
    checkpoint = Path(settings.checkpoint(QUERY))
    kept: list[Scorer] = []

    def write(_: DataFrame, batch_id: int) -> None:
        if not kept:
            kept.append(Scorer(Settings.sent(plain)))
        kept[0].write_batch(feed.versions_of(checkpoint, batch_id, first_version))

    return write


class Scorer:
    """Scores sets of silver changes. Its caches only save time; they never change a result."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tables = OpenTables(settings)
        self._recent: tuple[int, RecentBars] | None = None
        self._earlier = EarlierPredictions(self._tables)
        self._others = RecentOthers(self._tables)
        self._waiting = Waiting(self._tables)
        self._predictors: dict[Market, tuple[str, Predictor]] = {}
        self._versions: tuple[int, list[ModelRecord]] | None = None

    def write_batch(self, committed: feed.Versions) -> None:
        """Score the bars that silver's commits changed, and record the outcomes. A second call changes nothing.

        Args:
            committed: versions of silver.

        Raises:
            NoChampionError: the registry is empty, though the query started with a champion.
            ArtifactError: the files of a model differ from the registered hashes; other markets are scored before.
        """
        changed = feed.changes(self._tables.newest(BARS), committed)
        if changed.is_empty():
            return
        versions = self._registered()
        self._others.take(changed)
        changed = self._waiting.before(changed, versions)
        models = models_for(versions, changed, self._settings.model)
        last = _of_models(changed, versions).unique(BAR_KEY, keep="last", maintain_order=True)
        if last.is_empty():
            return
        longest = max((version.horizon for version in versions), default=1)
        bars = self._bars_around(longest, versions).with_changes(last)
        keys = scoring.finished(bars, last)
        features: Features = {}
        for together in self._in_turn(models):
            self._write([self._scored_if_it_can(record, bars, keys, features) for record in together])
        recording.record(self._tables, recording.Outcomes(bars, last.select(BAR_KEY), longest))

    def _in_turn(self, models: Sequence[ModelRecord]) -> list[list[ModelRecord]]:
        """The versions whose rows are written together: no signal waits for a further horizon or a load from disk."""
        signals, further = (
            [record for record in models if self._is_loaded(record) and (record.market.further is not None) is later]
            for later in (False, True)
        )
        return [signals, further, *([record] for record in models if not self._is_loaded(record))]

    def _registered(self) -> list[ModelRecord]:
        registered = self._tables.newest(MODELS).version()
        if self._versions is None or self._versions[0] != registered:
            self._versions = (registered, registry.versions(self._settings))
        return self._versions[1]

    def _bars_around(self, longest_horizon: int, versions: Sequence[ModelRecord]) -> RecentBars:
        of_plugins = max((version.plugin_bars for version in versions), default=0)
        extra = scoring.bars_before(self._settings) + longest_horizon + of_plugins
        if self._recent is None or self._recent[0] < extra:
            self._recent = (extra, RecentBars(self._tables, extra))
        return self._recent[1]

    def _scored_if_it_can(
        self, record: ModelRecord, bars: pl.DataFrame, keys: pl.DataFrame, features: Features
    ) -> pl.DataFrame | None:
        """The rows of one market; ``None`` also where a plug-in fails: its market stands still, and all others go on.

        Its bars stay without a row, so gold/history scores them when the plug-in is mended.
        """
        try:
            rows = self._scored(record, bars, keys, features)
        except PluginError as error:
            standstill.note(self._settings, record.market, "scoring", str(error))
            return None
        if rows is not None:
            standstill.note(self._settings, record.market, "scoring", None)
        return rows

    def _scored(
        self, record: ModelRecord, bars: pl.DataFrame, keys: pl.DataFrame, features: Features
    ) -> pl.DataFrame | None:
        """The rows of one market; ``None`` where none of its bars is finished.

        Args:
            record: the version.
            bars: of all markets.
            keys: of the bars to score, of all markets.
            features: those that were made for these bars; those of the version are added.
        """
        own = pl.col("interval") == record.interval
        wanted = keys.filter(own)
        if wanted.is_empty():
            return None
        series = bars.filter(own).join(wanted.select(SERIES).unique(), on=SERIES, how="semi")
        plugins = installed.recorded(record.plugins, self._settings.skipped_plugins)
        others = self._others.beside(plugins, series)
        wanted = self._without_waiting(record, plugins, series, wanted, others)
        if wanted.is_empty():
            return None
        made_with = record.interval, json.dumps(record.plugins, sort_keys=True)
        if made_with not in features:
            features[made_with] = scoring.features_for(self._settings, series, record, others)
        known, model, now = features[made_with], self._loaded(record), datetime.now(UTC)
        earlier = self._earlier.before(wanted, record)
        if record.market.further is not None:
            return scoring.forecasts(known, wanted, model, record, now, earlier)
        told = self._calendars(wanted["symbol"].unique().to_list())
        return scoring.score_bars(self._settings, series, wanted, model, record, told, now, earlier, known=known)

    def _without_waiting(
        self, record: ModelRecord, plugins: Plugins, series: pl.DataFrame, wanted: pl.DataFrame, others: OtherBars
    ) -> pl.DataFrame:
        """The bars that can be scored now; those that wait for another series come again with a later batch."""
        ready = other_series.settled(plugins, wanted, others)
        left = wanted.join(ready, on=BAR_KEY, how="anti")
        self._waiting.keep(series.join(left, on=BAR_KEY, how="semi"))
        told = None if left.is_empty() else other_series.waits_for(plugins, left, others)
        standstill.note(self._settings, record.market, "waiting", told)
        return ready

    def _write(self, scored: Iterable[pl.DataFrame | None]) -> None:
        """Insert the rows of several markets in one commit of each table: a commit costs more than its rows."""
        rows = [some for some in scored if some is not None]
        if rows:
            predictions = pl.concat([some.select(schema.PREDICTIONS.schema.names) for some in rows])
            predictions = predictions.filter(pl.col("predicted_return").is_not_null())
            self._earlier.written(predictions, self._tables.insert(schema.PREDICTIONS, predictions))
            signals = [some for some in rows if "signal" in some.columns]
            if signals:
                self._tables.insert(schema.SIGNALS, pl.concat(signals))

    def _calendars(self, symbols: list[str]) -> dict[str, TradingCalendar]:
        return calendars(self._tables.scan(UNIVERSE).filter(pl.col("symbol").is_in(symbols)).collect())

    def _is_loaded(self, record: ModelRecord) -> bool:
        known = self._predictors.get(record.market)
        return known is not None and known[0] == record.model_version

    def _loaded(self, record: ModelRecord) -> Predictor:
        if not self._is_loaded(record):
            self._predictors[record.market] = (record.model_version, registry.load_predictor(self._settings, record))
        return self._predictors[record.market][1]


def _of_models(changed: pl.DataFrame, versions: Sequence[ModelRecord]) -> pl.DataFrame:
    """The bars of intervals that some version predicts; other bars have no predictions and no outcomes."""
    return changed.filter(pl.col("interval").is_in({version.interval for version in versions} & BAR_LENGTHS.keys()))


def models_for(versions: Sequence[ModelRecord], changed: pl.DataFrame, settings: ModelSettings) -> list[ModelRecord]:
    """The version that scores each market's changed bars; no market's model depends on another market's commits.

    A market has none where the settings want none, where all its versions were trained on one of the commits, or where
    an earlier release made the one that would be used: its next champion is of this release, and a training is due.

    Args:
        versions: the registered versions.
        changed: see ``silver_changes.changes``.
        settings: which markets have a model.

    Raises:
        NoChampionError: no version was ever promoted.
    """
    if all(version.promoted_at is None for version in versions):
        raise NoChampionError("the champion model is missing; train a model or roll back to an earlier version")
    firsts = changed.group_by("interval").agg(pl.col(feed.COMMIT).min())
    found = (
        _model_for([version for version in versions if version.market == market], int(first))
        for interval, first in firsts.sort("interval").iter_rows()
        for market in markets.of_interval(interval, settings)
        if settings.has_model(interval)
    )
    return [record for record in found if record is not None and not record.outdated]


def _model_for(versions: Sequence[ModelRecord], commit_version: int) -> ModelRecord | None:
    """The last promoted of a market's versions that was not trained on a commit of silver."""
    promoted = sorted(
        (version for version in versions if version.promoted_at is not None),
        key=lambda version: version.promoted_at or version.trained_at,
    )
    return next((version for version in reversed(promoted) if version.silver_version < commit_version), None)
