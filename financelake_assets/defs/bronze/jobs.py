"""Jobs of bronze."""

from __future__ import annotations

import dagster as dg

from financelake_assets.defs.bronze.universe import bronze_refresh

refresh_universe = dg.define_asset_job(
    "refresh_universe",
    selection=dg.AssetSelection.assets(bronze_refresh),
    executor_def=dg.in_process_executor,
    description="Load the bars that the universe file's symbols lack by their calendars, where no feed runs.",
)
