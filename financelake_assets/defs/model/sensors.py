"""The sensor that starts a training when one is due, and keeps the gold query running."""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime

import dagster as dg

from financelake_assets.bronze.feed_state import read_state
from financelake_assets.catalogue import SCORED
from financelake_assets.config import Settings
from financelake_assets.defs import reporting, run_history
from financelake_assets.defs.model.jobs import train_model
from financelake_assets.defs.news import NewsResource
from financelake_assets.defs.reporting import Cursor
from financelake_assets.defs.resources import (
    ContinuousStreamsResource,
    LakeResource,
    TablesResource,
    TopicsResource,
)
from financelake_assets.gold import monitoring
from financelake_assets.gold import query as gold
from financelake_assets.model import registry
from financelake_assets.operations import decisions
from financelake_assets.operations.decisions import TRAIN_JOB
from financelake_assets.silver.schema import BARS
from financelake_assets.streams.keeping import keep_running


@dg.sensor(job=train_model, minimum_interval_seconds=2, default_status=dg.DefaultSensorStatus.RUNNING, name="champion")
def champion(
    context: dg.SensorEvaluationContext,
    lake: LakeResource,
    topics: TopicsResource,
    tables: TablesResource,
    streams: ContinuousStreamsResource,
    news: NewsResource,
) -> dg.SensorResult | dg.SkipReason:
    """Start a training when one is due, and keep the gold query running if there is a champion."""
    from financelake_assets.bronze.broker import BrokerUnavailableError

    settings = lake.settings
    news.wait("champion", calm=lambda: bool(gold.waits_for(settings)) or gold.QUERY in streams.streams.active())
    try:
        behind = topics.lag()
    except BrokerUnavailableError as error:
        return dg.SkipReason(f"the broker does not answer, the next tick retries: {error}")
    found = _lake_state(context.instance, settings, tables, behind)
    decision = decisions.training_due(found, settings.model)
    lacking = gold.waits_for(settings)
    if lacking:
        said = f"waits for {lacking}"
    elif settings.streams.continuous:
        said = keep_running(streams.streams, settings, gold.QUERY)
    else:
        said = "starts when enough messages wait"
    cursor = Cursor.parse(context.cursor)
    written, told = reporting.report(tables, SCORED, cursor.told, time.time(), {})
    requests = [_training_request(found, decision)] if decision.due else []
    return dg.SensorResult(
        run_requests=requests,
        asset_events=written,
        cursor=Cursor(told=told).dump(),
        skip_reason=None if requests else dg.SkipReason(f"training: {decision.why}; query gold {said}"),
    )


def _training_request(state: decisions.LakeState, decision: decisions.Decision) -> dg.RunRequest:
    # a run key never runs twice, so it contains everything that distinguishes one attempt from another
    key = hashlib.sha256(f"{state.trained_rows}/{state.silver_rows}/{state.failures}".encode()).hexdigest()[:16]
    return dg.RunRequest(run_key=key, tags={"financelake/why": decision.why})


def _lake_state(
    instance: dg.DagsterInstance, settings: Settings, tables: TablesResource, behind: int
) -> decisions.LakeState:
    facts = tables.facts(BARS)
    versions = registry.versions(settings)
    record, newest = registry.champion_of(versions), versions[-1] if versions else None
    past = run_history.of_job(instance, TRAIN_JOB)
    return decisions.LakeState(
        silver_rows=0 if facts is None else facts.rows,
        lag=behind,
        loading_history=_loading_history(settings),
        trained_rows=None if newest is None else newest.silver_rows,
        trained_days=0.0 if newest is None else (datetime.now(UTC) - newest.trained_at).total_seconds() / 86_400,
        in_flight=past.in_flight,
        failures=past.failures,
        seconds_since_failure=past.seconds_since_failure,
        drift=None if record is None else monitoring.last_verdict(settings, record),
        outdated=record is not None and record.outdated,
    )


def _loading_history(settings: Settings) -> bool:
    """Whether the lake's own feed has not finished loading history."""
    feed = read_state(settings)
    # without its own feed, a lake gets its data from elsewhere
    return feed is not None and feed.phase in ("waiting", "history")
