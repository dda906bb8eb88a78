"""The sensor on Kafka offsets: it sees what arrives on the topics, and has silver work it off.

It keeps the silver query running, or, where the queries are not continuous, has a run work off what waits.
"""

from __future__ import annotations

import json
import time

import dagster as dg

from financelake_assets.bronze.offsets import Offsets, lag
from financelake_assets.config import Settings
from financelake_assets.defs import catch_up, reporting
from financelake_assets.defs.bronze.assets import topic_key, topic_metadata
from financelake_assets.defs.reporting import Cursor
from financelake_assets.defs.resources import (
    ContinuousStreamsResource,
    LakeResource,
    TablesResource,
    TopicsResource,
    total,
)
from financelake_assets.operations import decisions
from financelake_assets.silver import query as silver
from financelake_assets.silver.checkpoint import consumed_offsets
from financelake_assets.silver.schema import BARS, QUARANTINE, TICKS
from financelake_assets.streams.client import held
from financelake_assets.streams.keeping import keep_running


@dg.sensor(
    job=catch_up.catch_up,
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
    behind = total(lag(consumed, watermarks))
    requests: list[dg.RunRequest] = []
    waiting_since = None
    if settings.streams.continuous:
        said = f"query silver {keep_running(streams.streams, settings, silver.QUERY)}"
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
    instance: dg.DagsterInstance, settings: Settings, consumed: Offsets, behind: int, since: float | None
) -> tuple[list[dg.RunRequest], float | None, str]:
    """The run that is due for what waits, since when something has waited, and why or why not."""
    if held(settings, silver.QUERY):
        return [], since, "query silver was stopped by an operator"
    now = time.time()
    waits = catch_up.backlog(instance, settings, behind, now - (since or now))
    decision = decisions.catch_up_due(waits, settings.streams)
    since = (since or now) if waits.messages or waits.commits else None
    if not decision.due:
        return [], since, decision.why
    place = json.dumps([consumed, waits.commits], sort_keys=True)
    # the clock begins anew: what this run leaves has waited from now on
    return [catch_up.request(settings, place, waits.failures, decision.why)], None, decision.why
