from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pyspark.sql import SparkSession

from financelake_assets.config import ModelSettings
from financelake_assets.intervals import SERIES
from financelake_assets.model import training_rows
from financelake_assets.model.cadence import refits_of
from financelake_assets.model.calibration import POOLED
from financelake_assets.model.costs import Costs
from financelake_assets.model.evaluation import ALL, HOLDOUT
from financelake_assets.model.features import features_of
from financelake_assets.model.other_series import complete
from financelake_assets.model.outputs import WEEKDAY_EFFECT
from financelake_assets.model.pipeline import INPUTS, local
from financelake_assets.model.training import NotEnoughHistoryError, Trained, train
from financelake_assets.model.verdict import Verdict
from financelake_assets.plugins import Other, PluginError, cost, feature, label
from financelake_assets_tests.model import market

pytestmark = pytest.mark.integration

SMALL = ModelSettings(trees=8, depth=4, folds=3, refits=0, min_instances_per_node=20)
FEW = SMALL.model_copy(update={"trees": 4, "depth": 3, "folds": 2})
"""For what does not ask how good the forests are."""
_SIGNAL = 0.5
Fit = Callable[..., Trained]


@pytest.fixture(scope="module")
def fit(spark: SparkSession) -> Fit:
    def trained(*frames: pl.DataFrame, settings: ModelSettings = SMALL) -> Trained:
        return train(spark, market.shuffled(*frames), settings, 7, lambda _: None)

    return trained


@pytest.fixture(scope="module")
def predictable(fit: Fit) -> Trained:
    return fit(
        market.bars("A", market.moves(900, 1, _SIGNAL)), market.bars("B", market.moves(900, 2, _SIGNAL), "crypto")
    )


def overall(trained: Trained) -> dict[str, float]:
    return next(row for row in trained.metrics if (row["fold"], row["symbol"]) == (HOLDOUT, ALL))


def test_it_finds_what_can_be_found(predictable: Trained) -> None:
    row = overall(predictable)
    assert row["verdict"] == Verdict.EDGE.value
    # with r' = r/2 + noise, the best forecast explains a quarter of the variance
    assert 0.1 < row["oos_r2_return"] < 0.3
    assert predictable.importance["momentum_1"] == max(predictable.importance.values())
    assert math.isclose(sum(predictable.importance.values()), 1, rel_tol=1e-6)
    assert set(predictable.importance) == set(INPUTS)


def test_it_knows_the_direction_and_what_is_left_a_bar_later(predictable: Trained) -> None:
    row = overall(predictable)
    assert row["brier"] < 0.24 < row["brier_naive"]
    # with r' = r/2 + noise the return after the next is expected to be a quarter of this one, not a half
    assert 0.3 * row["ic"] < row["delayed_ic"] < 0.7 * row["ic"]


