"""Markets side by side on a real Spark server: days and five minutes are trained, promoted and scored on their own."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster_pyspark import LazyPySparkResource
from pyspark.sql import SparkSession

from financelake_assets.config import Settings
from financelake_assets.defs.model.assets import FOREST, random_forest
from financelake_assets.defs.resources import LakeResource, TablesResource
from financelake_assets.gold.history import Repaired, score_newest
from financelake_assets.gold.schema import PREDICTIONS, SCORECARD, SIGNALS
from financelake_assets.model import registry
from financelake_assets.model.markets import Market
from financelake_assets.model.record import Status
from financelake_assets_tests.gold import lakes
from financelake_assets_tests.gold.frames import START, day
from financelake_assets_tests.gold.lakes import HISTORY, SYMBOLS, append, content, score_changes

pytestmark = pytest.mark.integration

DAILY, FIVE = Market("1d"), Market("5m")
_TABLES = (PREDICTIONS, SIGNALS, SCORECARD)


def minutes(number: int) -> datetime:
    return START + number * timedelta(minutes=5)


def both(first: int, last: int) -> pl.DataFrame:
    """Bars of days and of five minutes, from the first to the last (not included)."""
    daily = lakes.market(first, last)
    number = (pl.col("event_time") - START).dt.total_days()
    shorter = lakes.market(first, last, seed=55).with_columns(
        interval=pl.lit("5m"), event_time=START + number * timedelta(minutes=5)
    )
    return pl.concat([daily, shorter.cast(daily.schema)])  # type: ignore[arg-type]


def train(market: Market) -> dg.ExecuteInProcessResult:
    """One training of a market, as Dagster runs it."""
    lake = LakeResource()
    resources: Any = {"lake": lake, "tables": TablesResource(lake=lake), "spark": LazyPySparkResource(spark_config={})}
    return dg.materialize([random_forest], partition_key=market.name, resources=resources)


@pytest.fixture(scope="module")
def trained(spark: SparkSession, spark_server: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake with a history of days and of five minutes, after a training of each."""
    lake = lakes.small(
        Settings.model_validate({"data_dir": tmp_path_factory.mktemp("both"), "spark": {"remote": spark_server}})
    )
    lake = lake.model_copy(update={"model": lake.model.model_copy(update={"folds": 2})})
    append(lake, both(0, HISTORY))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LakeResource, "settings", lake)
        # a run ends with its process, and this process has a session that it must not leave open
        patch.setattr(LazyPySparkResource, "spark_session", property(lambda _: spark))
        for market in (DAILY, FIVE):
            made = train(market).asset_materializations_for_node("random_forest")
            (event,) = [one for one in made if one.asset_key == FOREST]
            assert (event.partition, event.metadata["interval"].value) == (market.name, market.interval)
    return lake


@pytest.fixture
def lake(trained: Settings, tmp_path: Path) -> Settings:
    """A copy of it."""
    shutil.copytree(trained.data_dir, tmp_path / "lake")
    return trained.model_copy(update={"data_dir": tmp_path / "lake"})


def test_each_market_has_its_champion_and_a_signal_of_its_newest_bars_at_once(trained: Settings):
    champions = registry.champions(trained)
    assert list(champions) == [FIVE, DAILY]
    assert {record.status for record in champions.values()} == {Status.CHAMPION}
    assert [record.silver_rows for record in champions.values()] == [HISTORY * len(SYMBOLS)] * 2
    # the outcome of a series' last bar was not known, so nothing of it was learnt
    signals = content(SIGNALS, trained)
    newest = {"1d": day(HISTORY - 1), "5m": minutes(HISTORY - 1)}
    assert set(signals.select("interval", "event_time", "model_version").rows()) == {
        (market.interval, newest[market.interval], record.model_version) for market, record in champions.items()
    }
    assert signals.height == 2 * len(SYMBOLS)
    assert content(PREDICTIONS, trained).height == signals.height
    for record in champions.values():
        assert all(until == newest[record.interval] for until in record.learnt_until.values())
        assert score_newest(trained, record) == Repaired(), "a second call changes nothing"


def test_bars_that_came_during_the_training_get_their_signals_and_known_outcomes(lake: Settings):
    for table in (PREDICTIONS, SIGNALS):
        table.ensure(lake).delete()
    append(lake, both(HISTORY, HISTORY + 1))
    record = registry.champions(lake)[FIVE]
    count = len(SYMBOLS)
    assert score_newest(lake, record) == Repaired(2 * count, 2 * count, count)
    assert score_newest(lake, record) == Repaired()
    assert set(content(SCORECARD, lake).select("interval", "target_time").rows()) == {("5m", minutes(HISTORY))}


def test_one_commit_with_bars_of_both_markets_gives_signals_of_both(lake: Settings):
    champions = registry.champions(lake)
    version = append(lake, both(HISTORY, HISTORY + 1))
    score_changes(lake, version)
    made = content(PREDICTIONS, lake).filter(pl.col("event_time").is_in([day(HISTORY), minutes(HISTORY)]))
    assert set(made.select("interval", "symbol", "model_version").rows()) == {
        (market.interval, symbol, champions[market].model_version) for market in (DAILY, FIVE) for symbol in SYMBOLS
    }
    # the outcomes of the bars before, of which the trainings made signals, are known now
    scored = content(SCORECARD, lake)
    assert set(scored.select("interval", "event_time", "target_time").rows()) == {
        ("1d", day(HISTORY - 1), day(HISTORY)),
        ("5m", minutes(HISTORY - 1), minutes(HISTORY)),
    }
    before = [content(table, lake) for table in _TABLES]
    score_changes(lake, version)
    for table, rows in zip(_TABLES, before, strict=True):
        assert content(table, lake).equals(rows), "a repeated batch changes nothing"


def test_a_training_and_a_roll_back_of_one_market_change_nothing_of_the_other(spark: SparkSession, lake: Settings):
    first = registry.champions(lake)
    append(lake, both(HISTORY, HISTORY + 20))
    second = lakes.trained(spark, lake, FIVE)
    assert registry.champions(lake) == {FIVE: registry.get(lake, second.model_version), DAILY: first[DAILY]}
    assert second.market == FIVE
    assert second.parameters["interval"] == "5m"
    version = append(lake, both(HISTORY + 20, HISTORY + 21))
    registry.promote(lake, first[FIVE].model_version, "rolled back")
    score_changes(lake, version)
    made = content(PREDICTIONS, lake).filter(pl.col("event_time").is_in([day(HISTORY + 20), minutes(HISTORY + 20)]))
    assert set(made["model_version"]) == {first[FIVE].model_version, first[DAILY].model_version}
    statuses = {record.model_version: record.status for record in registry.versions(lake)}
    assert statuses[second.model_version] is Status.RETIRED
    assert statuses[first[DAILY].model_version] is Status.CHAMPION


def test_a_market_that_the_settings_switch_off_gets_no_signal_and_the_other_does(lake: Settings):
    off = lake.model_copy(update={"model": lake.model.model_copy(update={"skipped_intervals": ("5m",)})})
    score_changes(off, append(off, both(HISTORY, HISTORY + 1)))
    made = content(PREDICTIONS, off).filter(pl.col("event_time").is_in([day(HISTORY), minutes(HISTORY)]))
    assert set(made["interval"]) == {"1d"}
