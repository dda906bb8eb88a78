"""Sensors of the lake's operation: arrivals on Kafka, progress of the queries, alerts, and Dagster's own automation.

``bronze_offsets`` keeps the silver query running or, if the queries run on demand, starts a run for the backlog.
``alerts`` changes only its cursor and sends alerts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import polars as pl

from financelake_assets.bronze.offsets import Offsets, Watermarks, lag
from financelake_assets.config import Settings
from financelake_assets.defs import reporting
from financelake_assets.defs.bronze import feeds
from financelake_assets.defs.bronze.assets import topic_key, topic_metadata
from financelake_assets.defs.gold.checks import CHECKS as GOLD_CHECKS
from financelake_assets.defs.news import NewsResource
from financelake_assets.defs.operations import backlog
from financelake_assets.defs.operations.jobs import catch_up
from financelake_assets.defs.reporting import Cursor
from financelake_assets.defs.resources import (
    ContinuousStreamsResource,
    LakeResource,
    TablesResource,
    TopicsResource,
    total,
)
from financelake_assets.defs.silver.checks import CHECKS as SILVER_CHECKS
from financelake_assets.defs.silver.checks import LEDGER
from financelake_assets.defs.table_assets import table_key
from financelake_assets.gold import monitoring
from financelake_assets.gold.paper import performance
from financelake_assets.gold.paper.schema import PORTFOLIO
from financelake_assets.model import registry
from financelake_assets.model.markets import Market
from financelake_assets.model.record import ModelRecord
from financelake_assets.operations import alerts, decisions, notifier
from financelake_assets.silver import query as silver
from financelake_assets.silver.checkpoint import QUERY, consumed_offsets
from financelake_assets.silver.ledger import read_ledger
from financelake_assets.silver.schema import BARS, QUARANTINE, TICKS
from financelake_assets.storage.checkpoints import CheckpointError
from financelake_assets.streams.client import QUERIES, held
from financelake_assets.streams.failures import last_failure
from financelake_assets.streams.keeping import keep_running
from financelake_assets.streams.progress import PROGRESS, keep
from financelake_assets.supervision import clock

T = TypeVar("T")

_RECENT_SECONDS = 24 * 3600
_DEAF = "deaf"
"""Where the cursor of the alerts remembers addresses that took nothing."""


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING, name="alerts")
def watch_lake(context: dg.SensorEvaluationContext, lake: LakeResource, topics: TopicsResource) -> dg.SensorResult:
    """Send what is wrong with the lake to the log, and to the addresses in the settings."""
    settings = lake.settings
    stored = json.loads(context.cursor) if context.cursor else {}
    deaf = stored.pop(_DEAF, {})
    facts = gathered(context.instance, settings, topics)
    active = alerts.conditions(facts, settings.alerts, settings.model.max_age_days)
    active += [
        alerts.Alert(f"alerts/{number}", f"Alert address {number} took no alert", f"It {reason}.")
        for number, reason in deaf.items()
    ]
    cursor = alerts.read_cursor(stored, notifier.channels(settings.alerts))
    told = notifier.tell(active, cursor, time.time(), settings.alerts, context.log.warning)
    summary = f"{len(active)} conditions, {len(told.logged.alerts)} sent now, {len(told.logged.over)} over"
    return dg.SensorResult(cursor=json.dumps({**told.said, _DEAF: told.deaf}), skip_reason=dg.SkipReason(summary))


def gathered(instance: dg.DagsterInstance, settings: Settings, topics: TopicsResource) -> alerts.LakeFacts:
    """The facts of a lake. One that cannot be found out is reported as unknown and hides none of the others."""
    unknown: dict[str, str] = {}

    def fact(name: str, find: Callable[[], T], otherwise: T) -> T:
        try:
            return find()
        except Exception as error:
            unknown[name] = f"{type(error).__name__}: {error}"
            return otherwise

    broker, marks = _broker_facts(topics)
    if marks is None and broker is None:
        unknown["topics"] = "they do not exist"
    consumed = fact("checkpoint", lambda: consumed_offsets(settings), None)
    behind = 0 if marks is None or consumed is None else total(lag(consumed, marks))
    champions: dict[Market, ModelRecord] = fact("champion", lambda: registry.champions(settings), {})
    # while messages wait, a batch may be partly written, so the ledger is no evidence
    asked = consumed is not None and marks is not None and not behind
    now = time.time()
    return alerts.LakeFacts(
        streams=fact("streams", lambda: {name: _stream_facts(settings, name) for name in QUERIES}, {}),
        lag=behind,
        silver_idle_seconds=fact("commits", lambda: _idle_seconds(settings, now), 0.0),
        unbalanced=fact("ledger", lambda: abs(read_ledger(settings).missing), 0) if asked else 0,
        champion_age_days={
            market.name: (now - record.trained_at.timestamp()) / 86_400 for market, record in champions.items()
        },
        failed_runs=fact("runs", lambda: _failed_runs(instance), {}),
        broker=broker,
        drift=fact("drift", lambda: _drifted(settings, champions), {}),
        failed_checks=fact("checks", lambda: failed_checks(instance), {}),
        kill_switch=fact("portfolio", lambda: performance.halted(PORTFOLIO.scan(settings).collect()), None),
        clock=fact("clock", lambda: _clock_set(settings), None),
        unknown=unknown,
    )


def _drifted(settings: Settings, champions: Mapping[Market, ModelRecord]) -> dict[str, str]:
    verdicts = {market.name: monitoring.last_verdict(settings, record) for market, record in champions.items()}
    return {name: verdict for name, verdict in verdicts.items() if verdict is not None}


def _broker_facts(topics: TopicsResource) -> tuple[str | None, Watermarks | None]:
    """Why the broker could not be asked, or the topics' watermarks; neither, where there are no topics."""
    from financelake_assets.bronze.broker import BrokerUnavailableError, TopicMissingError

    try:
        return None, topics.watermarks()
    except TopicMissingError:
        return None, None
    except BrokerUnavailableError as error:
        return str(error), None


