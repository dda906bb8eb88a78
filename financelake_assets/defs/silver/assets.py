"""Silver in Dagster: the tables that the continuous silver query writes, and the findings of the survey."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from financelake_assets.bronze.offsets import lag
from financelake_assets.defs.bronze.assets import TOPIC_KEYS
from financelake_assets.defs.resources import (
    RETRIES,
    ContinuousStreamsResource,
    LakeResource,
    TablesResource,
    TopicsResource,
    total,
)
from financelake_assets.defs.table_assets import markdown_table, table_key, table_spec
from financelake_assets.silver.checkpoint import QUERY, consumed_offsets
from financelake_assets.silver.schema import BARS, FINDINGS, QUARANTINE, TICKS
from financelake_assets.silver.survey import survey

_SHOWN = 20


SURVEYED = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=4), warn_window=timedelta(hours=2))
"""The survey runs every hour."""

TABLES = (BARS, TICKS, QUARANTINE)


@dg.multi_asset(
    specs=[table_spec(table, TOPIC_KEYS, {"spark"}) for table in TABLES], can_subset=True, name="silver_tables"
)
def silver_tables(
    context: dg.AssetExecutionContext,
    lake: LakeResource,
    topics: TopicsResource,
    tables: TablesResource,
    streams: ContinuousStreamsResource,
) -> Iterator[dg.MaterializeResult[None]]:
    """Make sure that the silver query runs and has committed all messages that are on the topics now."""
    until = topics.watermarks()
    streams.drain(QUERY, lambda: total(lag(consumed_offsets(lake.settings), until)), context.log.info)
    for table in TABLES:
        if table_key(table) in context.selected_asset_keys:
            yield tables.materialised(table)


@dg.multi_asset(
    specs=[table_spec(FINDINGS, [table_key(BARS)], {"polars"}).replace_attributes(freshness_policy=SURVEYED)],
    name="silver_findings",
    pool="silver_findings",
    retry_policy=RETRIES,
)
def silver_findings(lake: LakeResource, tables: TablesResource) -> dg.MaterializeResult[None]:
    """Search every series for bars that the calendar expects and silver lacks, and for prices that jump."""
    found = survey(lake.settings)
    newest = found.sort("event_time", descending=True).head(_SHOWN).drop("asset_class")
    return tables.materialised(
        FINDINGS,
        by_kind=dict(found.group_by("kind").len().sort("kind").iter_rows()),
        missing_bars=int(found["missing"].sum()),
        newest=dg.MetadataValue.md(markdown_table(newest)),
    )
