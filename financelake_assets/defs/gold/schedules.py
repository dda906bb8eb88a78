"""The schedules of gold."""

import dagster as dg

from financelake_assets.defs.gold.jobs import check_gold

gold_checks_every_quarter_hour = dg.ScheduleDefinition(
    name="gold_checks_every_quarter_hour",
    job=check_gold,
    cron_schedule="2-59/15 * * * *",  # not at the same time as silver's: each uses all cores for some seconds
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
