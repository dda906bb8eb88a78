"""The sensor that sends lineage to other tools, where the settings name a place for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from financelake_assets.config import get_settings
from financelake_assets.defs.resources import LakeResource
from financelake_assets.operations.openlineage_events import JobRun

_OVER = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
_MOST_RUNS = 200
_OVERLAP_SECONDS = 1.0


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING if get_settings().lineage.wanted else dg.DefaultSensorStatus.STOPPED,
    name="openlineage",
)
def openlineage(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult | dg.SkipReason:
    """Send an OpenLineage event of each commit of a table and of each run."""
    from financelake_assets.operations.openlineage import send, transport_of

    transport = transport_of(lake.settings)
    if transport is None:
        return dg.SkipReason("FINANCELAKE_LINEAGE__URL and FINANCELAKE_LINEAGE__FILE are not set")
    stored: dict[str, Any] = json.loads(context.cursor) if context.cursor else {"tables": {}, "runs_until": 0.0}
    places = {name: (str(place[0]), int(place[1])) for name, place in stored["tables"].items()}
    until = float(stored["runs_until"])
    sent = send(lake.settings, transport, places, changed_runs(context.instance, until), until)
    said = f"{sent.events} events sent"
    if sent.problem is not None:
        context.log.warning(f"lineage could not be sent, the next tick retries: {sent.problem}")
        said += f"; then {sent.problem}"
    cursor = json.dumps({"tables": sent.tables, "runs_until": sent.runs_until})
    return dg.SensorResult(cursor=cursor, skip_reason=dg.SkipReason(said))


def changed_runs(instance: dg.DagsterInstance, since: float) -> Iterator[tuple[float, JobRun]]:
    """Runs that changed after a time (seconds since 1970), in the order of their last change."""
    # two runs may change at one moment: what lies a second back is sent again
    after = datetime.fromtimestamp(since, UTC) - timedelta(seconds=_OVERLAP_SECONDS if since else 0)
    records = instance.get_run_records(
        dg.RunsFilter(updated_after=after), limit=_MOST_RUNS, order_by="update_timestamp", ascending=True
    )
    for record in records:
        run, over = record.dagster_run, record.dagster_run.status in _OVER
        failed = over and run.status is not dg.DagsterRunStatus.SUCCESS
        yield (
            record.update_timestamp.timestamp(),
            JobRun(
                id=run.run_id,
                job=run.job_name,
                began=record.start_time,
                ended=record.end_time if over else None,
                failure=_why(instance, run) if failed else None,
            ),
        )


def _why(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    kind = dg.DagsterEventType.RUN_FAILURE
    found = instance.get_records_for_run(run.run_id, of_type=kind, limit=1).records
    message = found[0].event_log_entry.user_message if found else ""
    return message or f"The run is {run.status.value.lower()}."
