"""Jobs of gold."""

from __future__ import annotations

import dagster as dg

from financelake_assets.defs.gold.checks import gold_checks
from financelake_assets.defs.run_tags import BEHIND_OTHERS

check_gold = dg.define_asset_job(
    "check_gold",
    selection=dg.AssetSelection.checks(gold_checks),
    executor_def=dg.in_process_executor,
    tags=BEHIND_OTHERS,
    description="Check gold's columns, keys and values, a signal and an outcome for each prediction, the accounts.",
)
