"""Past bars of gold: score those that lack a prediction or a signal, with a model that was not trained on them.

Input: a period of event time. Output: the missing rows of gold.predictions, gold.signals and gold.scorecard, for
example after a loss or for bars that arrived while no query ran. It never rewrites existing rows, and a second call
changes nothing. ``as_of`` of such a row is the time of the back-fill, which may be after the outcome. As for every
prediction, it is out of sample because the model was not trained on the bar. A market's first champion also scores the
bars whose outcome was still to come when it was trained: otherwise a file of history would get no signal at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.bronze.universe import calendars
from financelake_assets.calendars import TradingCalendar
from financelake_assets.config import Settings
from financelake_assets.gold import recording, scoring
from financelake_assets.gold.earlier import EarlierPredictions
from financelake_assets.gold.schema import PREDICTIONS, SCORECARD, SIGNALS
from financelake_assets.gold.scoring import BAR_KEY
from financelake_assets.gold.verdicts import HoldReason
from financelake_assets.intervals import SERIES
from financelake_assets.model import markets, other_reading, other_series, registry, standstill
from financelake_assets.model.features import time_before
from financelake_assets.model.record import ModelRecord
from financelake_assets.plugins import PluginError, installed
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.open_tables import OpenTables


@dataclass(frozen=True)
class Repaired:
    """How many missing rows a back-fill has added."""

    predictions: int = 0
    signals: int = 0
    outcomes: int = 0


def repair(settings: Settings, start: datetime, end: datetime) -> Repaired:
    """Score the bars from ``start`` to before ``end`` that lack a prediction or a signal, and their outcomes.

    Args:
        settings: the lake.
        start: the first event time.
        end: event times before this.

    Raises:
        ArtifactError: the files of a model differ from the registered hashes.
        PluginError: a version cannot be scored with its plug-ins, or a rule fails; all other bars are scored.
    """
    tables = OpenTables(settings)
    known = calendars(tables.scan(UNIVERSE).collect())
    predictions = signals = 0
    refused: list[PluginError] = []
    for record, bars, wanted in _by_version(tables, start, end):
        try:
            made, decided = _scored(tables, record, bars, wanted, known)
        except PluginError as error:  # one market's plug-in holds up no other market
            refused.append(error)
            continue
        standstill.note(settings, record.market, "scoring", None)
        predictions, signals = predictions + made, signals + decided
    matured = recording.unscored(settings, tables.newest(BARS).version())
    inside = pl.col("event_time").is_between(start, end, closed="left")
    repaired = Repaired(predictions, signals, tables.insert(SCORECARD, matured.filter(inside)))
    if refused:
        raise PluginError("; ".join(map(str, refused)))
    return repaired


def score_newest(settings: Settings, record: ModelRecord) -> Repaired:
    """Score the bars of a market that its first champion learnt no label of: the newest of each series.

    Their outcome was not known at the training, or they came during it. Bars that silver writes later are the gold
    query's. A bar with a signal keeps it, so a second call changes nothing.

    Args:
        settings: the lake.
        record: the market's only version.

    Raises:
        ArtifactError: the files of the model differ from the registered hashes.
        PluginError: the version cannot be scored with its plug-ins, or a rule fails.
    """
    tables = OpenTables(settings)
    own = pl.col("interval") == record.interval
    learnt_to = pl.col("symbol").replace_strict(
        record.learnt_until, default=None, return_dtype=pl.Datetime("us", "UTC")
    )
    open_bars = tables.scan(BARS).filter(own & (pl.col("event_time") >= learnt_to)).select(BAR_KEY)
    made_by = pl.col("model_version") == record.model_version
    done = tables.scan(SIGNALS) if record.market.further is None else tables.scan(PREDICTIONS).filter(made_by)
    decided = done.filter(own).select(BAR_KEY)
    wanted = open_bars.join(decided, on=BAR_KEY, how="anti").collect()
    before = time_before(record.interval, scoring.bars_before(settings) + record.plugin_bars + record.horizon)
    bars = tables.scan(BARS).filter(own & (pl.col("event_time") >= learnt_to - before)).collect().sort(BAR_KEY)
    keys = scoring.finished(bars, wanted)
    if keys.is_empty():
        return Repaired()
    predictions, signals = _scored(tables, record, bars, keys, calendars(tables.scan(UNIVERSE).collect()))
    # bars that came while the model was trained may be outcomes already, and no batch looks at them again
    matured = recording.unscored(settings, tables.newest(BARS).version())
    own_outcomes = matured.filter(pl.col("model_version") == record.model_version)
    return Repaired(predictions, signals, tables.insert(SCORECARD, own_outcomes))


def _scored(
    tables: OpenTables,
    record: ModelRecord,
    bars: pl.DataFrame,
    wanted: pl.DataFrame,
    known: Mapping[str, TradingCalendar],
) -> tuple[int, int]:
    """Insert predictions and signals of bars, of a further horizon predictions alone; how many of each were new."""
    plugins = installed.recorded(record.plugins, tables.settings.skipped_plugins)
    others = other_reading.beside(tables.settings, tables.scan(BARS), plugins, bars)
    wanted = other_series.settled(plugins, wanted, others)
    if wanted.is_empty():
        return 0, 0
    model, now = registry.load_predictor(tables.settings, record), datetime.now(UTC)
    earlier = EarlierPredictions(tables).before(wanted, record)
    if record.market.further is not None:
        featured = scoring.features_for(tables.settings, bars, record, others)
        return tables.insert(PREDICTIONS, scoring.forecasts(featured, wanted, model, record, now, earlier)), 0
    rows = scoring.score_bars(tables.settings, bars, wanted, model, record, known, now, earlier, others)
    predictions = tables.insert(PREDICTIONS, rows.filter(pl.col("predicted_return").is_not_null()))
    return predictions, tables.insert(SIGNALS, rows)


def _by_version(
    tables: OpenTables, start: datetime, end: datetime
) -> Iterator[tuple[ModelRecord, pl.DataFrame, pl.DataFrame]]:
    """Yield each promoted version with the bars that its features need, and the keys of the bars to score."""
    promoted = _promoted(registry.versions(tables.settings))
    for further in sorted({record.market.further for record in promoted}, key=lambda horizon: horizon or 0):
        own = [record for record in promoted if record.market.further == further]
        yield from _of_horizon(tables, start, end, own)


def _of_horizon(
    tables: OpenTables, start: datetime, end: datetime, promoted: Sequence[ModelRecord]
) -> Iterator[tuple[ModelRecord, pl.DataFrame, pl.DataFrame]]:
    """The same of the versions of one horizon, in their order: each bar is scored by one of them."""
    inside = pl.col("event_time").is_between(start, end, closed="left")
    state = _state(tables, inside, promoted[0].market.further)
    left = tables.scan(BARS).filter(inside).select(*BAR_KEY, "processed_at").collect()
    left = left.join(state.filter("complete"), on=BAR_KEY, how="anti")
    left = left.join(state.select(*BAR_KEY, "model_version"), on=BAR_KEY, how="left")
    for record in promoted:
        made_by = pl.col("model_version")
        unseen = pl.col("processed_at") > pl.lit(knew_until(tables, record))
        due = pl.when(made_by.is_null()).then(unseen).otherwise(made_by == record.model_version)
        own = left.filter((pl.col("interval") == record.interval) & due)
        left = left.join(own, on=BAR_KEY, how="anti")
        if not own.is_empty():
            bars = _bars_around(tables, record, own, end)
            yield record, bars, scoring.finished(bars, own.select(BAR_KEY))


def _state(tables: OpenTables, inside: pl.Expr, further: int | None) -> pl.DataFrame:
    """Which version scored each bar, and whether the bar has all that it can have: a prediction and a signal.

    Args:
        tables: of the lake.
        inside: the bars.
        further: a further horizon, which has no signals.
    """
    by = [*BAR_KEY, "model_version"]
    if further is not None:
        own = markets.FURTHER & (pl.col("horizon") == further)
        alone = tables.scan(PREDICTIONS).filter(inside & own).select(by).with_columns(complete=pl.lit(True))
        return alone.collect().unique(BAR_KEY)
    signals = tables.scan(SIGNALS).filter(inside).select(*by, "reason", signal_there=pl.lit(True))
    made = tables.scan(PREDICTIONS).filter(inside & ~markets.FURTHER).select(*by, prediction_there=pl.lit(True))
    unscorable = (pl.col("reason") == HoldReason.INSUFFICIENT_HISTORY.value).fill_null(False)
    there = pl.col("signal_there").fill_null(False) & (pl.col("prediction_there").fill_null(False) | unscorable)
    both = signals.join(made, on=by, how="full", coalesce=True).with_columns(complete=there).collect()
    return both.sort("complete").unique(BAR_KEY, keep="last")


def _promoted(versions: Sequence[ModelRecord]) -> list[ModelRecord]:
    """All versions that were ever champion, the latest promotion first."""
    used = [(version.promoted_at, version) for version in versions if version.promoted_at is not None]
    return [version for _, version in sorted(used, key=lambda pair: pair[0], reverse=True)]


def knew_until(tables: OpenTables, record: ModelRecord) -> datetime:
    """The latest time at which silver wrote a bar that may be in the version's training data."""
    for commit in tables.newest(BARS).history():
        if commit["version"] == record.silver_version:
            return datetime.fromtimestamp(commit["timestamp"] / 1000, UTC)
    # the log no longer has this version; the training had read its data by the time of the record
    return record.trained_at


def _bars_around(tables: OpenTables, record: ModelRecord, wanted: pl.DataFrame, end: datetime) -> pl.DataFrame:
    """The wanted bars, the earlier bars that their features need, and the bar after, which shows that they are over."""
    first = wanted["event_time"].min()
    extra = scoring.bars_before(tables.settings) + record.plugin_bars + record.horizon
    since = first - time_before(record.interval, extra)  # type: ignore[operator]
    series = wanted.select(SERIES).unique()
    rows = tables.scan(BARS).filter((pl.col("interval") == record.interval) & (pl.col("event_time") >= since))
    rows = rows.join(series.lazy(), on=SERIES, how="semi")
    after = rows.filter(pl.col("event_time") >= end).sort("event_time").group_by(SERIES).first()
    return pl.concat([rows.filter(pl.col("event_time") < end), after.select(BARS.schema.names)]).sort(BAR_KEY).collect()