def _clock_set(settings: Settings) -> str | None:
    found = clock.look(settings)
    return f"It was moved by {found.moved_by:+.0f} s" if found.moved_within(_RECENT_SECONDS) else None


def _stream_facts(settings: Settings, name: str) -> alerts.StreamFacts:
    failure = last_failure(settings, name)
    return alerts.StreamFacts(failure.count, failure.error)


def _idle_seconds(settings: Settings, now: float) -> float:
    commits = Path(settings.checkpoint(QUERY)) / "commits"
    try:
        return clock.seconds_since(commits.stat().st_mtime, now)
    except FileNotFoundError:
        return 0.0  # never started: the bronze_offsets sensor reports this


def failed_checks(instance: dg.DagsterInstance) -> dict[str, str]:
    """Table checks that failed at their last run, without warnings and without the ledger, which is checked here."""
    grave = {
        check.spec.key: check
        for check in (*SILVER_CHECKS, *GOLD_CHECKS)
        if check.severity == dg.AssetCheckSeverity.ERROR and check.name != LEDGER
    }
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(grave))
    return {
        f"{grave[key].table.full_name}/{key.name}": grave[key].description
        for key, record in latest.items()
        if record.status.value == "FAILED"
    }


def _failed_runs(instance: dg.DagsterInstance) -> dict[str, str]:
    since = datetime.fromtimestamp(time.time() - _RECENT_SECONDS, UTC)
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since)
    records = instance.get_run_records(failed, limit=20)
    return {record.dagster_run.run_id: record.dagster_run.job_name for record in records}


automation = dg.AutomationConditionSensorDefinition(
    "automation",
    target=dg.AssetSelection.all(),
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Runs the assets whose automation conditions hold.",
)


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING, name="stream_progress")
def stream_progress(
    lake: LakeResource, tables: TablesResource, streams: ContinuousStreamsResource
) -> dg.SensorResult | dg.SkipReason:
    """Store Spark's reports of each micro-batch before Spark deletes them."""
    try:
        reports = streams.streams.reports()
    except Exception as error:  # the server is restarting, and its reports of earlier batches are lost
        return dg.SkipReason(f"the Spark server does not answer, the next tick retries: {error}")
    new = keep(lake.settings, reports)
    if new.is_empty():
        return dg.SkipReason("no new micro-batch")
    event = dg.AssetMaterialization(
        table_key(PROGRESS),
        metadata={**tables.metadata(PROGRESS), **by_query(new)},
        tags={"dagster/data_version": tables.version(PROGRESS) or "0"},
    )
    return dg.SensorResult(asset_events=[event], skip_reason=dg.SkipReason(f"{new.height} micro-batches"))


