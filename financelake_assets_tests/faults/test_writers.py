"""Others who write the silver tables while the live query does."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from financelake_assets.config import Settings
from financelake_assets.silver.backfill import backfill
from financelake_assets.silver.schema import BARS, QUARANTINE, TICKS
from financelake_assets.storage.maintenance import maintain
from financelake_assets_tests.faults import lakes
from financelake_assets_tests.silver import kafka

pytestmark = pytest.mark.integration

TABLES = (BARS, TICKS, QUARANTINE)


def _again_and_again(work: Callable[[], object], done: threading.Event) -> int:
    times = 0
    while not done.wait(0.1):
        work()
        times += 1
    return times


def test_maintenance_and_backfills_beside_the_query_leave_what_it_leaves_alone(
    lake: Settings, tmp_path: Path, spark: SparkSession
):
    """Duplicates in any order, in many small batches, so that all three rewrite the same rows."""
    kafka.add_universe(lake)
    shuffled = list(kafka.mixture(300)) * 2
    random.Random(1).shuffle(shuffled)  # noqa: S311  # test data
    narrow = lake.model_copy(update={"spark": lake.spark.model_copy(update={"max_offsets_per_trigger": 100})})
    frugal = lake.model_copy(update={"maintenance": lake.maintenance.model_copy(update={"small_files": 2})})
    done = threading.Event()

    def keep_house() -> None:
        for table in TABLES:
            maintain(table, frugal)

    with kafka.running(narrow) as query, ThreadPoolExecutor(2) as pool:
        company = [pool.submit(_again_and_again, work, done) for work in (keep_house, lambda: backfill(spark, lake))]
        try:
            for first in range(0, len(shuffled), 300):
                kafka.produce(lake, shuffled[first : first + 300])
                kafka.drain(lake, query)
                # corrections alone would keep silver/bars in one file
                kafka.produce(lake, [kafka.bar("IBM", 1_000 + first, 1.0)])
                kafka.drain(lake, query)
        finally:
            done.set()
        assert all(future.result(60) > 0 for future in company)
    merged = [
        table for table in TABLES if any(step["operation"] == "OPTIMIZE" for step in table.ensure(lake).history())
    ]
    assert merged == list(TABLES)
    lakes.assert_as_undisturbed(lake, tmp_path / "undisturbed")
