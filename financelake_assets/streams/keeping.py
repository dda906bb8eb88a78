"""Keeps the continuous queries running: starts those that do not run, and restarts those that hang.

Input: the client of the queries' session, and a query's name. Output: a query that runs, or the reason why not yet.
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
    """Start the query unless it runs, after a failure only when the back-off has passed; return what happened."""
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
    # a start counts as a failure until the query has run for a while, because it may fail in its first batch
    record_failure(settings, name, "the query stopped; see the Spark server's log for the reason")
    return "started"


def _look_after(streams: Streams, settings: Settings, name: str, failure: Failure) -> str:
    """Restart a running query if it hangs; delete the record of its failures if it is healthy."""
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