def test_it_knows_when_moves_are_large(fit: Fit) -> None:
    """Moves that are ten times as large every other month: the forest of sizes knows before the realised volatility."""
    calm = market.moves(900, 5)
    season = np.where(np.arange(900) // 30 % 2 == 0, 0.2, 2.0)
    row = overall(fit(market.bars("A", calm * season), market.bars("B", market.moves(900, 6) * season)))
    assert row["qlike"] < row["qlike_naive"] - 0.1
    assert row["qlike_gain_low"] < row["qlike_naive"] - row["qlike"] < row["qlike_gain_high"]


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_bars_that_all_move_one_way_teach_that_way(fit: Fit, direction: float) -> None:
    """A classifier that sees one class alone still states a probability."""
    moves = direction * (0.01 + 0.2 * np.abs(market.moves(400, 7)))
    trained = fit(market.bars("A", moves), market.bars("B", moves[::-1]), settings=FEW)
    probability = trained.judged.rows["probability_up"].to_numpy()
    assert np.all(probability > 0.9) if direction > 0 else np.all(probability < 0.1)


def test_shuffling_the_input_that_matters_hurts_most(predictable: Trained) -> None:
    gain = predictable.permutation
    assert set(gain) == set(INPUTS)
    assert gain["momentum_1"] == max(gain.values()) > 0.05
    assert abs(gain["season_sin"]) < 0.05


def test_a_symbols_own_weekday_is_found(fit: Fit) -> None:
    """As at Henry Hub: one symbol falls on one weekday, the others do not."""
    changes = market.moves(1200, 21)
    changes[[day for day in range(1200) if (market.START + timedelta(days=day)).weekday() == 4]] -= 0.02
    trained = fit(market.bars("GAS", changes), *(market.bars(f"S{n}", market.moves(1200, 30 + n)) for n in range(3)))
    assert trained.importance[WEEKDAY_EFFECT] == max(trained.importance.values())
    skill = {row["symbol"]: row for row in trained.metrics if row["fold"] == HOLDOUT}
    assert skill["GAS"]["verdict"] == Verdict.EDGE.value
    assert all(skill[f"S{n}"]["skill_high"] > -0.01 for n in range(3))


def test_a_sliding_window_forgets(spark: SparkSession) -> None:
    """What lies before the window may say anything: a forest of the window is the same."""
    recent, other = market.moves(900, 1, _SIGNAL), market.moves(900, 3)
    changed = np.concatenate([recent[:300] * 3, recent[300:]])
    sliding = FEW.model_copy(update={"window_days": 200})

    def importance(changes: market.Moves, settings: ModelSettings) -> dict[str, float]:
        frame = market.to_spark(spark, market.bars("A", changes), market.bars("B", other, "crypto"))
        return train(spark, frame, settings, 7, lambda _: None).importance

    assert importance(changed, sliding) == pytest.approx(importance(recent, sliding), abs=1e-6)
    assert importance(changed, FEW) != pytest.approx(importance(recent, FEW), abs=1e-6)


def test_only_the_chosen_symbols_are_learnt(fit: Fit) -> None:
    frames = [market.bars(name, market.moves(700, seed)) for name, seed in (("A", 1), ("B", 2))]
    trained = fit(*frames, settings=FEW.model_copy(update={"symbols": ("B",)}))
    assert set(trained.judged.rows["symbol"]) == {"B"}


def test_its_intervals_cover_out_of_sample(predictable: Trained) -> None:
    assert overall(predictable)["coverage"] == pytest.approx(SMALL.coverage, abs=0.06)


def test_no_skill_is_left_when_the_order_of_moves_is_shuffled(fit: Fit) -> None:
    """The canary: the same moves in another order hold nothing to find. Skill here would be a leak."""
    random = np.random.default_rng(3)
    shuffled = [random.permutation(market.moves(900, seed, _SIGNAL)) for seed in (1, 2)]
    trained = fit(market.bars("A", shuffled[0]), market.bars("B", shuffled[1], "crypto"))
    row = overall(trained)
    assert row["verdict"] == Verdict.NO_EDGE.value
    assert abs(row["skill"]) < 0.02
    assert abs(row["ic_t"]) < 3


def test_the_canary_sees_a_leak_that_is_put_in(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    def leaky(bars: pl.DataFrame, *_: object) -> pl.DataFrame:
        tomorrow = pl.col("log_return").shift(-1).over(SERIES)
        return features_of(bars).with_columns(gap=tomorrow.fill_null(0.0))

    monkeypatch.setattr(training_rows, "features_with", leaky)
    row = overall(fit(market.bars("A", market.moves(900, 1)), market.bars("B", market.moves(900, 2), "crypto")))
    assert row["verdict"] == Verdict.EDGE.value
    assert row["skill"] > 0.2


@pytest.mark.parametrize("in_spark", [False, True])
def test_the_close_of_a_bar_that_still_grows_is_no_outcome(spark: SparkSession, in_spark: bool) -> None:
    told = market.bars("A", market.moves(100, 1))
    of_trades = told.with_columns(symbol=pl.lit("B"), trades=pl.lit(9, pl.Int64))
    bars = pl.concat([told, of_trades])
    rows = training_rows.scorable_rows(spark, spark.createDataFrame(bars.to_arrow()) if in_spark else bars, FEW)
    newest = rows.where("label is not null").groupBy("symbol").agg({"event_time": "max"}).collect()
    last = told["event_time"].max()
    assert isinstance(last, datetime)
    found = {symbol: at.astimezone(UTC).replace(tzinfo=UTC) for symbol, at in newest}
    assert found == {"A": last - timedelta(days=1), "B": last - timedelta(days=2)}


def test_other_series_are_the_same_in_spark_as_in_this_process(spark: SparkSession) -> None:
    def moved(bars: pl.DataFrame, b: pl.DataFrame) -> pl.DataFrame:
        known = b.select("known_at", own=pl.col("log_return").rolling_sum(3))
        return bars.join_asof(known, on="known_at").select(pl.col("own").fill_null(0.0))

    plugin = feature(version="1", lookback=0, columns=("own",), others={"b": Other("B", bars=2)})(moved)
    bars = pl.concat([market.bars("A", market.moves(150, 1)), market.bars("B", market.moves(140, 2), "crypto")])
    others = complete(bars.filter(symbol="B"), {})
    here, there = (
        market.to_polars(training_rows.scorable_rows(spark, some, FEW, [plugin], others=others))
        for some in (bars, spark.createDataFrame(bars.to_arrow()))
    )
    assert_frame_equal(here, there, check_exact=True)
    assert here["own"].n_unique() > 50
    # the last ten days of A wait for B
    assert here.group_by("symbol").len().sort("symbol")["len"].to_list() == [80, 80]


def test_an_execution_costs_the_same_in_spark_as_in_this_process(spark: SparkSession) -> None:
    wild = cost(version="1", lookback=5)(lambda bars: bars.select(cost_bps=1e3 * bars["bar_volatility"].shift(5)))
    bars = pl.concat([market.bars("A", market.moves(150, 1)), market.bars("B", market.moves(150, 2), "crypto")])
    here, there = (
        training_rows.facts_of(training_rows.scorable_rows(spark, some, FEW, costs=Costs(functions=(wild,))))
        for some in (bars, spark.createDataFrame(bars.to_arrow()))
    )
    assert_frame_equal(here, there, check_exact=True)
    assert here["execution_bps"].n_unique() > 100


def test_a_label_of_a_user_is_learnt_and_the_return_is_judged(spark: SparkSession, fit: Fit) -> None:
    bars = [market.bars(name, market.moves(700, seed, _SIGNAL)) for name, seed in (("A", 1), ("B", 2))]
    small = label(version="1")(lambda rows: rows.select(label=pl.when(pl.col("symbol") == "A").then("label") / 4))
    frame = market.shuffled(*bars)
    found, plain = train(spark, frame, FEW, 7, lambda _: None, label=small), fit(*bars, settings=FEW)
    key = ["symbol", "event_time"]
    outcomes = [*key, "realised_return", "expected_move", "label"]
    both = [one.judged.rows.sort(key) for one in (found, plain)]
    assert_frame_equal(both[0].select(outcomes), both[1].select(outcomes))
    assert both[0]["raw_prediction"].abs().max() < 1.01  # type: ignore[operator]
    assert both[1]["raw_prediction"].abs().max() > 1.01  # type: ignore[operator]
    assert overall(found)["rows"] == overall(plain)["rows"]
    assert found.rows == plain.rows
    assert found.reference == plain.reference, "drift is that of all rows"
    assert found.made_with.labels[""]["version"] == "1"
    assert overall(found)["verdict"] == Verdict.EDGE.value
    none = label(version="1")(lambda rows: rows.select(label=pl.when(pl.col("close") > 1e9).then("label")))
    with pytest.raises(PluginError, match=r"label 1 leaves 0 rows to learn; 500 are needed"):
        train(spark, frame, FEW, 7, lambda _: None, label=none)


def test_no_row_is_predicted_by_a_forest_that_learnt_it(predictable: Trained) -> None:
    rows = predictable.judged.rows
    assert rows.select("symbol", "event_time").is_duplicated().sum() == 0
    # the first fold only calibrates the others
    assert set(rows["fold"]) == {2, 3}
    # nor is its dissimilarity from what was learnt of it later
    learnt = local(predictable.labelled)
    known = learnt.select("symbol", "event_time", predictable.landmarks.of(learnt).alias("known"))
    both = rows.join(known, on=["symbol", "event_time"])
    assert known["known"].max() <= 1  # type: ignore[operator]
    assert both.height == rows.height
    assert both["dissimilarity"].null_count() == 0
    assert both["dissimilarity"].mean() > 1.02 * both["known"].mean()  # type: ignore[operator]


def test_refits_are_judged_in_their_fold_by_later_forests(spark: SparkSession, fit: Fit) -> None:
    frames = [market.bars(name, market.moves(700, seed, _SIGNAL)) for name, seed in (("A", 1), ("B", 2))]
    said: list[str] = []
    live = FEW.model_copy(update={"refits": 2, "retrain_days": 40})
    found = train(spark, market.shuffled(*frames), live, 7, said.append)
    plain, key = fit(*frames, settings=FEW), ["event_time", "symbol"]
    both = [one.judged.rows.sort(key) for one in (found, plain)]
    assert both[0].select(*key, "fold", "held_out").equals(both[1].select(*key, "fold", "held_out"))
    old, raw = both[0]["refit"].is_null(), "raw_prediction"
    assert both[0].filter(old)[raw].equals(both[1].filter(old)[raw])
    assert not both[0].filter(~old)[raw].is_in(both[1][raw].implode()).any()
    told = refits_of(found.walked)
    assert told is not None
    assert told.made == 2
    assert f"2 refits as a live lake makes them, from {told.since:%Y-%m-%d}" in said
    newest = found.walked.filter(refit=2)
    assert newest["event_time"].min() - newest["learnt_until"].max() == timedelta(days=2)  # type: ignore[operator]
    assert timedelta(days=40) < told.until - told.since < timedelta(days=80)
    assert found.permutation == plain.permutation
    assert found.importance == plain.importance


def test_the_same_bars_settings_and_seed_give_the_same_forest(
    spark: SparkSession, fit: Fit, predictable: Trained
) -> None:
    frames = [
        market.bars("B", market.moves(900, 2, _SIGNAL), "crypto"),
        market.bars("A", market.moves(900, 1, _SIGNAL)),
    ]
    # a large market's features are computed by Spark's workers
    again = train(spark, market.to_spark(spark, *frames), SMALL, 7, lambda _: None)
    keys = ["symbol", "event_time"]
    assert again.judged.rows.sort(keys).equals(predictable.judged.rows.sort(keys))
    assert again.importance == predictable.importance
    assert again.calibration == predictable.calibration
    other = fit(*frames, settings=SMALL.model_copy(update={"seed": 2}))
    assert other.importance != predictable.importance


def test_too_little_history_is_said(fit: Fit) -> None:
    with pytest.raises(NotEnoughHistoryError, match="38 labelled bars of 1d; 500 are needed"):
        fit(market.bars("A", market.moves(99, 1)))
    with pytest.raises(NotEnoughHistoryError, match="0 labelled bars of 1d"):
        fit(market.bars("A", np.zeros(900)))


def test_what_cannot_be_learnt_from_is_said(fit: Fit) -> None:
    nothing = market.bars("A", market.moves(700, 1)).with_columns(
        pl.lit(None, dtype=pl.Float64).alias(name) for name in ("open", "high", "low", "close", "adj_close", "volume")
    )
    with pytest.raises(NotEnoughHistoryError, match="0 labelled bars"):
        fit(nothing)
    negative = market.bars("A", market.moves(700, 1)).with_columns(-pl.col("close"), -pl.col("adj_close"))
    with pytest.raises(NotEnoughHistoryError, match="0 labelled bars"):
        fit(negative)


def test_a_market_with_prices_alone_is_learnt_from(fit: Fit) -> None:
    """All range and volume features are missing: neutral values, no failure, no claim."""
    trained = fit(market.close_only("SPOT", market.moves(900, 8)))
    assert trained.importance["volume_ratio"] == 0
    assert trained.importance["parkinson"] == 0
    assert overall(trained)["verdict"] == Verdict.NO_EDGE.value


def test_a_market_that_only_rises_has_a_probability(fit: Fit) -> None:
    trained = fit(market.bars("UP", np.abs(market.moves(900, 9)) + 1e-4))
    up = trained.judged.rows["probability_up"]
    assert up.is_between(0, 1).all()
    # how sure it is of a single bar depends on the forest; that none is called a fall does not
    assert up.min() > 0.7  # type: ignore[operator]
    assert up.mean() > 0.9  # type: ignore[operator]


def test_odd_markets_are_learnt_from_all_the_same(fit: Fit) -> None:
    """A market that only rises, a spot price with a negative day, and a symbol that vanished long ago."""
    rising = market.bars("UP", np.abs(market.moves(700, 4)) + 1e-4)
    spot = market.with_close(market.close_only("SPOT", market.moves(700, 5)), 600, -36.98)
    gone = market.bars("GONE", market.moves(150, 6))
    trained = fit(rising, spot, gone)
    symbols = {row["symbol"]: row for row in trained.metrics if row["fold"] == HOLDOUT}
    assert set(symbols) == {"UP", "SPOT", "*stock", "*commodity", ALL}
    assert symbols["UP"]["majority_rate"] == 1.0
    assert all(math.isfinite(row["skill"]) for row in symbols.values())
    assert set(trained.calibration.shrinkage) == {POOLED, "UP", "SPOT"}
