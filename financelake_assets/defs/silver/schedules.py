"""The schedules of silver."""

import dagster as dg

from financelake_assets.defs.silver.jobs import check_silver, survey_silver

silver_checks_every_quarter_hour = dg.ScheduleDefinition(
    name="silver_checks_every_quarter_hour",
    job=check_silver,
    cron_schedule="*/15 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

silver_survey_every_hour = dg.ScheduleDefinition(
    name="silver_survey_every_hour",
    job=survey_silver,
    cron_schedule="40 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
