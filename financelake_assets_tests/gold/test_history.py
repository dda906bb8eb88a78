"""A past month repaired: what was lost comes back as it was, and nothing that is there changes."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster_pyspark import LazyPySparkResource
from pyspark.sql import SparkSession

from financelake_assets.config import Settings, get_settings
from financelake_assets.defs.gold.assets import gold_history
from financelake_assets.defs.resources import LakeResource
from financelake_assets.gold.history import Repaired, knew_until, repair
from financelake_assets.gold.schema import PREDICTIONS, SCORECARD, SIGNALS
from financelake_assets.model import registry
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets_tests.gold import lakes
from financelake_assets_tests.gold.frames import day
from financelake_assets_tests.gold.lakes import HISTORY, append, content, market, score_changes

pytestmark = pytest.mark.integration

WHEN = ("as_of", "scored_at")
DAYS = 40


def _now(first: int, last: int) -> pl.DataFrame:
    """Bars that are written to silver now."""
    return market(first, last).with_columns(processed_at=pl.lit(datetime.now(UTC)).cast(pl.Datetime("us", "UTC")))


@pytest.fixture(scope="module")
def whole(spark: SparkSession, spark_server: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake whose query has scored forty days that its champion did not learn from."""
    settings = lakes.small(
        Settings.model_validate({"data_dir": tmp_path_factory.mktemp("whole"), "spark": {"remote": spark_server}})
    )
    append(settings, _now(0, HISTORY))
    lakes.trained(spark, settings)
    first = append(settings, _now(HISTORY, HISTORY + DAYS))
    score_changes(settings, first)
    return settings


@pytest.fixture
def damaged(whole: Settings, tmp_path: Path) -> Settings:
    """A copy of it that has lost some days: predictions of one, signals of another, and everything of ten."""
    shutil.copytree(whole.data_dir, tmp_path / "lake")
    lake = whole.model_copy(update={"data_dir": tmp_path / "lake"})
    lost = [f"event_time >= '{day(HISTORY + 10).isoformat()}' AND event_time < '{day(HISTORY + 20).isoformat()}'"]
    for table, more in ((PREDICTIONS, 5), (SIGNALS, 6), (SCORECARD, 7)):
        opened = table.ensure(lake)
        for where in (*lost, f"event_time = '{day(HISTORY + more).isoformat()}'"):
            opened.delete(where)
    return lake


def _contents(lake: Settings) -> dict[str, pl.DataFrame]:
    return {table.name: content(table, lake, WHEN) for table in (PREDICTIONS, SIGNALS, SCORECARD)}


def test_what_was_lost_comes_back_as_it_was_and_again_changes_nothing(
    spark: SparkSession, whole: Settings, damaged: Settings
):
    before = content(PREDICTIONS, damaged)
    assert not _contents(damaged)["signals"].equals(_contents(whole)["signals"])
    done = repair(damaged, day(HISTORY), day(HISTORY + DAYS))
    assert done == Repaired(predictions=33, signals=33, outcomes=33)
    for name, rows in _contents(whole).items():
        assert _contents(damaged)[name].equals(rows), name
    kept = content(PREDICTIONS, damaged).join(before, on=before.columns, how="semi")
    assert kept.equals(before), "what was there is as it was, to the time when it was made"
    assert repair(damaged, day(HISTORY), day(HISTORY + DAYS)) == Repaired()


def test_only_the_period_is_repaired_and_what_the_model_learnt_from_is_never_scored(
    spark: SparkSession, damaged: Settings
):
    done = repair(damaged, day(0), day(HISTORY + 6))
    assert (done.predictions, done.signals, done.outcomes) == (3, 0, 0)
    assert content(PREDICTIONS, damaged)["event_time"].min() == day(HISTORY)


def test_how_long_a_model_knew_silver_is_when_its_version_was_written(whole: Settings):
    record = registry.versions(whole)[0]
    tables = OpenTables(whole)
    written = content(BARS, whole).group_by(pl.col("event_time") < day(HISTORY)).agg(pl.col("processed_at").max())
    learnt, new = (written.filter(pl.col("event_time") == known)["processed_at"][0] for known in (True, False))
    assert learnt < knew_until(tables, record) < record.trained_at < new


def test_a_back_fill_in_dagster_repairs_one_month(
    spark: SparkSession, whole: Settings, damaged: Settings, monkeypatch: pytest.MonkeyPatch
):
    month = day(HISTORY + 12).replace(day=1)
    after = (month + timedelta(days=32)).replace(day=1)
    monkeypatch.setenv("FINANCELAKE_DATA_DIR", str(damaged.data_dir))
    monkeypatch.setenv("FINANCELAKE_SPARK__REMOTE", damaged.spark_remote)
    get_settings.cache_clear()
    resources: Any = {
        "lake": LakeResource(),
        "spark": LazyPySparkResource(spark_config={"spark.remote": damaged.spark_remote}),
    }
    result = dg.materialize([gold_history], partition_key=f"{month:%Y-%m}", resources=resources)
    get_settings.cache_clear()
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["predictions"].value > 0
    inside = pl.col("event_time").is_between(month, after, closed="left")
    for name, rows in _contents(whole).items():
        assert _contents(damaged)[name].filter(inside).equals(rows.filter(inside)), name
