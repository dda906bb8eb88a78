"""The sensors: thin shells that fetch, call ``decisions`` and act. None of them holds anything but its cursor.

``bronze_offsets`` watches the topics and keeps the silver query running, or, where the queries are not continuous, has
what waits worked off by a run; ``champion`` has models trained when they are due and keeps the gold query running;
``standing`` takes the paper portfolio on. All report what was written (``reporting``). ``automation`` is Dagster's
own: it runs assets whose conditions say so.
"""

from __future__ import annotations

import hashlib
import json
import time

import dagster as dg

from financelake_assets.automation import decisions, history, on_demand, reporting
from financelake_assets.automation.reporting import Cursor
from financelake_assets.bronze.assets import topic_key, topic_metadata
from financelake_assets.bronze.feed_state import read_state
from financelake_assets.config import Settings
from financelake_assets.gold import query as gold
from financelake_assets.gold.assets import DERIVED, TABLES
from financelake_assets.model import monitoring, registry
from financelake_assets.resources import streams as state
from financelake_assets.resources.dagster import (
    ContinuousStreamsResource,
    LakeResource,
    StandingResource,
    TablesResource,
    TopicsResource,
    total,
)
from financelake_assets.silver import query as silver
from financelake_assets.silver.checkpoint import consumed_offsets
from financelake_assets.silver.checks import BLOCKING
from financelake_assets.silver.schema import BARS, QUARANTINE, TICKS

TRAIN_JOB = "train_model"
train_model = dg.define_asset_job(
    TRAIN_JOB,
    # silver's blocking checks come first: no model learns from bars that they refuse
    selection=dg.AssetSelection.groups("model") | dg.AssetSelection.checks(*BLOCKING),
    executor_def=dg.in_process_executor,
    description="Train, evaluate and register a version of the random forest.",
)

automation = dg.AutomationConditionSensorDefinition(
    "automation",
    target=dg.AssetSelection.all(),
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Runs the assets whose automation conditions hold.",
)


@dg.sensor(
    job=on_demand.catch_up,
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
) -> dg.SensorResult | dg.SkipReason:
    """See what arrived on the topics since the last tick, and have it worked off."""
    from financelake_assets.bronze.broker import BrokerUnavailableError, TopicMissingError

    settings = lake.settings
    try:
        watermarks = topics.watermarks()
    except TopicMissingError as missing:
        # a lake without a feed of its own, or somebody deleted them
        made = [one.topic for one in topics.ensure() if one.created]
        return dg.SkipReason(f"{missing} Made: {', '.join(made)}")
    except BrokerUnavailableError as error:
        return dg.SkipReason(f"the broker does not answer, the next tick asks again: {error}")
    cursor = Cursor.parse(context.cursor)
    arrived = decisions.arrivals(cursor.high, watermarks)
    for note in arrived.notes:
        context.log.warning(note)
    consumed = consumed_offsets(settings)
    behind = total(decisions.lag(consumed, watermarks))
    requests: list[dg.RunRequest] = []
    waiting_since = None
    if settings.streams.continuous:
        said = f"query silver {_keep_running(streams, settings, silver.QUERY)}"
    else:
        requests, waiting_since, said = _worked_off(context.instance, settings, consumed, behind, cursor.waiting_since)
    events = [
        dg.AssetMaterialization(
            topic_key(topic), metadata={**topic_metadata(topic, watermarks), "new_messages": messages}
        )
        for topic, messages in arrived.messages.items()
    ]
    extra = {"messages_behind": behind}
    written, told = reporting.report(tables, (BARS, TICKS, QUARANTINE), cursor.told, time.time(), extra)
    high = {topic: {part: marks[1] for part, marks in parts.items()} for topic, parts in watermarks.items()}
    summary = f"{sum(arrived.messages.values())} new messages, silver {behind} behind; {said}"
    return dg.SensorResult(
        run_requests=requests,
        asset_events=[*events, *written],
        cursor=Cursor(high, told, waiting_since).dump(),
        skip_reason=None if requests else dg.SkipReason(summary),
    )


def _worked_off(
    instance: dg.DagsterInstance, settings: Settings, consumed: decisions.Offsets, behind: int, since: float | None
) -> tuple[list[dg.RunRequest], float | None, str]:
    """The run that is due for what waits, since when something has waited, and why or why not."""
    if state.held(settings, silver.QUERY):
        return [], since, "query silver was stopped by an operator"
    now = time.time()
    waits = on_demand.backlog(instance, settings, behind, now - (since or now))
    decision = decisions.catch_up_due(waits, settings.streams)
    since = (since or now) if waits.messages or waits.commits else None
    if not decision.due:
        return [], since, decision.why
    place = json.dumps([consumed, waits.commits], sort_keys=True)
    # the clock begins anew: what this run leaves has waited from now on
    return [on_demand.request(settings, place, waits.failures, decision.why)], None, decision.why


