"""Progress of the continuous queries: Spark's reports, stored as rows of operations/stream_progress.

Input: the reports that Spark keeps of each running query. Output: one row for each micro-batch with input, once, for a
week. Spark keeps only its newest 200 reports. Older ones that were not read in time are missing, as their ids show.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pyarrow as pa
from deltalake import write_deltalake

from financelake_assets.config import Settings
from financelake_assets.storage.delta import TIMESTAMP, TableSpec, columns, retried

KEPT = timedelta(days=7)
PHASES = {
    "latest_offset_ms": "latestOffset",
    "query_planning_ms": "queryPlanning",
    "add_batch_ms": "addBatch",
    "wal_commit_ms": "walCommit",
    "commit_ms": "commitOffsets",
}
"""Columns and Spark's names for the phases of a micro-batch; ``trigger_ms`` is the total."""

PROGRESS = TableSpec(
    layer="operations",
    name="stream_progress",
    key=("query", "run_id", "batch_id"),
    description="One row for each micro-batch of the continuous queries: rows, rates, time by phase, state, lag.",
    schema=columns(
        {
            "query": pa.string(),
            "run_id": pa.string(),
            "batch_id": pa.int64(),
            "at": TIMESTAMP,
            "input_rows": pa.int64(),
            "input_rows_per_second": pa.float64(),
            "processed_rows_per_second": pa.float64(),
            "trigger_ms": pa.int64(),
            **dict.fromkeys(PHASES, pa.int64()),
            "state_rows": pa.int64(),
            "state_bytes": pa.int64(),
            "watermark": TIMESTAMP,
            "lag": pa.int64(),
            "lag_by_partition": pa.string(),
        },
        required=("query", "run_id", "batch_id", "at"),
    ),
    time_column="at",
)


def row(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """One of Spark's reports as a row; ``None`` for a trigger without input.

    Rows and rates are null if Spark only follows the query's source and does not read its rows. ``lag`` counts the
    messages that were on the topics when the batch was planned and are not in the batch; only Kafka sources have it.
    """
    sources, counted = report["sources"], rates(report)
    if counted["input_rows"] is None and all(one["startOffset"] == one["endOffset"] for one in sources):
        return None
    took, states = report["durationMs"], report.get("stateOperators") or []
    lag = _lag(sources[0])
    return {
        "query": report["name"],
        "run_id": report["runId"],
        "batch_id": report["batchId"],
        "at": datetime.fromisoformat(report["timestamp"]),
        **counted,
        "trigger_ms": took.get("triggerExecution"),
        **{name: took.get(spark) for name, spark in PHASES.items()},
        "state_rows": sum(state["numRowsTotal"] for state in states),
        "state_bytes": sum(state["memoryUsedBytes"] for state in states),
        "watermark": _watermark(report),
        "lag": None if lag is None else sum(lag.values()),
        "lag_by_partition": None if lag is None else json.dumps(lag),
    }


def rates(report: Mapping[str, Any]) -> dict[str, float | None]:
    """The rows of a report and their rates over all its sources; ``None`` if Spark read none."""
    names = {
        "input_rows": "numInputRows",
        "input_rows_per_second": "inputRowsPerSecond",
        "processed_rows_per_second": "processedRowsPerSecond",
    }
    sources = report.get("sources", [])
    return {name: sum(source.get(spark) or 0 for source in sources) or None for name, spark in names.items()}


def keep(settings: Settings, reports: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Add the reports that are not in the table yet; return the added rows."""
    rows = [found for report in reports if (found := row(report)) is not None]
    if not rows:
        return PROGRESS.empty
    told = pl.DataFrame(rows, schema=PROGRESS.empty.schema, orient="row").unique(
        PROGRESS.key, keep="last", maintain_order=True
    )

    def add() -> pl.DataFrame:
        table = PROGRESS.ensure(settings)
        known = pl.scan_delta(table).filter(pl.col("at") >= told["at"].min()).select(PROGRESS.key).collect()
        new = told.join(known, on=list(PROGRESS.key), how="anti")
        if not new.is_empty():
            write_deltalake(table, new.to_arrow().cast(PROGRESS.schema), mode="append")
        return new

    with PROGRESS.turn(settings):
        return retried(add)


def forget_old(settings: Settings) -> None:
    """Delete the rows that are older than a week."""
    oldest = datetime.now(UTC) - KEPT

    def delete() -> None:
        table = PROGRESS.open(settings)
        if table is not None and not pl.scan_delta(table).filter(pl.col("at") < oldest).head(1).collect().is_empty():
            table.delete(f"at < '{oldest.isoformat()}'")

    with PROGRESS.turn(settings):
        retried(delete)


def _lag(source: Mapping[str, Any]) -> dict[str, int] | None:
    if not source["description"].startswith("Kafka") or not source.get("latestOffset"):
        return None
    latest, end = (json.loads(source[name]) for name in ("latestOffset", "endOffset"))
    return {
        f"{topic}/{partition}": int(offset) - int(end.get(topic, {}).get(partition, 0))
        for topic, partitions in latest.items()
        for partition, offset in partitions.items()
    }


def _watermark(report: Mapping[str, Any]) -> datetime | None:
    text = (report.get("eventTime") or {}).get("watermark")
    return datetime.fromisoformat(text) if text else None
