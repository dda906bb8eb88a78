"""How the continuous queries get on, kept for a week and shown in Dagster."""

from __future__ import annotations

from typing import Any

import dagster as dg
import polars as pl

from financelake_assets.resources.dagster import ContinuousStreamsResource, LakeResource, TablesResource
from financelake_assets.resources.progress import PROGRESS, keep
from financelake_assets.resources.table_assets import table_key, table_spec

STREAM_PROGRESS = table_spec(PROGRESS, [], {"spark"})


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING, name="stream_progress")
def stream_progress(
    lake: LakeResource, tables: TablesResource, streams: ContinuousStreamsResource
) -> dg.SensorResult | dg.SkipReason:
    """Keep what Spark reports of each micro-batch, before it forgets it."""
    try:
        reports = streams.streams.reports()
    except Exception as error:  # a server that restarts; what it knew of earlier batches is gone with it
        return dg.SkipReason(f"the Spark server does not answer, the next tick asks again: {error}")
    new = keep(lake.settings, reports)
    if new.is_empty():
        return dg.SkipReason("no micro-batch since the last look")
    event = dg.AssetMaterialization(
        table_key(PROGRESS),
        metadata={**tables.metadata(PROGRESS), **by_query(new)},
        tags={"dagster/data_version": tables.version(PROGRESS) or "0"},
    )
    return dg.SensorResult(asset_events=[event], skip_reason=dg.SkipReason(f"{new.height} micro-batches"))


def by_query(rows: pl.DataFrame) -> dict[str, Any]:
    """What happened since the last look, one number a key, so that Dagster can plot it."""
    found = rows.group_by("query", maintain_order=True).agg(
        pl.len().alias("batches"),
        pl.when(pl.col("input_rows").count() > 0).then(pl.col("input_rows").sum()).alias("rows"),
        pl.col("trigger_ms").median().alias("batch_ms_p50"),
        pl.col("trigger_ms").max().alias("batch_ms_max"),
        pl.col("processed_rows_per_second").median().alias("rows_per_second"),
        pl.col("state_bytes").last(),
        pl.col("lag").last(),
        pl.col("lag_by_partition").last(),
    )
    return {
        f"{row['query']}_{name}": value
        for row in found.iter_rows(named=True)
        for name, value in row.items()
        if name != "query" and value is not None
    }
