"""What gold does by the clock."""

import dagster as dg

from financelake_assets.defs.gold.jobs import check_gold

gold_checks_every_quarter_hour = dg.ScheduleDefinition(
    name="gold_checks_every_quarter_hour",
    job=check_gold,
    cron_schedule="2-59/15 * * * *",  # not together with silver's: each takes the streams' cores for some seconds
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
