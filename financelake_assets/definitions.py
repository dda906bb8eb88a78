"""The Dagster code location: everything from the folders beside this file, assembled."""

from __future__ import annotations

import dagster as dg
from dagster_pyspark import LazyPySparkResource

from financelake_assets.automation import jobs, maintenance, on_demand, progress, schedules, sensors, watching
from financelake_assets.bronze.assets import PROVIDERS, bronze_history, bronze_topics
from financelake_assets.config import get_settings
from financelake_assets.gold.assets import DASHBOARD, gold_history, gold_report, gold_standing, gold_tables
from financelake_assets.gold.checks import gold_checks
from financelake_assets.model.assets import random_forest
from financelake_assets.model.checks import drift_checks
from financelake_assets.resources.dagster import (
    ContinuousStreamsResource,
    LakeResource,
    StandingResource,
    TablesResource,
    TopicsResource,
)
from financelake_assets.silver.assets import silver_findings, silver_tables
from financelake_assets.silver.checks import silver_checks

_lake = LakeResource()

defs = dg.Definitions(
    assets=[
        *PROVIDERS,
        bronze_topics,
        bronze_history,
        silver_tables,
        silver_findings,
        random_forest,
        gold_tables,
        gold_standing,
        gold_history,
        gold_report,
        DASHBOARD,
        progress.STREAM_PROGRESS,
    ],
    asset_checks=[silver_checks, drift_checks, gold_checks],
    jobs=[
        sensors.train_model,
        on_demand.catch_up,
        schedules.check_silver,
        schedules.survey_silver,
        schedules.check_model,
        schedules.check_gold,
        maintenance.maintain_tables,
        *jobs.JOBS,
    ],
    sensors=[
        sensors.bronze_offsets,
        sensors.champion,
        sensors.standing,
        sensors.automation,
        watching.watch_lake,
        progress.stream_progress,
    ],
    schedules=schedules.SCHEDULES,
    executor=dg.in_process_executor,
    resources={
        "lake": _lake,
        "topics": TopicsResource(lake=_lake),
        "tables": TablesResource(lake=_lake),
        "streams": ContinuousStreamsResource(),
        "sums": StandingResource(),
        # nothing connects until an asset asks for the session
        "spark": LazyPySparkResource(spark_config={"spark.remote": get_settings().spark_remote}),
    },
)
