"""A search sees nothing of the holdout: its bars are taken away before anything is computed of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast

import dagster as dg
import polars as pl
import pytest
from dagster_pyspark import LazyPySparkResource
from polars.testing import assert_frame_equal
from pyspark.sql import SparkSession

from financelake_assets.config import ModelSettings, Settings
from financelake_assets.definitions import defs
from financelake_assets.defs.model.assets import FOREST, SEARCH
from financelake_assets.defs.resources import LakeResource
from financelake_assets.model import registry, search, search_space, search_state, search_walk, trials
from financelake_assets.model.features import FEATURES, features_of
from financelake_assets.model.labels import LABEL, labels_of
from financelake_assets.model.markets import Market
from financelake_assets.model.outputs import OUTPUTS
from financelake_assets.model.search_walk import Made, Period, bars_before
from financelake_assets.model.splits import Fold, LeakError
from financelake_assets.model.training_rows import FACTS, KEY
from financelake_assets.operations import tune_now
from financelake_assets.silver.schema import BARS
from financelake_assets_tests.gold import lakes
from financelake_assets_tests.model import market
from financelake_assets_tests.model.test_no_leaks import walked

DAILY = Market("1d")
UNTIL = {"A": (market.START + timedelta(days=300)).replace(tzinfo=None), "B": datetime(2015, 9, 1)}
BARS_OF_TWO = pl.concat([market.bars("A", market.moves(400, 4)), market.bars("B", market.moves(400, 5), "crypto")])


def end_of(until: dict[str, datetime]) -> pl.Expr:
    return pl.col("symbol").replace_strict(until, return_dtype=pl.Datetime("us")).dt.replace_time_zone("UTC")


def held_out(until: dict[str, datetime]) -> pl.Expr:
    return pl.col("event_time") >= end_of(until)


def garbled(bars: pl.DataFrame, until: dict[str, datetime]) -> pl.DataFrame:
    """The same bars, with another world in the holdout."""
    prices = ("open", "high", "low", "close", "adj_close")
    other = [pl.when(held_out(until)).then(1_000 - pl.col(name)).otherwise(name).alias(name) for name in prices]
    return bars.with_columns(other)


def test_no_bar_of_the_holdout_is_left() -> None:
    left = bars_before(BARS_OF_TWO, UNTIL)
    assert isinstance(left, pl.DataFrame)
    assert dict(left.group_by("symbol").len().iter_rows()) == {"A": 300, "B": 243}
    for other in (garbled(BARS_OF_TWO, UNTIL), BARS_OF_TWO.filter(~held_out(UNTIL)), BARS_OF_TWO.reverse()):
        assert_frame_equal(bars_before(other, UNTIL), left, check_row_order=False)
    assert bars_before(BARS_OF_TWO, {"A": UNTIL["A"]})["symbol"].unique().to_list() == ["A"]


@pytest.mark.parametrize("horizon", [1, 5])
def test_no_label_of_a_search_is_known_later_than_its_last_bar(horizon: int) -> None:
    def rows(bars: pl.DataFrame) -> pl.DataFrame:
        return labels_of(features_of(bars.sort("symbol", "event_time")), horizon).filter("scorable")

    left = bars_before(BARS_OF_TWO, UNTIL)
    assert isinstance(left, pl.DataFrame)
    mine, all_of_them = rows(left), rows(BARS_OF_TWO).filter(~held_out(UNTIL))
    # the same features, and outcomes as far as they were known before the holdout
    assert_frame_equal(mine.select("event_time", *FEATURES), all_of_them.select("event_time", *FEATURES))
    known = mine.drop_nulls(LABEL)
    late = pl.col("target_time") >= end_of(UNTIL)
    assert known.filter(late).is_empty()
    assert len(all_of_them.drop_nulls(LABEL).filter(late)) == 2 * horizon
    # a trade is over a bar after the label is known
    assert mine["traded_return"].null_count() == 2 * (horizon + 1)


@pytest.fixture
def period(monkeypatch: pytest.MonkeyPatch) -> Period:
    """A period whose forests know a part of the outcome."""
    rows = walked()

    def said(_: Period, fold: Fold, settings: ModelSettings) -> pl.DataFrame:
        tested = rows.filter(fold.judges(pl.col("event_time"), pl.lit))
        # a forest of one tree peeps: it learns what overlaps its test
        until = fold.start if settings.trees == 1 else fold.learn_before - timedelta(microseconds=1)
        marks = {
            "fold": pl.lit(fold.number, pl.Int32),
            "refit": pl.lit(None, pl.Int32),
            "learnt_until": pl.lit(until, pl.Datetime("us")),
        }
        return tested.select(*KEY, *OUTPUTS, **marks)

    monkeypatch.setattr(search_walk, "_said", said)
    known = rows["target_time"].to_numpy()
    return Period(cast("Any", None), cast("Any", None), rows.select(FACTS), known, ())


def test_a_candidate_is_judged_after_each_fold_but_the_first_on_all_until_then(period: Period) -> None:
    found = list(search_walk.walk(period, ModelSettings()))
    assert [(one.fold, one.folds, one.rows.height) for one in found] == [(2, 4, 400), (3, 4, 800), (4, 4, 1_200)]
    assert [sorted(one.rows["fold"].unique()) for one in found] == [[2], [2, 3], [2, 3, 4]]
    # whoever stops asking after a fold has seen the same
    first = next(iter(search_walk.walk(period, ModelSettings())))
    assert_frame_equal(first.rows, found[0].rows)
    assert all(search.skill_of(one.rows) > 0.05 for one in found)


def test_a_walk_that_learns_what_overlaps_its_test_is_refused(period: Period) -> None:
    with pytest.raises(LeakError, match="fold 1 learnt a label"):
        next(iter(search_walk.walk(period, ModelSettings(trees=1))))


def test_a_window_that_leaves_a_fold_too_few_rows_is_not_judged(
    period: Period, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(list(search_walk.walk(period, ModelSettings(window_days=30)))) == 3
    monkeypatch.setattr(search_walk, "_LEAST_LEARNT", 61)
    assert list(search_walk.walk(period, ModelSettings(window_days=30))) == []


@pytest.fixture
def lake(spark_lake: Settings, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> Settings:
    since = {"AAPL": lakes.START.date() + timedelta(days=160), "BTC-USD": lakes.START.date() + timedelta(days=150)}
    small = lakes.small(spark_lake)
    made = small.model_copy(update={"model": small.model.model_copy(update={"holdout_since": since})})
    monkeypatch.setattr(LakeResource, "settings", made)
    # a run ends with its process, and this process has a session that it must not leave open
    monkeypatch.setattr(LazyPySparkResource, "spark_session", property(lambda _: spark))
    monkeypatch.setattr(search_walk, "FOLDS", 2)
    monkeypatch.setattr(search_walk, "_LEAST_LEARNT", 20)
    monkeypatch.setattr(search_space, "_TREES", (2, 4))
    monkeypatch.setattr(search_space, "_DEPTH", (2, 4))
    return made


def tuned(trials_wanted: int) -> dg.ExecuteInProcessResult:
    """The job as `financelake tune` launches it."""
    config: Any = {"ops": {"search": {"config": {"trials": trials_wanted}}, **tune_now._TRAINS_WITH_IT}}
    job = defs.get_repository_def().get_job("tune_model")
    return job.execute_in_process(run_config=config, partition_key="1d")


@pytest.mark.integration
def test_a_search_ends_with_a_challenger_of_what_it_found_and_saw_no_bar_of_the_holdout(
    lake: Settings, spark: SparkSession
) -> None:
    # two symbols have a cut-off, and of the third the latest fifth is held out
    history = lakes.market(0, lakes.HISTORY).with_columns(pl.col("symbol").replace("WTI", "OIL"))
    version = lakes.append(lake, history)
    done = tuned(2)
    assert done.success
    seen = [event for event in done.all_events if event.event_type_value == "ASSET_OBSERVATION"]
    assert [event.asset_key for event in seen] == [SEARCH, SEARCH], "one a trial"
    (made,) = done.asset_materializations_for_node("search")
    assert (made.partition, made.metadata["done"].value) == ("1d", 2)
    state = search_state.read(lake, DAILY)
    assert state is not None
    assert (state.state, state.done, state.run) == ("ended", 2, done.run_id)
    # trained, judged and registered as always, with what was found
    record = tune_now.version_of(lake, DAILY, state)
    assert record is not None
    assert record.model_version == registry.versions(lake)[-1].model_version
    assert search_space.parameters(ModelSettings.model_validate(record.parameters)) == state.parameters
    (event,) = [one for one in done.asset_materializations_for_node("random_forest") if one.asset_key == FOREST]
    assert event.metadata["model_version"].value == record.model_version
    assert len(trials.ledger(lake)) == 2
    assert record.trials == len(trials.BEFORE) + 2

    # the same trial on bars whose holdout is another world, or is gone, sees the same
    with search.opened(lake, DAILY, fresh=False) as study:
        pinned = search.pinned(study)
    assert pinned is not None
    assert pinned.silver_version == version
    own = lake.model.model_copy(update={"interval": "1d"})
    bars = BARS.scan(lake, version).collect()
    until = search_walk.holdout_starts(spark, bars, own, Made())
    assert pinned.until == until
    assert set(until) == {"AAPL", "BTC-USD", "OIL"}
    assert until["AAPL"] == datetime(2024, 6, 9)
    apple = pl.col("symbol") == "AAPL"
    other = pl.concat([garbled(bars.filter(apple), until), bars.filter(~apple & ~held_out(until))])
    assert not other.equals(bars)
    period = search_walk.training_period(spark, other, own, Made(), pinned.until)
    (judged,) = search_walk.walk(period, own)
    assert search.skill_of(judged.rows) == pytest.approx(state.own, abs=1e-12)
