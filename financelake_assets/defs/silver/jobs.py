"""Jobs of silver."""

from __future__ import annotations

import dagster as dg

from financelake_assets.defs.run_tags import BEHIND_OTHERS
from financelake_assets.defs.silver.assets import silver_findings
from financelake_assets.defs.silver.checks import silver_checks

check_silver = dg.define_asset_job(
    "check_silver",
    selection=dg.AssetSelection.checks(silver_checks),
    executor_def=dg.in_process_executor,
    tags=BEHIND_OTHERS,
    description="Check silver's ledger, columns, keys, values, freshness, gaps, and the share in quarantine.",
)


survey_silver = dg.define_asset_job(
    "survey_silver",
    selection=dg.AssetSelection.assets(silver_findings),
    executor_def=dg.in_process_executor,
    tags=BEHIND_OTHERS,
    description="Search every series of silver for missing bars and jumps of the price.",
)
