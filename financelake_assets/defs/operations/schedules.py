"""The schedules of the lake's operation."""

import dagster as dg

from financelake_assets.defs.operations.jobs import maintain_tables

hourly_maintenance = dg.ScheduleDefinition(
    name="hourly_maintenance",
    job=maintain_tables,
    cron_schedule="23 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
