"""The schedules of the model."""

import dagster as dg

from financelake_assets.defs.model.jobs import check_model, train_model

model_checks_every_hour = dg.ScheduleDefinition(
    name="model_checks_every_hour",
    job=check_model,
    cron_schedule="25 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

weekly_training = dg.ScheduleDefinition(
    name="weekly_training",
    job=train_model,
    cron_schedule="0 4 * * 0",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
