from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from financelake_assets.model.features import features_of
from financelake_assets.model.labels import LARGEST_LABEL, labels_of
from financelake_assets_tests.model import market


def labelled(frame: pl.DataFrame, horizon: int) -> pl.DataFrame:
    return labels_of(features_of(frame), horizon)


@pytest.mark.parametrize("horizon", [1, 5])
def test_the_label_is_the_return_over_the_horizon_in_expected_moves(horizon: int) -> None:
    changes = market.moves(120, 1)
    rows = labelled(market.bars("A", changes), horizon)
    level = np.cumsum(changes)
    day = 80
    realised = level[day + horizon] - level[day]
    expected_move = rows["bar_volatility"][day] * math.sqrt(horizon)
    assert rows["realised_return"][day] == pytest.approx(realised)
    assert rows["expected_move"][day] == pytest.approx(expected_move)
    assert rows["label"][day] == pytest.approx(np.clip(realised / expected_move, -LARGEST_LABEL, LARGEST_LABEL))
    assert rows["target_time"][day] == rows["event_time"][day + horizon]


def test_direction_size_and_what_a_trade_a_bar_later_has_follow_from_the_same_prices() -> None:
    changes = market.moves(120, 1)
    rows = labelled(market.bars("A", changes), 2)
    judged = rows.drop_nulls("label")
    assert judged["up"].to_list() == [float(one > 0) for one in judged["realised_return"]]
    assert judged["size"].to_list() == judged["label"].abs().to_list()
    day = 80
    assert rows["delayed_return"][day] == pytest.approx(changes[day + 2] + changes[day + 3])
    assert rows["delayed_return"].is_null().to_list()[-3:] == [True] * 3
    assert rows["label"].is_null().to_list()[-3:] == [False, True, True]


def test_bars_whose_horizon_is_not_over_have_no_label() -> None:
    rows = labelled(market.bars("A", market.moves(100, 2)), 3)
    assert rows["label"].is_null().to_list()[61:] == [False] * 36 + [True] * 3


def test_no_label_reaches_over_a_negative_price() -> None:
    rows = labelled(market.with_close(market.close_only("WTI", market.moves(120, 3)), 90, -36.98), 2)
    unlabelled = [day for day in range(62, 118) if rows["label"][day] is None]
    assert {88, 89, 90} <= set(unlabelled) <= {88, 89, 90, 91}


def test_a_crash_is_cut_off_in_training_only() -> None:
    changes = market.moves(100, 4)
    changes[90] = -0.9
    rows = labelled(market.bars("A", changes), 1)
    assert rows["label"][89] == -LARGEST_LABEL
    assert rows["realised_return"][89] == pytest.approx(-0.9)


def test_a_label_does_not_reach_into_another_series() -> None:
    alone = [labelled(market.bars(name, market.moves(100, seed)), 2) for name, seed in (("A", 5), ("B", 6))]
    together = labelled(pl.concat([market.bars("A", market.moves(100, 5)), market.bars("B", market.moves(100, 6))]), 2)
    assert together.equals(pl.concat(alone), null_equal=True)


@pytest.mark.parametrize("horizon", [1, 3])
def test_a_trade_is_in_at_the_next_open_and_out_as_many_opens_later(horizon: int) -> None:
    frame = market.bars("A", market.moves(120, 1))
    opens, day = frame["open"].to_numpy(), 80
    rows = labelled(frame, horizon)
    assert rows["traded_return"][day] == pytest.approx(opens[day + 1 + horizon] / opens[day + 1] - 1)
    assert rows["traded_return"].is_null().to_list()[-horizon - 1 :] == [True] * (horizon + 1)
    # half of the price is paid out in shares: neither gain nor loss
    halved = pl.int_range(pl.len()) >= day + 2
    split = frame.with_columns(
        *(
            pl.when(halved).then(pl.col(name) / 2).otherwise(name).alias(name)
            for name in ("open", "high", "low", "close")
        ),
        adj_close=pl.col("close"),
    )
    assert labelled(split, horizon)["traded_return"][day] == pytest.approx(rows["traded_return"][day])


def test_a_trade_out_at_a_price_below_zero_is_a_loss_and_none_is_in_at_one() -> None:
    frame = market.with_close(market.close_only("WTI", market.moves(120, 3)), 82, -36.98)
    rows = labelled(frame, 1)
    bought = frame["close"][81]
    assert rows["traded_return"][80] == pytest.approx(-36.98 / bought - 1)
    assert rows["traded_return"][81] is None
