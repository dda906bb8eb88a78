"""Two horizons trained on packaged history by a real Spark server: two champions, and each is rolled back alone."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest
from pyspark.sql import SparkSession

from financelake_assets.config import Settings
from financelake_assets.gold.explain import NoPredictionError, explain
from financelake_assets.gold.history import score_newest
from financelake_assets.gold.schema import PREDICTIONS
from financelake_assets.model import registry, trials
from financelake_assets.model.record import Status
from financelake_assets.silver.packaged import packaged_bars
from financelake_assets.silver.schema import BARS
from financelake_assets_tests.gold import lakes
from financelake_assets_tests.gold.frames import MADE_AT
from financelake_assets_tests.gold.lakes import append, content, score_changes
from financelake_assets_tests.gold.test_several_horizons import AHEAD, FIRST, check_rows, with_horizons

pytestmark = pytest.mark.integration

SYMBOLS = ("AAPL", "BTC-USD")
LEARNT, LIVE = 388, 12


def history() -> pl.DataFrame:
    """The newest bars of two packaged symbols, each with its place among them."""
    own = packaged_bars().filter(pl.col("symbol").is_in(SYMBOLS)).sort(BARS.key)
    newest = own.group_by("symbol", maintain_order=True).tail(LEARNT + LIVE)
    told = newest.with_columns(messages=pl.lit(1), processed_at=pl.lit(MADE_AT).cast(pl.Datetime("us", "UTC")))
    rows = pl.concat([BARS.empty, told], how="diagonal_relaxed").select(BARS.schema.names)
    return rows.with_columns(place=pl.int_range(pl.len()).over("symbol"))


def test_two_horizons_have_two_champions_and_a_roll_back_of_one_leaves_the_other(
    spark: SparkSession, spark_lake: Settings
) -> None:
    lake, whole = with_horizons(lakes.small(spark_lake), 5), history()
    lake = lake.model_copy(update={"model": lake.model.model_copy(update={"folds": 2})})
    append(lake, whole.filter(pl.col("place") < LEARNT))
    first, further = (lakes.trained(spark, lake, market) for market in (FIRST, AHEAD))
    assert registry.champions(lake) == {FIRST: first, AHEAD: registry.get(lake, further.model_version)}
    assert (first.horizon, further.horizon, further.parameters["horizon"]) == (1, 5, 5)
    assert first.model_version.startswith("rf-2")
    assert further.model_version.startswith("rf+5-2")
    assert set(trials.overfitting(lake)) == {"1d", "1d+5"}, "strategies of different horizons are not compared"
    for record in (first, further):
        assert score_newest(lake, record).predictions == len(SYMBOLS)
        walk = registry.walk_of(lake, record.model_version)
        assert walk["horizon"].unique().to_list() == [record.horizon]
        ahead = walk.select((pl.col("target_time") - pl.col("learnt_until")).min()).item()
        assert ahead.days >= record.horizon, "purge and embargo follow the horizon"
    second = lakes.trained(spark, lake, AHEAD)
    assert registry.champions(lake) == {FIRST: first, AHEAD: registry.get(lake, second.model_version)}
    registry.promote(lake, further.model_version, "rolled back")
    statuses = {record.model_version: record.status for record in registry.versions(lake)}
    assert statuses == {
        first.model_version: Status.CHAMPION,
        further.model_version: Status.CHAMPION,
        second.model_version: Status.RETIRED,
    }
    now = pl.lit(datetime.now(UTC)).cast(pl.Datetime("us", "UTC"))
    version = append(lake, whole.filter(pl.col("place") >= LEARNT).with_columns(processed_at=now))
    score_changes(lake, version)
    assert set(content(PREDICTIONS, lake)["model_version"]) == {first.model_version, further.model_version}
    check_rows(lake, LIVE, len(SYMBOLS))
    for ahead_of, record in ((None, first), (5, further)):
        found = explain(lake, "AAPL", further=ahead_of)
        assert found.model_version == record.model_version
        assert found.predicted_return == pytest.approx(found.stored_return, abs=1e-12)
    with pytest.raises(NoPredictionError, match="7 bars ahead"):
        explain(lake, "AAPL", further=7)
