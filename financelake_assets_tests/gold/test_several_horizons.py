"""Two horizons of one interval, trained on packaged history: two champions, no doubled row, each rolled back alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pyspark.sql import SparkSession

from dash_app.data import market as market_view
from dash_app.data import signal_feed
from dash_app.data.lake_reader import LakeReader
from financelake_assets import lake as api
from financelake_assets.config import Settings
from financelake_assets.defs.gold.checks import _signal_for_each
from financelake_assets.gold import monitoring, scoring
from financelake_assets.gold.explain import NoPredictionError, explain
from financelake_assets.gold.history import Repaired, repair, score_newest
from financelake_assets.gold.paper.schema import EQUITY
from financelake_assets.gold.schema import CALIBRATION, DAILY, LATEST, PREDICTIONS, SCORECARD, SIGNALS, SUMMARY
from financelake_assets.gold.standing import Standing
from financelake_assets.model import registry, trials
from financelake_assets.model.markets import FURTHER, Market
from financelake_assets.model.record import Status
from financelake_assets.silver.packaged import packaged_bars
from financelake_assets.silver.schema import BARS
from financelake_assets_tests.gold import lakes
from financelake_assets_tests.gold.lakes import append, content, score_changes

pytestmark = pytest.mark.integration

FIRST, FURTHER_ONE = Market("1d"), Market("1d", 5)
SYMBOLS = ("AAPL", "BTC-USD")
LIVE = 12
_NOT_TIMES = ("as_of", "scored_at")


@pytest.fixture(scope="module")
def history() -> pl.DataFrame:
    """The newest bars of two packaged symbols."""
    own = packaged_bars().filter(pl.col("symbol").is_in(SYMBOLS)).sort(BARS.key)
    return own.group_by("symbol", maintain_order=True).tail(400).select(BARS.schema.names)


@pytest.fixture(scope="module")
def trained(
    history: pl.DataFrame, spark: SparkSession, spark_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    """A lake with a champion of each horizon, which have not seen the last bars."""
    lake = lakes.small(
        Settings.model_validate({"data_dir": tmp_path_factory.mktemp("horizons"), "spark": {"remote": spark_server}})
    )
    lake = lake.model_copy(update={"model": lake.model.model_copy(update={"folds": 2, "further_horizons": (5,)})})
    append(lake, history.group_by("symbol", maintain_order=True).head(400 - LIVE).select(history.columns))
    for market in (FIRST, FURTHER_ONE):
        score_newest(lake, lakes.trained(spark, lake, market))
    return lake


@pytest.fixture
def lake(trained: Settings, tmp_path: Path) -> Settings:
    """A copy of it."""
    shutil.copytree(trained.data_dir, tmp_path / "lake")
    return trained.model_copy(update={"data_dir": tmp_path / "lake"})


def live(lake: Settings, history: pl.DataFrame) -> None:
    """The last bars come, in batches of a few."""
    left = history.group_by("symbol", maintain_order=True).tail(LIVE).select(history.columns)
    place = pl.int_range(pl.len()).over("symbol") // 4
    for part in left.partition_by(place.alias("part"), maintain_order=True, include_key=False):
        score_changes(lake, append(lake, part))


def test_each_horizon_has_its_champion_its_outcomes_and_no_row_is_doubled(
    lake: Settings, history: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    champions = registry.champions(lake)
    assert {market.name: record.horizon for market, record in champions.items()} == {"1d": 1, "1d+5": 5}
    further = champions[FURTHER_ONE]
    assert further.model_version.startswith("rf+5-2")
    assert further.parameters["horizon"] == 5
    assert {record.verdict for record in champions.values()} != {None}
    assert set(trials.overfitting(lake)) == {"1d", "1d+5"}, "strategies of different horizons are not compared"
    alone = lake.model_copy(update={"data_dir": lake.data_dir.parent / "alone"})
    shutil.copytree(lake.data_dir, alone.data_dir)
    alone = alone.model_copy(update={"model": lake.model.model_copy(update={"further_horizons": ()})})
    live(alone, history)

    made = []
    features_for = scoring.features_for
    monkeypatch.setattr(scoring, "features_for", lambda *given: made.append(1) or features_for(*given))
    live(lake, history)
    assert len(made) == LIVE // 4, "the horizons of an interval share the features of a batch"
    # what the signals are made of is as in a lake without further horizons, to the last bit
    for table in (PREDICTIONS, SIGNALS, SCORECARD):
        ours, theirs = (
            content(table, one, _NOT_TIMES).filter(~FURTHER & (pl.col("event_time") > further.train_end))
            for one in (lake, alone)
        )
        assert not ours.is_empty()
        assert_frame_equal(ours, theirs, check_exact=True)
    signals, predictions, scorecard = (content(table, lake) for table in (SIGNALS, PREDICTIONS, SCORECARD))
    assert signals.filter(FURTHER).is_empty()
    assert signals.height == (LIVE + 1) * len(SYMBOLS), "one a bar, and one of the newest bar at the training"
    assert predictions.height == 2 * signals.height
    assert predictions.select("symbol", "event_time", "horizon").is_unique().all()
    assert dict(scorecard.group_by("horizon").len().iter_rows()) == {
        1: LIVE * len(SYMBOLS),
        5: (LIVE - 4) * len(SYMBOLS),
    }
    for row in scorecard.filter(horizon=5).iter_rows(named=True):
        own = history.filter(symbol=row["symbol"])["event_time"].to_list()
        assert own.index(row["target_time"]) == own.index(row["event_time"]) + 5
    standing, theirs_standing = Standing(lake), Standing(alone)
    standing.refresh()
    theirs_standing.refresh()
    for table in (LATEST, DAILY, CALIBRATION, EQUITY):
        without = ("as_of", "computed_at", "book")
        assert_frame_equal(content(table, lake, without), content(table, alone, without))
    summary = content(SUMMARY, lake)
    assert set(summary.filter(horizon=5, model_version="ALL", symbol="ALL")["predictions"]) == {(LIVE - 4) * 2}
    assert _signal_for_each(lake).passed
    _nothing_doubled_for_people(lake, signals.height)
    health = monitoring.examine(lake, further)
    assert (health.live.rows, health.drift.rows) == ((LIVE - 4) * len(SYMBOLS), (LIVE + 1) * len(SYMBOLS))


def _nothing_doubled_for_people(lake: Settings, signals: int) -> None:
    reader = LakeReader(lake)
    reader.refresh()
    snapshot = reader.snapshot
    assert signal_feed.signals(snapshot).height == signals
    for symbol in SYMBOLS:
        shown = market_view.series(snapshot, symbol, "1d", 100)
        assert shown is not None
        assert shown.bars["event_time"].is_unique().all()
        assert snapshot.scorecard.group(symbol, "1d").height == LIVE
        assert [row["horizon"] for row in shown.further] == [5]
    assert [row["symbol"] for row in market_view.watch_rows(snapshot)] == list(SYMBOLS)
    both = api.sql(
        "SELECT count(*) AS rows FROM gold.signals JOIN gold.predictions "
        "USING (symbol, interval, event_time, horizon, model_version)",
        settings=lake,
    )
    assert both["rows"].to_list() == [signals]
    first, further = explain(lake, "AAPL"), explain(lake, "AAPL", further=5)
    assert (first.model_version.startswith("rf-"), further.model_version.startswith("rf+5-")) == (True, True)
    for found in (first, further):
        assert found.predicted_return == pytest.approx(found.stored_return, abs=1e-12)
    with pytest.raises(NoPredictionError, match="7 bars ahead"):
        explain(lake, "AAPL", further=7)


def test_lost_rows_of_a_horizon_come_back_and_the_others_stay(lake: Settings, history: pl.DataFrame) -> None:
    live(lake, history)
    before = [content(table, lake, _NOT_TIMES) for table in (PREDICTIONS, SIGNALS, SCORECARD)]
    PREDICTIONS.ensure(lake).delete("horizon = 5")
    SCORECARD.ensure(lake).delete("horizon = 5")
    count = len(SYMBOLS)
    begin, end = (history["event_time"].min(), history["event_time"].max())
    done = repair(lake, begin, end.replace(year=end.year + 1))  # type: ignore[union-attr, arg-type]
    # the bar that was the newest at the training was in its data, which only the first scoring may overlook
    assert done == Repaired(LIVE * count, 0, (LIVE - 5) * count)
    assert repair(lake, begin, end.replace(year=end.year + 1)) == Repaired()  # type: ignore[union-attr, arg-type]
    SIGNALS.ensure(lake).delete(f"event_time >= '{history['event_time'][-3]:%Y-%m-%d}'")
    assert repair(lake, begin, end.replace(year=end.year + 1)).signals > 0  # type: ignore[union-attr, arg-type]
    for table, rows in zip((PREDICTIONS, SIGNALS, SCORECARD), before, strict=True):
        lost = rows.join(content(table, lake, _NOT_TIMES), on=list(table.key), how="anti")
        assert (lost.filter(~FURTHER).height, lost.filter(FURTHER).height) in ((0, 0), (0, count))


def test_a_roll_back_of_one_horizon_leaves_the_other(
    spark: SparkSession, lake: Settings, history: pl.DataFrame
) -> None:
    first = registry.champions(lake)
    second = lakes.trained(spark, lake, FURTHER_ONE)
    assert registry.champions(lake) == {
        FIRST: first[FIRST],
        FURTHER_ONE: registry.get(lake, second.model_version),
    }
    registry.promote(lake, first[FURTHER_ONE].model_version, "rolled back")
    statuses = {record.model_version: record.status for record in registry.versions(lake)}
    assert statuses == {
        first[FIRST].model_version: Status.CHAMPION,
        first[FURTHER_ONE].model_version: Status.CHAMPION,
        second.model_version: Status.RETIRED,
    }
    live(lake, history)
    made = content(PREDICTIONS, lake).filter(pl.col("event_time") > first[FIRST].train_end)
    assert set(made["model_version"]) == {record.model_version for record in first.values()}