@dg.sensor(job=train_model, minimum_interval_seconds=2, default_status=dg.DefaultSensorStatus.RUNNING, name="champion")
def champion(
    context: dg.SensorEvaluationContext,
    lake: LakeResource,
    topics: TopicsResource,
    tables: TablesResource,
    streams: ContinuousStreamsResource,
) -> dg.SensorResult | dg.SkipReason:
    """Have a model trained when one is due, and keep the gold query running once there is a champion."""
    from financelake_assets.bronze.broker import BrokerUnavailableError

    settings = lake.settings
    try:
        behind = total(decisions.lag(consumed_offsets(settings), topics.watermarks()))
    except BrokerUnavailableError as error:
        return dg.SkipReason(f"the broker does not answer, the next tick asks again: {error}")
    found = _lake_state(context.instance, settings, behind)
    decision = decisions.training_due(found, settings.model)
    lacking = gold.waits_for(settings)
    if lacking:
        said = f"waits for {lacking}"
    elif settings.streams.continuous:
        said = _keep_running(streams, settings, gold.QUERY)
    else:
        said = "runs when enough waits for it"
    cursor = Cursor.parse(context.cursor)
    written, told = reporting.report(tables, TABLES, cursor.told, time.time(), {})
    requests = [_training_request(found, decision)] if decision.due else []
    return dg.SensorResult(
        run_requests=requests,
        asset_events=written,
        cursor=Cursor(told=told).dump(),
        skip_reason=None if requests else dg.SkipReason(f"training: {decision.why}; query gold {said}"),
    )


@dg.sensor(minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING, name="standing")
def standing(context: dg.SensorEvaluationContext, tables: TablesResource, sums: StandingResource) -> dg.SensorResult:
    """Take the paper portfolio on to where the signals are, make the summaries again, and report what was written."""
    taken = sums.standing.refresh()
    cursor = Cursor.parse(context.cursor)
    derived = [table for table, _ in DERIVED.values()]
    written, told = reporting.report(tables, derived, cursor.told, time.time(), {})
    summary = f"the paper portfolio took {taken.steps} steps, {len(taken.written)} tables written"
    return dg.SensorResult(asset_events=written, cursor=Cursor(told=told).dump(), skip_reason=dg.SkipReason(summary))


def _training_request(state: decisions.LakeState, decision: decisions.Decision) -> dg.RunRequest:
    # a run key never runs twice, so it holds all that makes one attempt differ from another
    key = hashlib.sha256(f"{state.trained_rows}/{state.silver_rows}/{state.failures}".encode()).hexdigest()[:16]
    return dg.RunRequest(run_key=key, tags={"financelake/why": decision.why})


def _lake_state(instance: dg.DagsterInstance, settings: Settings, behind: int) -> decisions.LakeState:
    facts = BARS.facts(settings)
    record = registry.champion(settings)
    past = history.of_job(instance, TRAIN_JOB)
    return decisions.LakeState(
        silver_rows=0 if facts is None else facts.rows,
        lag=behind,
        loading_history=_loading_history(settings),
        trained_rows=None if record is None else record.silver_rows,
        in_flight=past.in_flight,
        failures=past.failures,
        seconds_since_failure=past.seconds_since_failure,
        drift=None if record is None else monitoring.last_verdict(settings, record),
        outdated=record is not None and record.outdated,
    )


def _loading_history(settings: Settings) -> bool:
    """Whether the lake's own feed has not finished loading history."""
    feed = read_state(settings)
    # without a feed of its own the data come from elsewhere
    return feed is not None and feed.phase in ("waiting", "history")


def _keep_running(streams: ContinuousStreamsResource, settings: Settings, name: str) -> str:
    """Start the query unless it runs; after failures, only when the back-off has passed. Says what it found."""
    if state.held(settings, name):
        return "was stopped by an operator"
    failure = state.last_failure(settings, name)
    waited = time.time() - failure.at
    try:
        if name in streams.streams.active():
            return _look_after(streams, settings, name, failure)
        if waited < failure.back_off_seconds():
            return f"failed {failure.count} times, next start in {failure.back_off_seconds() - waited:.0f} s"
        streams.streams.ensure(name)
    except Exception as error:
        failure = state.record_failure(settings, name, str(error))
        return f"could not be started ({failure.count} times): {str(error).splitlines()[0]}"
    # a start counts as a failure until the query has run for a while: it may fail in its first batch
    state.record_failure(settings, name, "the query stopped; the Spark server's log says why")
    return "started"


def _look_after(streams: ContinuousStreamsResource, settings: Settings, name: str, failure: state.Failure) -> str:
    """Of a query that runs: start it again when it hangs, forget its failures when it is well."""
    batch = state.open_batch_of(settings, name)
    hangs = state.stall(batch, failure.count, settings)
    if hangs:
        streams.streams.stop(name)
        streams.streams.ensure(name)
        state.record_failure(settings, name, hangs)
        return f"hung, {hangs}: stopped and started again"
    quiet = batch is None or batch.seconds < state.WELL_AFTER_SECONDS
    if failure.count and quiet and time.time() - failure.at > state.WELL_AFTER_SECONDS:
        state.forget_failures(settings, name)
    return "runs"
