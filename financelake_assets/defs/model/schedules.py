"""The schedules of the model."""

from collections.abc import Iterator

import dagster as dg

from financelake_assets.defs.model.jobs import check_model, train_model
from financelake_assets.defs.resources import LakeResource
from financelake_assets.model import registry

model_checks_every_hour = dg.ScheduleDefinition(
    name="model_checks_every_hour",
    job=check_model,
    cron_schedule="25 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)


@dg.schedule(job=train_model, cron_schedule="0 4 * * 0", default_status=dg.DefaultScheduleStatus.RUNNING)
def weekly_training(
    context: dg.ScheduleEvaluationContext, lake: LakeResource
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Train every market that has a model; the runs wait for each other."""
    known = registry.champions(lake.settings)
    if not known:
        yield dg.SkipReason("no market has a model yet; the sensor starts its first training")
    for market in known:
        # a schedule's tick that is tried again starts no run twice
        key = f"{context.scheduled_execution_time:%Y-%m-%d}/{market.name}"
        yield dg.RunRequest(run_key=key, partition_key=market.name)
