from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from pyspark.sql import SparkSession

from financelake_assets.model.features import with_features
from financelake_assets.model.labels import LARGEST_LABEL, with_labels
from financelake_assets_tests.model import market

pytestmark = pytest.mark.integration


def labelled(spark: SparkSession, frame: pl.DataFrame, horizon: int) -> pl.DataFrame:
    return market.to_polars(with_labels(with_features(market.to_spark(spark, frame)), horizon))


@pytest.mark.parametrize("horizon", [1, 5])
def test_the_label_is_the_return_over_the_horizon_in_expected_moves(spark: SparkSession, horizon: int) -> None:
    changes = market.moves(120, 1)
    rows = labelled(spark, market.bars("A", changes), horizon)
    level = np.cumsum(changes)
    day = 80
    realised = level[day + horizon] - level[day]
    expected_move = rows["bar_volatility"][day] * math.sqrt(horizon)
    assert rows["realised_return"][day] == pytest.approx(realised)
    assert rows["expected_move"][day] == pytest.approx(expected_move)
    assert rows["label"][day] == pytest.approx(np.clip(realised / expected_move, -LARGEST_LABEL, LARGEST_LABEL))
    assert rows["target_time"][day] == rows["event_time"][day + horizon]


def test_bars_whose_horizon_is_not_over_have_no_label(spark: SparkSession) -> None:
    rows = labelled(spark, market.bars("A", market.moves(100, 2)), 3)
    assert rows["label"].is_null().to_list()[61:] == [False] * 36 + [True] * 3


def test_no_label_reaches_over_a_negative_price(spark: SparkSession) -> None:
    rows = labelled(spark, market.with_close(market.close_only("WTI", market.moves(120, 3)), 90, -36.98), 2)
    unlabelled = [day for day in range(62, 118) if rows["label"][day] is None]
    assert {88, 89, 90} <= set(unlabelled) <= {88, 89, 90, 91}


def test_a_crash_is_cut_off_in_training_only(spark: SparkSession) -> None:
    changes = market.moves(100, 4)
    changes[90] = -0.9
    rows = labelled(spark, market.bars("A", changes), 1)
    assert rows["label"][89] == -LARGEST_LABEL
    assert rows["realised_return"][89] == pytest.approx(-0.9)
