"""Operators' jobs: maintenance of the tables; start, stop and restart of the continuous queries.

A query that is stopped here stays stopped, also for the sensors, until it is started here. It keeps its checkpoint, so
it continues where it stopped.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import Field

from financelake_assets.catalogue import TABLES
from financelake_assets.defs import history
from financelake_assets.defs.gold.assets import gold_tables
from financelake_assets.defs.resources import RETRIES, ContinuousStreamsResource, LakeResource
from financelake_assets.defs.run_tags import OPERATORS
from financelake_assets.defs.silver import assets as silver
from financelake_assets.defs.silver.checks import BLOCKING
from financelake_assets.defs.table_assets import table_key
from financelake_assets.silver import expiry
from financelake_assets.storage.maintenance import maintain
from financelake_assets.streams import progress
from financelake_assets.supervision import clock


class WhichStreams(dg.Config):
    """The queries of a job."""

    names: list[str] = Field(default=["silver", "gold"], description="silver, gold, or both")


@dg.op(pool="streams")
def hold_streams(context: dg.OpExecutionContext, config: WhichStreams, streams: ContinuousStreamsResource) -> None:
    """Stop the queries and keep them stopped."""
    for name in config.names:
        context.log.info(f"query {name} {'stopped' if streams.streams.hold(name) else 'was not running'}")


@dg.op(pool="streams")
def release_streams(context: dg.OpExecutionContext, config: WhichStreams, streams: ContinuousStreamsResource) -> None:
    """Start the queries from their checkpoints, and let the sensors keep them running again."""
    for name in config.names:
        context.log.info(f"query {name} {'started' if streams.streams.release(name) else 'was running'}")


@dg.op(pool="streams")
def cycle_streams(context: dg.OpExecutionContext, config: WhichStreams, streams: ContinuousStreamsResource) -> None:
    """Stop the queries and start them at once, for example after a change of settings."""
    for name in config.names:
        streams.streams.hold(name)
        streams.streams.release(name)
        context.log.info(f"query {name} restarted from its checkpoint")


@dg.job(
    executor_def=dg.in_process_executor,
    tags=OPERATORS,
    description="Stop the continuous queries until they are started here.",
)
def stop_streams() -> None:
    """Stop the queries."""
    hold_streams()


@dg.job(
    executor_def=dg.in_process_executor,
    tags=OPERATORS,
    description="Start the continuous queries from their checkpoints.",
)
def start_streams() -> None:
    """Start the queries."""
    release_streams()


@dg.job(
    executor_def=dg.in_process_executor,
    tags=OPERATORS,
    description="Restart the continuous queries from their checkpoints.",
)
def restart_streams() -> None:
    """Restart the queries."""
    cycle_streams()


@dg.op(pool="maintenance", retry_policy=RETRIES)
def maintain_each(context: dg.OpExecutionContext, lake: LakeResource) -> None:
    """Compact small files, delete replaced files after their retention, clean up the logs, delete what is too old."""
    # after the clock was set, it does not tell the age of a file or a row
    was_set = clock.look(lake.settings)
    trusted = not was_set.moved_within(lake.settings.maintenance.retention_hours * 3600)
    if trusted:
        progress.forget_old(lake.settings)
        refused = expiry.expire(lake.settings)
        if refused:
            days = lake.settings.silver.quarantine_days
            context.log.info(f"deleted {refused} messages that were in quarantine for more than {days:g} days")
        oldest = datetime.now(UTC) - timedelta(days=lake.settings.dagster.history_days)
        forgotten = history.forget(context.instance, oldest)
        context.log.info(f"deleted {forgotten.runs} runs and {forgotten.events} events from before {oldest:%Y-%m-%d}")
    else:
        context.log.warning(f"the clock was set by {was_set.moved_by:+.0f} s: nothing is deleted by age for a while")
    for table in TABLES:
        work = maintain(table, lake.settings, deletes=trusted)
        if work is not None:
            context.log_event(dg.AssetObservation(table_key(table), metadata=work.metadata()))


@dg.job(
    executor_def=dg.in_process_executor,
    tags={"dagster/priority": "-2"},
    description="OPTIMIZE, VACUUM and log clean-up of every Delta table.",
)
def maintain_tables() -> None:
    """Maintain the tables."""
    maintain_each()


CATCH_UP_JOB = "catch_up"


catch_up = dg.define_asset_job(
    CATCH_UP_JOB,
    # gold must not use bars that fail silver's blocking checks; all other checks have their schedules
    selection=dg.AssetSelection.assets(silver.silver_tables, gold_tables).without_checks()
    | dg.AssetSelection.checks(*BLOCKING),
    executor_def=dg.in_process_executor,
    tags={"dagster/priority": "5"},
    description="Process what waits on the topics and in silver.",
)
