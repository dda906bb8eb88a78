"""Spark's progress reports as rows: what they say, each once, for a week."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from financelake_assets.config import Settings
from financelake_assets.defs.operations.sensors import by_query
from financelake_assets.streams import progress
from financelake_assets.streams.progress import PROGRESS, keep, row
from financelake_assets_tests.silver import kafka


def report(batch: int, rows: int = 5, at: datetime | None = None, **fields: Any) -> dict[str, Any]:
    """As Spark writes one, of a query that reads Kafka."""
    return {
        "name": "silver",
        "runId": "run",
        "batchId": batch,
        "timestamp": (at or datetime(2026, 1, 2, 3, 4, batch, tzinfo=UTC)).isoformat().replace("+00:00", "Z"),
        "durationMs": {"triggerExecution": 100 + batch, "addBatch": 70, "commitOffsets": 5},
        "eventTime": {},
        "stateOperators": [],
        "sources": [
            {
                "description": "KafkaV2[Subscribe[bronze.stock]]",
                "startOffset": json.dumps({"bronze.stock": {"0": 5 - rows, "1": 7}}),
                "endOffset": json.dumps({"bronze.stock": {"0": 5, "1": 7}}),
                "latestOffset": json.dumps({"bronze.stock": {"0": 9, "1": 7, "2": 3}}),
                "numInputRows": rows,
                "inputRowsPerSecond": 10.0,
                "processedRowsPerSecond": 50.0,
            }
        ],
        **fields,
    }


def test_a_report_says_rows_times_and_what_was_left_on_each_partition() -> None:
    found = row(report(1))
    assert found is not None
    assert (found["input_rows"], found["trigger_ms"], found["add_batch_ms"], found["commit_ms"]) == (5, 101, 70, 5)
    assert found["query_planning_ms"] is None
    assert (found["input_rows_per_second"], found["processed_rows_per_second"]) == (10.0, 50.0)
    assert json.loads(found["lag_by_partition"]) == {"bronze.stock/0": 4, "bronze.stock/1": 0, "bronze.stock/2": 3}
    assert found["lag"] == 7


def test_state_and_watermark_are_those_of_the_report() -> None:
    states = [{"numRowsTotal": 3, "memoryUsedBytes": 100}, {"numRowsTotal": 4, "memoryUsedBytes": 50}]
    found = row(report(1, stateOperators=states, eventTime={"watermark": "2026-01-01T00:00:00.000Z"}))
    assert found is not None
    assert (found["state_rows"], found["state_bytes"]) == (7, 150)
    assert found["watermark"] == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_trigger_without_input_is_no_row() -> None:
    assert row(report(1, rows=0)) is None


def test_a_source_that_spark_follows_without_reading_it_has_no_rows_and_no_lag() -> None:
    delta = {"description": "DeltaSource[file:/x]", "startOffset": "{}", "latestOffset": None, "numInputRows": 0}
    found = row(report(1, sources=[{**delta, "endOffset": '{"reservoirVersion": 3}'}]))
    assert found is not None
    unknown = ("input_rows", "processed_rows_per_second", "lag", "lag_by_partition")
    assert [found[name] for name in unknown] == [None] * 4
    assert found["trigger_ms"] == 101
    assert row(report(1, sources=[{**delta, "endOffset": "{}"}])) is None


def test_each_micro_batch_is_kept_once_however_often_it_is_told(offline_lake: Settings) -> None:
    assert keep(offline_lake, []).is_empty()
    assert keep(offline_lake, [report(1), report(2, rows=0), report(2), report(2)]).height == 2
    version = PROGRESS.ensure(offline_lake).version()
    assert keep(offline_lake, [report(1), report(2)]).is_empty()
    assert PROGRESS.ensure(offline_lake).version() == version
    assert keep(offline_lake, [report(2), report(3), report(1, runId="next")]).height == 2
    assert pl.read_delta(PROGRESS.path(offline_lake)).height == 4


def test_rows_are_forgotten_after_a_week(offline_lake: Settings) -> None:
    progress.forget_old(offline_lake)
    now = datetime.now(UTC)
    keep(offline_lake, [report(1, at=now - timedelta(days=8)), report(2, at=now - timedelta(days=6))])
    progress.forget_old(offline_lake)
    table = PROGRESS.ensure(offline_lake)
    assert pl.read_delta(table)["batch_id"].to_list() == [2]
    progress.forget_old(offline_lake)
    assert PROGRESS.ensure(offline_lake).version() == table.version()


def test_dagster_shows_a_number_a_query(offline_lake: Settings) -> None:
    followed = {"description": "DeltaSource[file:/x]", "startOffset": "{}", "endOffset": "{1}", "numInputRows": 0}
    shown = by_query(keep(offline_lake, [report(1), report(2), report(1, name="gold", sources=[followed])]))
    assert (shown["silver_batches"], shown["silver_rows"], shown["silver_lag"]) == (2, 10, 7)
    assert shown["silver_batch_ms_p50"] == 101.5
    assert (shown["gold_batches"], shown["gold_batch_ms_max"]) == (1, 101)
    assert "gold_rows" not in shown


@pytest.mark.integration
def test_a_running_query_is_reported(lake: Settings) -> None:
    kafka.add_universe(lake)
    sent = kafka.produce(lake, kafka.mixture(60))
    with kafka.running(lake) as query:
        kafka.drain(lake, query)
        kafka.eventually(lambda: bool(query.recentProgress), "a report")
        kept = keep(lake, [json.loads(one.json) for one in query.recentProgress])
    assert kept["input_rows"].sum() == sent
    assert kept["lag"].to_list()[-1] == 0
    assert (kept["processed_rows_per_second"] > 0).all()
    phases = kept.select("trigger_ms", "add_batch_ms", "query_planning_ms", "wal_commit_ms", "commit_ms")
    assert not any(phases.null_count().row(0))
