from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from deltalake import write_deltalake
from polars.testing import assert_frame_equal
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from financelake_assets.config import ModelSettings, Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.gold import monitoring
from financelake_assets.gold.explain import NoPredictionError, explain
from financelake_assets.gold.predict import score
from financelake_assets.gold.schema import PREDICTIONS
from financelake_assets.gold.scoring import score_bars
from financelake_assets.model import other_reading, plugin_frames, registration, registry, training_rows
from financelake_assets.model.artifacts import ArtifactError
from financelake_assets.model.calibration import calibrated
from financelake_assets.model.costs import Costs
from financelake_assets.model.features import FEATURES, features_of
from financelake_assets.model.figure import figure_png
from financelake_assets.model.learning import predicted
from financelake_assets.model.markets import Market
from financelake_assets.model.pipeline import INPUTS, local, predictions
from financelake_assets.model.promotion import decide
from financelake_assets.model.record import ModelRecord, Status
from financelake_assets.model.schema import MODEL_METRICS, MODELS
from financelake_assets.model.splits import refuse_leaks
from financelake_assets.model.training import Trained, train
from financelake_assets.model.training_rows import KEY, read_bars
from financelake_assets.model.verdict import Verdict
from financelake_assets.plugins import PluginError, installed
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets_tests.model import market
from financelake_assets_tests.plugins.conftest import site as site
from financelake_assets_tests.plugins.site import Site

pytestmark = pytest.mark.integration

DAILY = Market("1d")
SMALL = ModelSettings(trees=5, depth=3, folds=2, refits=0, min_instances_per_node=20)


def history(days: int) -> pl.DataFrame:
    return pl.concat(
        [
            market.bars("A", market.moves(days, 1, 0.5)),
            market.bars("B", market.moves(days, 2, 0.5), "crypto"),
            market.with_close(market.close_only("WTI", market.moves(days, 3, 0.5)), days - 40, -36.98),
        ]
    )


BESIDE_B = """
@feature(version="1", lookback=0, others={"b": Other("B", bars=2)})
def beside_b(bars, b):
    moved = b.select("known_at", beside_b=pl.col("log_return").rolling_sum(3))
    return bars.join_asof(moved, on="known_at").select(pl.col("beside_b").fill_null(0.0))
"""


def write_silver(lake: Settings, frame: pl.DataFrame) -> int:
    """Put bars into silver; gives its version."""
    now = datetime.now(UTC)
    stamped = frame.with_columns(
        pl.lit("bronze.stock").alias("topic"),
        pl.lit(0, dtype=pl.Int32).alias("partition"),
        pl.int_range(pl.len()).alias("offset"),
        pl.lit(now).alias("ingested_at"),
        pl.lit(now).alias("processed_at"),
    )
    missing = [field for field in BARS.schema if field.name not in stamped.columns]
    whole = stamped.with_columns(*[pl.lit(None).alias(field.name) for field in missing])
    write_deltalake(BARS.ensure(lake), whole.select(BARS.schema.names).to_arrow().cast(BARS.schema), mode="append")
    return BARS.ensure(lake).version()


def train_on(spark: SparkSession, lake: Settings, days: int) -> Trained:
    version = write_silver(lake, history(days))
    bars = spark.read.format("delta").option("versionAsOf", version).load(BARS.path(lake))
    return train(spark, bars, SMALL.model_copy(update={"boosted_trees": 2}), version, lambda _: None)


@pytest.fixture(scope="module")
def trained(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, spark_server: str) -> Trained:
    lake = Settings.model_validate({"data_dir": tmp_path_factory.mktemp("trained"), "spark": {"remote": spark_server}})
    return train_on(spark, lake, 500)


@pytest.fixture
def registered(spark_lake: Settings, trained: Trained) -> ModelRecord:
    write_silver(spark_lake, history(500))
    return registration.save(spark_lake, trained)


