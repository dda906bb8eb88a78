"""Gold in Dagster: the tables that the continuous gold query writes, and the dashboard that shows them."""

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from financelake_assets.bronze.assets import OWNERS
from financelake_assets.config import Settings
from financelake_assets.gold.query import QUERY, waits_for
from financelake_assets.gold.schema import PREDICTIONS, SIGNALS
from financelake_assets.model.assets import FOREST
from financelake_assets.resources.dagster import ContinuousStreamsResource, LakeResource, TablesResource
from financelake_assets.silver.assets import table_key, table_spec
from financelake_assets.silver.checkpoint import committed_batch, source_offsets
from financelake_assets.silver.schema import BARS

TABLES = (PREDICTIONS, SIGNALS)
DEPS = [table_key(BARS), FOREST]

DASHBOARD = dg.AssetSpec(
    "dashboard",
    deps=[table_key(table) for table in TABLES],
    group_name="gold",
    kinds={"plotly"},
    owners=OWNERS,
    description="FinanceLake Pro, the dashboard. It reads gold and silver with delta-rs.",
)


def consumed_version(settings: Settings) -> int:
    """Delta version of silver.bars that the gold query has committed; -1 before its first batch."""
    checkpoint = Path(settings.checkpoint(QUERY))
    batch = committed_batch(checkpoint)
    if batch is None:
        return -1
    offset = json.loads(source_offsets(checkpoint, batch))
    # Delta's offset names the next version with index -1 when a version is consumed whole
    return int(offset["reservoirVersion"]) - (1 if offset["index"] < 0 else 0)


@dg.multi_asset(specs=[table_spec(table, DEPS, {"spark"}) for table in TABLES], can_subset=True, name="gold_tables")
def gold_tables(
    context: dg.AssetExecutionContext,
    lake: LakeResource,
    tables: TablesResource,
    streams: ContinuousStreamsResource,
) -> Iterator[dg.MaterializeResult[None]]:
    """Make sure that the gold query runs and has scored everything that is in silver now."""
    lacking = waits_for(lake.settings)
    if lacking:
        raise dg.Failure(f"the gold query waits for {lacking}", allow_retries=False)
    until = int(tables.version(BARS) or 0)
    streams.drain(QUERY, lambda: max(0, until - consumed_version(lake.settings)), context.log.info)
    for table in TABLES:
        if table_key(table) in context.selected_asset_keys:
            yield dg.MaterializeResult(
                asset_key=table_key(table),
                metadata=tables.metadata(table),
                data_version=dg.DataVersion(tables.version(table) or "0"),
            )
