"""Jobs by which an operator stops, starts and restarts the continuous queries from the Dagster UI.

A query that was stopped here stays stopped, also for the sensors, until it is started here. Its checkpoint is kept, so
it goes on where it stopped.
"""

import dagster as dg
from pydantic import Field

from financelake_assets.resources.dagster import ContinuousStreamsResource

_FIRST = {"dagster/priority": "10"}
"""What an operator asks for goes before what waits in the queue."""


class WhichStreams(dg.Config):
    """The queries that a job is about."""

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
    """Stop the queries and start them at once, for instance after a change of settings."""
    for name in config.names:
        streams.streams.hold(name)
        streams.streams.release(name)
        context.log.info(f"query {name} restarted from its checkpoint")


@dg.job(
    executor_def=dg.in_process_executor,
    tags=_FIRST,
    description="Stop the continuous queries until they are started here.",
)
def stop_streams() -> None:
    """Stop them."""
    hold_streams()


@dg.job(
    executor_def=dg.in_process_executor, tags=_FIRST, description="Start the continuous queries from their checkpoints."
)
def start_streams() -> None:
    """Start them."""
    release_streams()


@dg.job(
    executor_def=dg.in_process_executor,
    tags=_FIRST,
    description="Restart the continuous queries from their checkpoints.",
)
def restart_streams() -> None:
    """Restart them."""
    cycle_streams()


JOBS = [start_streams, stop_streams, restart_streams]
