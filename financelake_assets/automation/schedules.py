"""What follows the clock: a weekly training, checks of silver, model and gold, and the maintenance of the tables."""

from __future__ import annotations

import dagster as dg

from financelake_assets.automation.maintenance import maintain_tables
from financelake_assets.automation.sensors import train_model
from financelake_assets.gold.checks import gold_checks
from financelake_assets.model.checks import drift_checks
from financelake_assets.silver.assets import silver_findings
from financelake_assets.silver.checks import silver_checks

_BEHIND_OTHERS = {"dagster/priority": "-1", "dagster/max_runtime": "900"}
"""Looking at what is there waits for what brings something new, and is ended when it hangs."""

check_silver = dg.define_asset_job(
    "check_silver",
    selection=dg.AssetSelection.checks(silver_checks),
    executor_def=dg.in_process_executor,
    tags=_BEHIND_OTHERS,
    description="Check silver's ledger, columns, keys, values, freshness, gaps, and what share is in quarantine.",
)

survey_silver = dg.define_asset_job(
    "survey_silver",
    selection=dg.AssetSelection.assets(silver_findings),
    executor_def=dg.in_process_executor,
    tags=_BEHIND_OTHERS,
    description="Look through every series of silver for missing bars and jumps of the price.",
)

check_model = dg.define_asset_job(
    "check_model",
    selection=dg.AssetSelection.checks(drift_checks),
    executor_def=dg.in_process_executor,
    tags=_BEHIND_OTHERS,
    description="Check that recent bars are like what the champion learnt from, and that its forecasts hold.",
)

check_gold = dg.define_asset_job(
    "check_gold",
    selection=dg.AssetSelection.checks(gold_checks),
    executor_def=dg.in_process_executor,
    tags=_BEHIND_OTHERS,
    description="Check gold's columns, keys and values, a signal and an outcome for each prediction, the accounts.",
)

SCHEDULES = [
    dg.ScheduleDefinition(
        name="model_checks_every_hour",
        job=check_model,
        cron_schedule="25 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    ),
    dg.ScheduleDefinition(
        name="weekly_training",
        job=train_model,
        cron_schedule="0 4 * * 0",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    ),
    dg.ScheduleDefinition(
        name="silver_checks_every_quarter_hour",
        job=check_silver,
        cron_schedule="*/15 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    ),
    dg.ScheduleDefinition(
        name="silver_survey_every_hour",
        job=survey_silver,
        cron_schedule="40 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    ),
    dg.ScheduleDefinition(
        name="gold_checks_every_quarter_hour",
        job=check_gold,
        cron_schedule="2-59/15 * * * *",  # not together with silver's: each takes the streams' cores for some seconds
        default_status=dg.DefaultScheduleStatus.RUNNING,
    ),
    dg.ScheduleDefinition(
        name="hourly_maintenance",
        job=maintain_tables,
        cron_schedule="23 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    ),
]