def test_the_first_version_is_champion_and_comes_back_as_it_was(spark_lake: Settings, registered: ModelRecord) -> None:
    assert registered.status is Status.CHAMPION
    assert registry.champion(spark_lake, DAILY) == registered
    assert registered.silver_rows == 1500
    assert registered.horizon == 1
    table = MODEL_METRICS.open(spark_lake)
    assert table is not None
    stored = pl.read_delta(str(table.table_uri))
    assert set(stored["model_version"]) == {registered.model_version}
    assert {0, 2} == set(stored["fold"])
    assert registered.model_version in registry.card(spark_lake, registered)
    assert registered.verdict.value in registry.card(spark_lake, registered)


def test_baselines_are_judged_beside_it_on_the_same_bars(spark_lake: Settings, registered: ModelRecord) -> None:
    version = registered.model_version
    own = {row["symbol"]: row for row in registry.metrics_of(spark_lake, version) if row["fold"] == 0}
    found = registry.baseline_metrics_of(spark_lake, version)
    assert {row["baseline"] for row in found} == {"linear", "boosted"}
    assert {row["symbol"] for row in found} == set(own)
    for row in found:
        assert (row["fold"], row["rows"], row["end"]) == (0, own[row["symbol"]]["rows"], own[row["symbol"]]["end"])
    beside = registry.baselines(spark_lake)[version]
    assert all(told["predictable"] in set(Verdict) for told in beside.values())
    assert all(told["skill"] is not None and told["over_forest"] is not None for told in beside.values())
    told = registry.card(spark_lake, registered)
    assert "| linear, ALL |" in told
    assert "| boosted, *crypto |" in told
    assert registry.baselines(spark_lake).keys() == {version}


def test_what_was_forecast_out_of_sample_is_kept_also_where_no_outcome_is_known(
    spark_lake: Settings, registered: ModelRecord, trained: Trained
) -> None:
    kept = registry.walk_of(spark_lake, registered.model_version)
    judged = trained.judged.rows
    assert len(kept.drop_nulls("held_out")) == len(judged)
    both = kept.join(judged.with_columns(pl.col("event_time").dt.replace_time_zone("UTC")), on=KEY)
    assert both.height == len(judged)
    assert (both["predicted_return"] == both["predicted_return_right"]).all()
    assert (both["held_out"] == both["held_out_right"]).all()
    assert (kept["learnt_until"] + timedelta(days=1) <= kept["event_time"]).all()
    # each from what its own fold learnt, which was less than the version did
    assert kept["dissimilarity"].null_count() == 0
    assert registered.held_back is not None
    assert registered.held_back.bars == len(judged)
    assert registered.held_back.held_back == (judged["dissimilarity"] > 1).sum()
    assert registered.held_back.sentence in registry.card(spark_lake, registered)
    # oil's price is below zero at bar 460: the bar before it has no outcome, and a live lake would have forecast it
    unknown = kept.filter(pl.col("held_out").is_null())
    assert unknown.select("symbol", "event_time").rows() == [("WTI", market.START + timedelta(days=459))]
    assert unknown["predicted_return"].is_finite().all()


def test_there_is_no_champion_before_the_first_training(offline_lake: Settings) -> None:
    assert registry.champion(offline_lake, DAILY) is None
    assert registry.versions(offline_lake) == []


def stamp(bars: pl.DataFrame, version: str) -> pl.DataFrame:
    return features_of(bars).with_columns(
        horizon=pl.lit(1, pl.Int32), model_version=pl.lit(version), as_of=pl.lit(datetime.now(UTC))
    )


