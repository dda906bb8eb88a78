"""Results of the last runs of a job, for the sensors."""

from __future__ import annotations

import time
from dataclasses import dataclass

import dagster as dg

from financelake_assets.operations.decisions import PARTITION_TAG

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True)
class RunHistory:
    """Whether a run is queued or running, the failures since the last success, and how long ago the last one was."""

    in_flight: bool
    failures: int
    seconds_since_failure: float


def of_job(instance: dg.DagsterInstance, job: str, partition: str | None = None) -> RunHistory:
    """Read the newest twenty runs of a job, or of one of its partitions."""
    tags = {} if partition is None else {PARTITION_TAG: partition}
    runs = instance.get_run_records(dg.RunsFilter(job_name=job, tags=tags), limit=20)
    failures = 0
    for run in runs:  # newest first
        if run.dagster_run.status != dg.DagsterRunStatus.FAILURE:
            break
        failures += 1
    last_end = runs[0].end_time if runs and runs[0].end_time else 0.0
    return RunHistory(
        in_flight=any(run.dagster_run.status in _UNFINISHED for run in runs),
        failures=failures,
        seconds_since_failure=time.time() - last_end,
    )
