"""Jobs of the model."""

from __future__ import annotations

import dagster as dg

from financelake_assets.defs.model.assets import SEARCH, TrainingConfig
from financelake_assets.defs.model.checks import drift_checks
from financelake_assets.defs.run_tags import BEHIND_OTHERS, UNHURRIED
from financelake_assets.defs.silver.checks import BLOCKING
from financelake_assets.operations.decisions import TRAIN_JOB, TUNE_JOB

# silver's blocking checks run first: no model trains on bars that fail them
_SEARCH_AND_TRAINING = dg.AssetSelection.groups("model") | dg.AssetSelection.checks(*BLOCKING)

train_model = dg.define_asset_job(
    TRAIN_JOB,
    selection=_SEARCH_AND_TRAINING - dg.AssetSelection.assets(SEARCH),
    executor_def=dg.in_process_executor,
    description="Train, evaluate and register a version of the random forest.",
)


tune_model = dg.define_asset_job(
    TUNE_JOB,
    selection=_SEARCH_AND_TRAINING,
    executor_def=dg.in_process_executor,
    config=dg.RunConfig(ops={"random_forest": TrainingConfig(searched=True)}),
    tags=UNHURRIED,
    description="Search settings of the forest inside the training period, then train, judge and register a version.",
)


check_model = dg.define_asset_job(
    "check_model",
    selection=dg.AssetSelection.checks(drift_checks),
    executor_def=dg.in_process_executor,
    tags=BEHIND_OTHERS,
    description="Check that recent bars are like the champion's training data, and that its forecasts are good.",
)