def test_a_loaded_model_predicts_what_the_trained_one_did(
    spark: SparkSession, spark_lake: Settings, registered: ModelRecord, trained: Trained
) -> None:
    bars = pl.read_delta(BARS.path(spark_lake))
    stamped = stamp(bars, registered.model_version)
    scored = score(stamped, registry.load_predictor(spark_lake, registered), registered)
    assert scored.columns == PREDICTIONS.schema.names
    found = scored.sort("symbol", "event_time")
    # every bar but warm-up, the negative price and the day behind it
    assert len(found) == 3 * (500 - 60) - 2
    assert found.null_count().sum_horizontal().item() == 0
    inputs = spark.createDataFrame(stamped.filter("scorable").to_arrow())
    moves = inputs.withColumn("expected_move", F.col("bar_volatility"))
    raw = predictions(trained.model, moves, "symbol", "asset_class", "event_time", "close", "expected_move")
    expected = calibrated(raw, trained.calibration).sort("symbol", "event_time")
    assert_frame_equal(
        found.select("predicted_return", "lower", "upper", "probability_up", "volatility", "predicted_close"),
        expected.select(
            "predicted_return",
            lower=pl.col("close") * pl.col("low").exp(),
            upper=pl.col("close") * pl.col("high").exp(),
            probability_up="probability_up",
            volatility="volatility",
            predicted_close=pl.col("close") * pl.col("predicted_return").exp(),
        ),
    )
    assert (found["lower"] < found["predicted_close"]).all()
    assert (found["predicted_close"] < found["upper"]).all()


def test_a_new_symbol_is_predicted_from_what_is_known_of_all(
    spark: SparkSession, spark_lake: Settings, registered: ModelRecord
) -> None:
    bars = market.bars("NEW", market.moves(70, 9), "crypto").with_columns(
        topic=pl.lit("t"), partition=pl.lit(0, pl.Int32), offset=pl.lit(1, pl.Int64)
    )
    found = score(stamp(bars, "v"), registry.load_predictor(spark_lake, registered), registered)
    assert len(found) == 10
    assert found.null_count().sum_horizontal().item() == 0


def test_changed_files_are_not_loaded(spark: SparkSession, spark_lake: Settings, registered: ModelRecord) -> None:
    part = next(Path(spark_lake.models_dir / registered.model_version).rglob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match="differ from its manifest"):
        registration.load(spark, spark_lake, registered)
    with pytest.raises(ArtifactError, match="differ from its manifest"):
        registry.load_forest(spark_lake, registered)


def test_a_model_of_other_features_is_not_loaded(
    spark: SparkSession, spark_lake: Settings, registered: ModelRecord
) -> None:
    other = replace(registered, features=(*registered.features, "moon_phase"))
    with pytest.raises(ArtifactError, match="moon_phase"):
        registration.load(spark, spark_lake, other)
    with pytest.raises(ArtifactError, match="moon_phase"):
        registry.load_forest(spark_lake, other)


def test_a_challenger_without_unseen_bars_stays_one(
    spark_lake: Settings, registered: ModelRecord, trained: Trained
) -> None:
    second = registration.save(spark_lake, trained)
    assert second.status is Status.CHALLENGER
    assert "outside the training data of both versions" in second.status_reason
    assert registry.champion(spark_lake, DAILY) == registered


def test_a_challenger_that_is_not_worse_on_unseen_bars_is_promoted(
    spark: SparkSession, spark_lake: Settings, registered: ModelRecord
) -> None:
    fresh = replace_silver(spark_lake, 700)
    bars = spark.read.format("delta").option("versionAsOf", fresh).load(BARS.path(spark_lake))
    second = registration.save(spark_lake, train(spark, bars, SMALL, fresh, lambda _: None))
    assert second.status is Status.CHAMPION
    assert f"not worse than {registered.model_version}" in second.status_reason
    assert registry.champion(spark_lake, DAILY) == second
    before = next(one for one in registry.versions(spark_lake) if one.model_version == registered.model_version)
    assert before.status is Status.RETIRED
    assert second.model_version in before.status_reason
    back = registry.promote(spark_lake, registered.model_version, "rolled back")
    # to the microsecond, whatever the time: of ten promotions one used to be stored a microsecond early
    assert registry.champion(spark_lake, DAILY) == back
    for _ in range(40):
        back = registry.promote(spark_lake, registered.model_version, "the other one's worse")
        assert registry.champion(spark_lake, DAILY) == back
    assert [one.status for one in registry.versions(spark_lake)] == [Status.CHAMPION, Status.RETIRED]