def by_query(rows: pl.DataFrame) -> dict[str, Any]:
    """The figures since the last tick, one number for each key, so that Dagster can plot them."""
    found = rows.group_by("query", maintain_order=True).agg(
        pl.len().alias("batches"),
        pl.when(pl.col("input_rows").count() > 0).then(pl.col("input_rows").sum()).alias("rows"),
        pl.col("trigger_ms").median().alias("batch_ms_p50"),
        pl.col("trigger_ms").max().alias("batch_ms_max"),
        pl.col("processed_rows_per_second").median().alias("rows_per_second"),
        pl.col("state_bytes").last(),
        pl.col("lag").last(),
        pl.col("lag_by_partition").last(),
    )
    return {
        f"{row['query']}_{name}": value
        for row in found.iter_rows(named=True)
        for name, value in row.items()
        if name != "query" and value is not None
    }


@dg.sensor(
    job=catch_up,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    name="bronze_offsets",
)
def bronze_offsets(
    context: dg.SensorEvaluationContext,
    lake: LakeResource,
    topics: TopicsResource,
    tables: TablesResource,
    streams: ContinuousStreamsResource,
    news: NewsResource,
) -> dg.SensorResult | dg.SkipReason:
    """Find what arrived on the topics since the last tick, and make sure that silver reads it."""
    from financelake_assets.bronze.broker import BrokerUnavailableError, TopicMissingError

    settings = lake.settings
    news.wait(
        "bronze_offsets",
        calm=lambda: settings.streams.continuous and silver.QUERY in streams.streams.active(),
        ask=lambda: json.dumps(topics.watermarks()),
    )
    try:
        watermarks = topics.watermarks()
    except TopicMissingError as missing:
        # a lake without its own feed, or somebody deleted the topics
        made = [one.topic for one in topics.ensure() if one.created]
        return dg.SkipReason(f"{missing} Made: {', '.join(made)}")
    except BrokerUnavailableError as error:
        return dg.SkipReason(f"the broker does not answer, the next tick retries: {error}")
    cursor = Cursor.parse(context.cursor)
    arrived = decisions.arrivals(cursor.high, watermarks)
    for note in arrived.notes:
        context.log.warning(note)
    try:
        consumed = consumed_offsets(settings)
    except CheckpointError as error:  # its remedy takes a person; what arrives is seen all the same
        context.log.warning(str(error))
        consumed = {}
    behind = total(lag(consumed, watermarks))
    requests: list[dg.RunRequest] = []
    waiting_since = None
    if settings.streams.continuous:
        said = f"query silver {keep_running(streams.streams, settings, silver.QUERY)}"
    else:
        requests, waiting_since, said = _worked_off(context.instance, settings, consumed, behind, cursor.waiting_since)
    now = time.time()
    # what arrives in the meantime is counted the next time
    due = {topic for topic in arrived.messages if reporting.is_due(cursor.topics.get(topic, 0.0), now)}
    events = [
        dg.AssetMaterialization(
            topic_key(topic), metadata={**topic_metadata(topic, watermarks), "new_messages": messages}
        )
        for topic, messages in arrived.messages.items()
        if topic in due
    ]
    of_feeds = feeds.events(settings, cursor.topics, now)
    extra = {"messages_behind": behind}
    written, told = reporting.report(tables, (BARS, TICKS, QUARANTINE), cursor.told, now, extra)
    high = {
        topic: cursor.high[topic]
        if topic in arrived.messages and topic not in due and topic in cursor.high
        else {part: marks[1] for part, marks in parts.items()}
        for topic, parts in watermarks.items()
    }
    summary = f"{sum(arrived.messages.values())} new messages, silver {behind} behind; {said}"
    return dg.SensorResult(
        run_requests=requests,
        asset_events=[*events, *written, *(event for some in of_feeds.values() for event in some)],
        cursor=Cursor(high, told, waiting_since, {**cursor.topics, **dict.fromkeys((*due, *of_feeds), now)}).dump(),
        skip_reason=None if requests else dg.SkipReason(summary),
    )


def _worked_off(
    instance: dg.DagsterInstance, settings: Settings, consumed: Offsets, behind: int, since: float | None
) -> tuple[list[dg.RunRequest], float | None, str]:
    """The due run for the backlog, since when it has waited, and the reason."""
    if held(settings, silver.QUERY):
        return [], since, "query silver was stopped by an operator"
    now = time.time()
    waits = backlog.backlog(instance, settings, behind, now - (since or now))
    decision = decisions.catch_up_due(waits, settings.streams)
    since = (since or now) if waits.messages or waits.commits else None
    if not decision.due:
        return [], since, decision.why
    place = json.dumps([consumed, waits.commits], sort_keys=True)
    # the wait begins again now: for messages that this run leaves
    return [backlog.request(settings, place, waits.failures, decision.why)], None, decision.why
