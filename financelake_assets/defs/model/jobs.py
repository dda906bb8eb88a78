"""Jobs of the model."""

from __future__ import annotations

import dagster as dg

from financelake_assets.defs.model.checks import drift_checks
from financelake_assets.defs.run_tags import BEHIND_OTHERS
from financelake_assets.defs.silver.checks import BLOCKING
from financelake_assets.operations.decisions import TRAIN_JOB

train_model = dg.define_asset_job(
    TRAIN_JOB,
    # silver's blocking checks run first: no model trains on bars that fail them
    selection=dg.AssetSelection.groups("model") | dg.AssetSelection.checks(*BLOCKING),
    executor_def=dg.in_process_executor,
    description="Train, evaluate and register a version of the random forest.",
)


check_model = dg.define_asset_job(
    "check_model",
    selection=dg.AssetSelection.checks(drift_checks),
    executor_def=dg.in_process_executor,
    tags=BEHIND_OTHERS,
    description="Check that recent bars are like the champion's training data, and that its forecasts are good.",
)