def replace_silver(lake: Settings, days: int) -> int:
    BARS.ensure(lake).delete()
    return write_silver(lake, history(days))


def test_another_horizon_needs_no_comparison(spark_lake: Settings, registered: ModelRecord, trained: Trained) -> None:
    other = replace(trained, settings=SMALL.model_copy(update={"horizon": 5}))
    assert registration.save(spark_lake, other).status is Status.CHAMPION


def test_an_unknown_version_cannot_be_promoted(spark_lake: Settings, registered: ModelRecord) -> None:
    with pytest.raises(registry.UnknownVersionError, match=registered.model_version):
        registry.promote(spark_lake, "rf-none", "a mistake")


def test_two_writers_leave_one_champion_and_both_versions(spark_lake: Settings, trained: Trained) -> None:
    write_silver(spark_lake, history(500))
    found: list[ModelRecord] = []
    writers = [threading.Thread(target=lambda: found.append(registration.save(spark_lake, trained))) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    statuses = sorted(record.status.value for record in registry.versions(spark_lake))
    assert statuses == ["challenger", "champion"]
    assert len(found) == 2
    champion = registry.champion(spark_lake, DAILY)
    assert champion is not None
    assert champion.status is Status.CHAMPION


def test_the_age_of_a_champion_is_counted_in_utc(spark_lake: Settings, registered: ModelRecord) -> None:
    stored = registry.champion(spark_lake, DAILY)
    assert stored is not None
    assert abs(datetime.now(UTC) - stored.trained_at) < timedelta(hours=1)
    assert MODELS.facts(spark_lake).rows == 1  # type: ignore[union-attr]


def test_a_model_is_fitted_again_from_its_record(
    spark: SparkSession, spark_lake: Settings, registered: ModelRecord
) -> None:
    """The same silver version and seed give the same predictions, also after silver went on."""
    record = replace(registered, silver_version=BARS.ensure(spark_lake).version())
    write_silver(spark_lake, market.bars("C", market.moves(200, 8)))
    again = registration.reproduce(spark, spark_lake, record)
    assert again.differing == 0
    assert again.bars > 500
    reseeded = replace(record, parameters={**record.parameters, "seed": 5})
    other = registration.reproduce(spark, spark_lake, reseeded)
    assert other.differing > again.bars // 2


def test_a_model_whose_history_is_gone_is_refused_with_a_remedy(
    spark: SparkSession, spark_lake: Settings, registered: ModelRecord
) -> None:
    BARS.ensure(spark_lake)
    with pytest.raises(FinanceLakeError, match="no longer has its version 999999"):
        registration.reproduce(spark, spark_lake, replace(registered, silver_version=999_999))


def test_scoring_makes_the_training_rows_again(
    spark: SparkSession, spark_lake: Settings, registered: ModelRecord, trained: Trained
) -> None:
    """Row for row, what gold predicts a bar from a few days of silver is what training would have."""
    wanted = history(500).filter(pl.col("event_time").dt.ordinal_day().is_in([40, 41, 100])).select(*BARS.key)
    forest = registry.load_predictor(spark_lake, registered)
    few = pl.read_delta(BARS.path(spark_lake)).filter(pl.col("event_time") <= wanted["event_time"].max())
    rows = score_bars(spark_lake, few, wanted, forest, registered, {}, datetime.now(UTC))
    scored = rows.filter(pl.col("predicted_return").is_not_null())
    whole = predictions(trained.model, trained.labelled, *KEY, "expected_move")
    keys, made = ["symbol", "event_time"], ["predicted_return", "probability_up", "volatility", "dissimilarity"]
    learnt = local(trained.labelled)
    unlike = learnt.select(*keys, trained.landmarks.of(learnt))
    expected = calibrated(whole, trained.calibration).join(unlike, on=keys).select(*keys, *made).sort(keys)
    found = scored.with_columns(pl.col("event_time").dt.replace_time_zone(None)).select(*keys, *made).sort(keys)
    both = expected.join(found, on=keys, how="semi")
    assert len(both) == len(found) > 5
    assert_frame_equal(found, both, rel_tol=1e-12)
    assert found["dissimilarity"].to_list() == both["dissimilarity"].to_list()
    assert unlike["dissimilarity"].max() <= 1, "no bar that was learnt is unlike what was learnt"  # type: ignore[operator]


def test_a_version_of_an_earlier_release_is_read_but_not_scored_with(
    spark_lake: Settings, registered: ModelRecord, trained: Trained
) -> None:
    row = registered.row()
    flat = {"residual_quantiles": '{"*": {"count": 9, "low": -1.0, "high": 1.0, "share_below": [0.5]}}'}
    old = ModelRecord.parse({**row, "shrinkage": '{"*": 0.5, "A": 0.25}', **flat})
    assert old.calibration.shrinkage_of("A", "stock") == 0.25
    assert (old.outdated, registered.outdated) == (True, False)
    with pytest.raises(ArtifactError, match="earlier release; train a new model"):
        registry.load_forest(spark_lake, old)
    decision = decide(old, trained, lambda _: pytest.fail("it must not be loaded"), datetime.now(UTC))
    assert decision.promote
    assert "earlier release" in decision.reason


def test_the_card_has_everything(spark_lake: Settings, registered: ModelRecord) -> None:
    text = registry.card(spark_lake, registered)
    stated = (str(registered.trials), f"silver version {registered.silver_version}", "min_instances_per_node: 20")
    assert all(part in text for part in (*stated, "permutation", "Brier", "QLIKE", "IC one bar later", "momentum_1"))
    assert "the daily returns of 1 strategy is kept" in text
    assert "| input | impurity | permutation | contribution |" in text
    assert registered.contributions.keys() == registered.importance.keys()
    # an input that no tree asks about moves nothing
    used = {name for name, weight in registered.importance.items() if weight > 0}
    assert {name for name, moved in registered.contributions.items() if moved > 0} <= used
    assert max(registered.contributions.values()) > 0
    rows = sum(one["rows"] for one in registered.reliability)
    metrics = registry.metrics_of(spark_lake, registered.model_version)
    assert rows == next(row["rows"] for row in metrics if (row["fold"], row["symbol"]) == (0, "ALL"))
    picture = figure_png(metrics, registered)
    assert picture.startswith(b"\x89PNG")


def test_recent_bars_are_compared_with_those_that_were_learnt(spark_lake: Settings, registered: ModelRecord) -> None:
    def score_all() -> None:
        wanted = history(500).filter(pl.col("event_time") > market.START + timedelta(days=300)).select(*BARS.key)
        forest = registry.load_forest(spark_lake, registered)
        bars = pl.read_delta(BARS.path(spark_lake))
        rows = score_bars(spark_lake, bars, wanted, forest, registered, {}, datetime.now(UTC))
        OpenTables(spark_lake).insert(PREDICTIONS, rows.filter(pl.col("predicted_return").is_not_null()))

    score_all()
    _is_explained(spark_lake)
    calm = monitoring.examine(spark_lake, registered)
    assert calm.drift.rows > 500
    assert calm.verdict is None
    monitoring.write(spark_lake, registered, calm)
    assert monitoring.last_verdict(spark_lake, registered) is None
    # the same days, but the market has become ten times as wild and only rises
    BARS.ensure(spark_lake).delete()
    moves = np.abs(market.moves(500, 5, size=0.1))
    wild = [market.bars(name, moves, kind) for name, kind in (("A", "stock"), ("B", "crypto"))]
    write_silver(spark_lake, pl.concat(wild))
    other = monitoring.examine(spark_lake, registered)
    assert "log_volatility" in other.drift.drifted
    assert other.verdict is not None
    monitoring.write(spark_lake, registered, other)
    assert (monitoring.last_verdict(spark_lake, registered) or "").startswith("drift: ")


def _is_explained(lake: Settings) -> None:
    """The parts of a prediction add up to what was stored."""
    for symbol in ("A", "B"):
        found = explain(lake, symbol)
        assert found.made_of_these_bars
        assert found.predicted_return == pytest.approx(found.stored_return, rel=1e-9)
        assert found.base + sum(part.contribution for part in found.parts) == pytest.approx(found.stored_return)
        assert {part.name for part in found.parts} == set(INPUTS)
        assert abs(found.parts[0].contribution) >= abs(found.parts[-1].contribution)
        earlier = explain(lake, symbol, "1d", found.event_time - timedelta(days=30))
        assert earlier.predicted_return == pytest.approx(earlier.stored_return, rel=1e-9)
        assert earlier.parts != found.parts
    with pytest.raises(NoPredictionError, match="no prediction of C; there are predictions of: A, B"):
        explain(lake, "C")


def test_a_model_of_a_user_learns_is_promoted_served_and_replaced(
    spark: SparkSession, spark_lake: Settings, site: Site
) -> None:
    """The documented model end to end, beside a documented feature."""
    site.documented("my_models", "my_features")
    version = write_silver(spark_lake, history(500))
    bars = read_bars(spark, spark_lake, version, DAILY)
    learner = installed.learner("hist_boosting", ())
    plugins, said = installed.features(()), list[str]()
    trained = train(spark, bars, SMALL, version, said.append, plugins=plugins, learner=learner)
    assert "the plug-in hist_boosting 1 can be served: the same again, row by row, and from its files" in said
    made = registration.save(spark_lake, trained)
    assert registry.champion(spark_lake, DAILY) == made
    assert made.model_version.startswith("hist-boosting-")
    assert made.learner == {"hist_boosting": trained.made_with.learner["hist_boosting"]}
    assert made.importance == made.contributions == {}
    assert set(made.permutation) == {*INPUTS, "vwap_distance"}
    assert "Three regressors of the plug-in hist_boosting 1" in registry.card(spark_lake, made)
    assert figure_png(trained.metrics, made).startswith(b"\x89PNG")
    assert registry.baselines(spark_lake)[made.model_version].keys() == {"linear"}
    refuse_leaks(trained.judged.rows, timedelta(days=1))

    # scoring makes the training rows again, and the model that was read from its files gives the same
    silver = BARS.scan(spark_lake).collect()
    wanted = silver.filter(pl.col("event_time") > silver["event_time"].max() - timedelta(days=30))
    found = registry.load_predictor(spark_lake, made)
    rows = score_bars(spark_lake, silver, wanted, found, made, {}, datetime.now(UTC)).drop_nulls("predicted_return")
    own = calibrated(predicted(trained.model, trained.labelled, *KEY, "expected_move"), made.calibration)
    both = rows.join(own.with_columns(pl.col("event_time").dt.replace_time_zone("UTC")), on=list(KEY))
    assert both.height > 50
    assert both["predicted_return"].to_list() == pytest.approx(both["predicted_return_right"].to_list(), rel=1e-9)
    assert registration.reproduce(spark, spark_lake, made).differing == 0

    # the forest's next version is compared with it on bars that neither learnt
    later = write_silver(spark_lake, history(900).filter(pl.col("event_time") > silver["event_time"].max()))
    forest = train(spark, read_bars(spark, spark_lake, later, DAILY), SMALL, later, lambda _: None, plugins=plugins)
    compared = decide(made, forest, lambda one: registration.load(spark, spark_lake, one), datetime.now(UTC))
    assert f"over {made.model_version}" in compared.reason or f"what {made.model_version} does not" in compared.reason
    site.uninstall("my_models")
    replaced = decide(made, forest, lambda _: pytest.fail("it cannot be loaded"), datetime.now(UTC))
    assert replaced.promote
    assert "there is no plug-in hist_boosting" in replaced.reason


def test_a_version_learns_from_a_plug_in_and_is_scored_with_it(
    spark: SparkSession, spark_lake: Settings, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The documented feature and cost and one of another series end to end; one that knows tomorrow is refused."""
    site.documented("my_features", "my_costs")
    site.feature("beside_b", BESIDE_B)
    site.feature(
        "tomorrow",
        '@feature(version="1", lookback=0)\ndef tomorrow(bars):\n'
        '    return bars.select(tomorrow=pl.col("log_return").shift(-1))\n',
    )
    version = write_silver(spark_lake, history(500))
    bars = read_bars(spark, spark_lake, version, DAILY)
    said: list[str] = []
    with pytest.raises(PluginError, match=r"tomorrow 1 is refused \(truncation\): the column tomorrow of A 1d"):
        train(spark, bars, SMALL, version, said.append, plugins=installed.features(("beside_b",)))
    with pytest.raises(PluginError, match=r"beside_b 1 needs bars of B 1d, and silver has no finished one"):
        train(spark, bars, SMALL, version, said.append, plugins=installed.features(("tomorrow",)))
    assert said == [], "nothing is trained"

    # what shows only in Spark's workers, in bars that were not examined, is told as what it is
    with monkeypatch.context() as blind:
        blind.setattr(plugin_frames, "refuse_unsafe", lambda *_: None)
        blind.setattr(training_rows, "MOST_LOCAL_BARS", 0)
        in_spark = read_bars(spark, spark_lake, version, DAILY)
        unexamined = installed.features(("vwap_distance", "beside_b"))
        with pytest.raises(PluginError, match=r"^the column tomorrow of the plug-in tomorrow 1 is null for \w+ 1d at"):
            train(spark, in_spark, SMALL, version, lambda _: None, plugins=unexamined)

    costs, own = Costs.of(spark_lake), installed.features(("tomorrow",))
    others = other_reading.of_lake(spark_lake, BARS.scan(spark_lake, version), own, "1d")
    trained = train(spark, bars, SMALL, version, said.append, costs, own, others=others)
    made = registration.save(spark_lake, trained)
    assert (
        said[0] == "no leak found in the plug-in beside_b 1, the plug-in vwap_distance 1, the plug-in wider_when_wild 1"
    )
    assert made.costs == {"wider_when_wild": costs.functions[0].facts}
    assert trained.judged.rows["execution_bps"].n_unique() > 100
    assert registry.champion(spark_lake, DAILY) == made
    assert made.plugins == {plugin.name: plugin.facts for plugin in trained.plugins}
    mine = {"beside_b", "vwap_distance"}
    assert mine == set(made.features) - set(FEATURES)
    assert mine == set(made.importance) - set(INPUTS) == set(made.permutation) - set(INPUTS)
    assert "vwap_distance" in made.reference.features
    assert "vwap_distance 1" in registry.card(spark_lake, made)
    assert "look-back 0 bars; knows B at its interval and 2 bars before" in registry.card(spark_lake, made)

    # scoring makes the training rows again, and its forest gives what Spark's gives
    silver = BARS.scan(spark_lake).collect()
    wanted = silver.filter(pl.col("event_time") > silver["event_time"].max() - timedelta(days=30))
    found = registry.load_forest(spark_lake, made)
    assert found.inputs == (*INPUTS, "beside_b", "vwap_distance")
    rows = score_bars(spark_lake, silver, wanted, found, made, {}, datetime.now(UTC), others=others).drop_nulls(
        "predicted_return"
    )
    own = calibrated(
        predictions(registration.load(spark, spark_lake, made), trained.labelled, *KEY, "expected_move"),
        made.calibration,
    )
    both = rows.join(own.with_columns(pl.col("event_time").dt.replace_time_zone("UTC")), on=list(KEY))
    assert both.height > 50
    assert both["predicted_return"].to_list() == pytest.approx(both["predicted_return_right"].to_list(), rel=1e-9)
    assert registration.reproduce(spark, spark_lake, made).differing == 0
    assert monitoring.examine(spark_lake, made).drift.rows == 0

    site.uninstall("my_features")
    for load in (lambda: registry.load_forest(spark_lake, made), lambda: registration.load(spark, spark_lake, made)):
        with pytest.raises(PluginError, match="trained with the plug-in vwap_distance 1: there is no plug-in"):
            load()
