"""Queries on demand: a run starts them when enough messages wait, and stops them when they have caught up.

Only with ``FINANCELAKE_STREAMS__CONTINUOUS=false``. The same queries continue from the same checkpoints, so a lake can
switch between both modes, and after a killed run the next run continues its work.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import dagster as dg

from financelake_assets.catalogue import SCORED
from financelake_assets.config import Settings
from financelake_assets.defs import run_history
from financelake_assets.defs.operations.jobs import CATCH_UP_JOB
from financelake_assets.defs.silver import assets as silver
from financelake_assets.defs.silver.checks import BLOCKING
from financelake_assets.defs.table_assets import table_key
from financelake_assets.gold import query as gold
from financelake_assets.gold import silver_changes as feed
from financelake_assets.operations import decisions
from financelake_assets.silver.schema import BARS


def backlog(instance: dg.DagsterInstance, settings: Settings, messages: int, seconds: float) -> decisions.Backlog:
    """The backlog: messages on the topics, commits of silver that gold can score, and how long they have waited."""
    past = run_history.of_job(instance, CATCH_UP_JOB)
    return decisions.Backlog(
        messages=messages,
        commits=_not_scored(settings),
        seconds=seconds,
        in_flight=past.in_flight,
        failures=past.failures,
        seconds_since_failure=past.seconds_since_failure,
    )


def request(settings: Settings, place: str, failures: int, why: str) -> dg.RunRequest:
    """The run that processes the backlog.

    Args:
        settings: the lake.
        place: the position of the queries; each position gets one run, unless the run fails.
        failures: runs that failed in a row.
        why: the reason, shown on the run's page.
    """
    tables = [*silver.TABLES, *(() if gold.waits_for(settings) else SCORED)]
    key = hashlib.sha256(f"{place}/{failures}".encode()).hexdigest()[:16]
    return dg.RunRequest(
        run_key=key,
        asset_selection=[table_key(table) for table in tables],
        asset_check_keys=BLOCKING,
        tags={"financelake/why": why},
    )


def _not_scored(settings: Settings) -> int:
    first, bars = gold.first_version(settings), BARS.facts(settings)
    if first is None or bars is None:
        return 0
    scored = feed.consumed_version(Path(settings.checkpoint(gold.QUERY)))
    # without a checkpoint nothing is scored yet; with one, a new market's training data may end long behind it
    return max(0, bars.version - (scored if scored >= 0 else first - 1))
