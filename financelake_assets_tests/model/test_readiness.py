"""Readiness: bars, new bars and labelled bars of each market, counted as the training counts them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from financelake_assets.config import ModelSettings, Settings
from financelake_assets.model.features import LOOKBACK
from financelake_assets.model.markets import Market
from financelake_assets.model.readiness import Followed, of_lake, survey
from financelake_assets.silver.schema import BARS
from financelake_assets_tests.gold.lakes import append
from financelake_assets_tests.model import market

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAILY, FIVE = Market("1d"), Market("5m")


def silver(*frames: pl.DataFrame, at: datetime = NOW) -> pl.DataFrame:
    """Rows of silver.bars that were written at a time."""
    written = pl.lit(at).cast(pl.Datetime("us", "UTC"))
    rows = [frame.with_columns(processed_at=written, ingested_at=written) for frame in frames]
    return pl.concat([BARS.empty, *rows], how="diagonal_relaxed").select(BARS.schema.names)


def five(count: int, symbol: str = "EURUSD", seed: int = 3) -> pl.DataFrame:
    return market.of_interval(market.bars(symbol, market.moves(count, seed)), "5m")


def test_each_market_has_its_own_bars_and_labels():
    lake = silver(market.bars("A", market.moves(200, 1)), market.bars("B", market.moves(90, 2)), five(150))
    found = survey(lake.lazy(), ModelSettings(), {})
    assert {one.name: (row.bars, row.new, row.labelled) for one, row in found.items()} == {
        "1d": (290, 290, 200 - LOOKBACK - 1 + 90 - LOOKBACK - 1),
        "5m": (150, 150, 150 - LOOKBACK - 1),
    }
    assert {series.spacing for series in found[FIVE].series} == {timedelta(minutes=5)}
    assert found[FIVE].series[0].newest == market.START + 149 * timedelta(minutes=5)


def test_only_bars_that_a_training_can_learn_count():
    flat = five(150).with_columns(pl.lit(1.0).alias(name) for name in ("open", "high", "low", "close", "adj_close"))
    below = market.with_close(market.close_only("WTI", market.moves(150, 4)), 100, -36.98)
    found = survey(silver(flat, below).lazy(), ModelSettings(), {})
    assert found[FIVE].labelled == 0
    # the bar before the negative price, that bar, and the one after it have no return or no label
    assert found[DAILY].labelled == 150 - LOOKBACK - 1 - 3
    long = survey(silver(five(150)).lazy(), ModelSettings(horizon=5), {})
    assert long[FIVE].labelled == 150 - LOOKBACK - 5


def test_bars_are_new_since_the_markets_own_last_training():
    before, after = silver(five(300)), silver(five(320)[300:], at=NOW + timedelta(hours=2))
    daily = silver(market.bars("A", market.moves(100, 1)))
    found = survey(pl.concat([before, after, daily]).lazy(), ModelSettings(), {FIVE: NOW + timedelta(hours=1)})
    assert (found[FIVE].new, found[FIVE].labelled) == (20, None)
    assert (found[DAILY].new, found[DAILY].labelled) == (100, 100 - LOOKBACK - 1)


def test_each_horizon_of_an_interval_is_counted_by_its_own_trainings_and_labels():
    before, after = silver(five(300)), silver(five(320)[300:], at=NOW + timedelta(hours=2))
    further, rows = Market("5m", 7), pl.concat([before, after]).lazy()
    settings = ModelSettings(further_horizons=(7,))
    found = survey(rows, settings, {FIVE: NOW + timedelta(hours=1)})
    assert {one.name: (row.new, row.labelled) for one, row in found.items()} == {
        "5m": (20, None),
        "5m+7": (320, 320 - LOOKBACK - 7),
    }
    trained = survey(rows, settings, {FIVE: NOW + timedelta(hours=3), further: NOW + timedelta(hours=1)})
    assert (trained[FIVE].new, trained[further].new) == (0, 20)
    assert survey(rows, ModelSettings(), {})[FIVE] == replace(found[FIVE], new=320, labelled=320 - LOOKBACK - 1)


def test_symbols_that_the_model_does_not_learn_from_do_not_count():
    lake = silver(five(150), five(400, "GBPUSD"))
    assert survey(lake.lazy(), ModelSettings(symbols=("EURUSD",)), {})[FIVE].bars == 150


@pytest.mark.parametrize(
    ("late", "seconds", "waiting", "loading"),
    [
        (20, 5, 7, True),  # a twentieth and more of the bars came at once, and messages wait
        (20, 5, 6, False),  # of which a fiftieth is no history
        (20, 11, 7, False),  # but nothing came since: they are another market's
        (2, 5, 3_000, False),  # a live feed beside a busy one
    ],
)
def test_a_history_that_is_being_loaded_is_told_from_a_live_feed(late: int, seconds: int, waiting: int, loading: bool):
    whole = five(300)
    rows = pl.concat([silver(whole[:-late], at=NOW - timedelta(hours=1)), silver(whole[-late:])])
    found = survey(rows.lazy(), ModelSettings(), {})[FIVE]
    assert found.loading(waiting, NOW + timedelta(seconds=seconds)) == loading


def test_trades_are_no_market():
    assert survey(silver(five(70).with_columns(interval=pl.lit("tick"))).lazy(), ModelSettings(), {}) == {}


def test_a_lake_without_bars_has_no_market(offline_lake: Settings):
    assert of_lake(offline_lake, {}) == {}
    BARS.ensure(offline_lake)
    assert of_lake(offline_lake, {}) == {}


def test_the_markets_are_counted_again_after_a_training_and_not_at_every_tick(offline_lake: Settings):
    version = append(offline_lake, silver(five(100)))
    followed = Followed(offline_lake)
    first = followed.of(version, {})
    assert followed.of(version, {}) is first
    trained = followed.of(version, {FIVE: NOW + timedelta(hours=1)})
    assert (first[FIVE].new, trained[FIVE].new) == (100, 0)
