"""Keeping the continuous queries running: started when they do not run, started again when they hang.

Enters: the client of the queries' session, and a query's name. Leaves: a query that runs, or why it does not yet.
"""

from __future__ import annotations

import time

from financelake_assets.config import Settings
from financelake_assets.streams.client import Streams, held
from financelake_assets.streams.failures import (
    WELL_AFTER_SECONDS,
    Failure,
    forget_failures,
    last_failure,
    record_failure,
)
from financelake_assets.streams.stalls import open_batch_of, stall


def keep_running(streams: Streams, settings: Settings, name: str) -> str:
    """Start the query unless it runs; after failures, only when the back-off has passed. Says what it found."""
    if held(settings, name):
        return "was stopped by an operator"
    failure = last_failure(settings, name)
    left = failure.left(time.time())
    try:
        if name in streams.active():
            return _look_after(streams, settings, name, failure)
        if left > 0:
            return f"failed {failure.count} times, next start in {left:.0f} s"
        streams.ensure(name)
    except Exception as error:
        failure = record_failure(settings, name, str(error))
        return f"could not be started ({failure.count} times): {str(error).splitlines()[0]}"
    # a start counts as a failure until the query has run for a while: it may fail in its first batch
    record_failure(settings, name, "the query stopped; the Spark server's log says why")
    return "started"


def _look_after(streams: Streams, settings: Settings, name: str, failure: Failure) -> str:
    """Of a query that runs: start it again when it hangs, forget its failures when it is well."""
    batch = open_batch_of(settings, name)
    hangs = stall(batch, failure.count, settings)
    if hangs:
        streams.stop(name)
        streams.ensure(name)
        record_failure(settings, name, hangs)
        return f"hung, {hangs}: stopped and started again"
    quiet = batch is None or batch.seconds < WELL_AFTER_SECONDS
    well_since = abs(time.time() - failure.at)  # a failure yet to come is one before the clock was set back
    if failure.count and quiet and well_since > WELL_AFTER_SECONDS:
        forget_failures(settings, name)
    return "runs"
