"""Bars scored by a guess with the plug-ins in use: whole, a day at a time as a live lake does, and in the back-test."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import polars as pl
from polars.testing import assert_frame_equal

from financelake_assets.config import Settings
from financelake_assets.gold.adapting import EARLIER
from financelake_assets.gold.paper import backtest
from financelake_assets.gold.scoring import bars_before, score_bars
from financelake_assets.model.features import time_before
from financelake_assets_tests.gold.test_backtest import LAST, RECORD, Guess, walk_of
from financelake_assets_tests.model import market

SETTINGS = Settings()
FOREST = Guess({}, 0.0, (), None)  # type: ignore[arg-type]


def scored(
    bars: pl.DataFrame,
    wanted: pl.DataFrame | None = None,
    settings: Settings = SETTINGS,
    earlier: pl.DataFrame = EARLIER,
) -> pl.DataFrame:
    wanted = bars if wanted is None else wanted
    return score_bars(settings, bars, wanted, FOREST, RECORD, {}, LAST, earlier).sort("symbol", "event_time")


def assert_live_gives(whole: pl.DataFrame, bars: pl.DataFrame, days: Sequence[int]) -> None:
    """Live, a day at a time, from the bars that are read for it: the same rows as with all bars."""
    reads = time_before("1d", bars_before(SETTINGS))
    for day in days:
        time = market.START + timedelta(days=day)
        near = bars.filter(pl.col("event_time").is_between(time - reads, time))
        before = whole.filter(pl.col("event_time") < time).drop_nulls("predicted_return").select(EARLIER.columns)
        live = scored(near, near.filter(event_time=time), earlier=before)
        assert_frame_equal(live, whole.filter(event_time=time))


def assert_back_test_gives(whole: pl.DataFrame, bars: pl.DataFrame, *more: str) -> None:
    """The back-test: the same signal, reason and other columns at each of its bars."""
    given = backtest.signals(walk_of(whole).filter(asset_class="stock"), bars, SETTINGS, {})
    both = given.join(whole, on=["symbol", "interval", "event_time"])
    assert both.height > 100
    for name in ("signal", "reason", *more):
        assert both[name].eq_missing(both[f"{name}_right"]).all()
