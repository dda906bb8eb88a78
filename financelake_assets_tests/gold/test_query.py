"""The gold query on a real Spark server with a trained forest: what silver changes become."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pyspark.sql import SparkSession

from financelake_assets.config import Settings
from financelake_assets.gold.schema import PREDICTIONS, SCORECARD, SIGNALS
from financelake_assets.model.registry import ModelRecord
from financelake_assets_tests.gold import lakes
from financelake_assets_tests.gold.frames import day
from financelake_assets_tests.gold.lakes import HISTORY, SYMBOLS, append, content, market, score_changes

pytestmark = pytest.mark.integration

WHEN = ("as_of", "scored_at", "corrected_at")


@pytest.fixture(scope="module")
def champion(
    spark: SparkSession, spark_server: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Settings, ModelRecord]:
    """A lake whose silver holds the history that its champion learnt."""
    settings = lakes.small(
        Settings.model_validate({"data_dir": tmp_path_factory.mktemp("champion"), "spark": {"remote": spark_server}})
    )
    append(settings, market(0, HISTORY))
    return settings, lakes.trained(spark, settings)


@pytest.fixture
def gold_lake(champion: tuple[Settings, ModelRecord], tmp_path: Path) -> Settings:
    """A copy of the champion's lake."""
    import shutil

    settings, _ = champion
    shutil.copytree(settings.data_dir, tmp_path / "lake")
    return settings.model_copy(update={"data_dir": tmp_path / "lake"})


def test_each_new_bar_gets_a_prediction_a_signal_and_its_outcome(spark: SparkSession, gold_lake: Settings):
    first = append(gold_lake, market(HISTORY, HISTORY + 1))
    score_changes(spark, gold_lake, first)
    made, signals = content(PREDICTIONS, gold_lake), content(SIGNALS, gold_lake)
    assert made.select("symbol", "event_time").rows() == [(symbol, day(HISTORY)) for symbol in SYMBOLS]
    assert signals.select(SIGNALS.key).equals(made.select(SIGNALS.key))
    assert made["lower"].is_between(0, made["predicted_close"]).all()
    assert made.filter(pl.col("upper") <= pl.col("predicted_close")).is_empty()
    np.testing.assert_allclose(made["predicted_close"], made["close"] * made["predicted_return"].exp())
    assert made["offset"].to_list() == [HISTORY] * 3
    assert content(SCORECARD, gold_lake).is_empty()

    second = append(gold_lake, market(HISTORY + 1, HISTORY + 2))
    score_changes(spark, gold_lake, second)
    scored = content(SCORECARD, gold_lake)
    assert scored.select("symbol", "event_time", "target_time").rows() == [
        (symbol, day(HISTORY), day(HISTORY + 1)) for symbol in SYMBOLS
    ]
    next_close = market(HISTORY + 1, HISTORY + 2).sort("symbol")["close"]
    assert scored["realised_close"].to_list() == next_close.to_list()
    assert scored["naive_close"].to_list() == made["close"].to_list()
    assert scored["as_of"].to_list() == made["as_of"].to_list()
