"""The gold query on a real Spark server with a trained forest: what silver changes become."""

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pyspark.sql import SparkSession

from financelake_assets.config import Settings
from financelake_assets.gold.query import QUERY, NoChampionError, Scorer, start
from financelake_assets.gold.schema import CORRECTIONS, PREDICTIONS, SCORECARD, SIGNALS
from financelake_assets.gold.silver_changes import Versions, consumed_version, versions_of
from financelake_assets.gold.verdicts import HoldReason
from financelake_assets.model import registry
from financelake_assets.model.artifacts import ArtifactError
from financelake_assets.model.record import ModelRecord
from financelake_assets.model.schema import MODELS
from financelake_assets.storage.checkpoints import committed_batch
from financelake_assets.storage.delta import TableSpec
from financelake_assets_tests.gold import lakes
from financelake_assets_tests.gold.frames import MADE_AT, day
from financelake_assets_tests.gold.lakes import HISTORY, SYMBOLS, append, content, market, score_changes
from financelake_assets_tests.silver.kafka import eventually

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
    settings, _ = champion
    shutil.copytree(settings.data_dir, tmp_path / "lake")
    return settings.model_copy(update={"data_dir": tmp_path / "lake"})


def test_each_new_bar_gets_a_prediction_a_signal_and_its_outcome(spark: SparkSession, gold_lake: Settings):
    first = append(gold_lake, market(HISTORY, HISTORY + 1))
    score_changes(gold_lake, first)
    made, signals = content(PREDICTIONS, gold_lake), content(SIGNALS, gold_lake)
    assert made.select("symbol", "event_time").rows() == [(symbol, day(HISTORY)) for symbol in SYMBOLS]
    assert signals.select(SIGNALS.key).equals(made.select(SIGNALS.key))
    assert made["lower"].is_between(0, made["predicted_close"]).all()
    assert made.filter(pl.col("upper") <= pl.col("predicted_close")).is_empty()
    np.testing.assert_allclose(made["predicted_close"], made["close"] * made["predicted_return"].exp())
    assert made["offset"].to_list() == [HISTORY] * 3
    assert content(SCORECARD, gold_lake).is_empty()

    second = append(gold_lake, market(HISTORY + 1, HISTORY + 2))
    score_changes(gold_lake, second)
    scored = content(SCORECARD, gold_lake)
    assert scored.select("symbol", "event_time", "target_time").rows() == [
        (symbol, day(HISTORY), day(HISTORY + 1)) for symbol in SYMBOLS
    ]
    next_close = market(HISTORY + 1, HISTORY + 2).sort("symbol")["close"]
    assert scored["realised_close"].to_list() == next_close.to_list()
    assert scored["naive_close"].to_list() == made["close"].to_list()
    assert scored["as_of"].to_list() == made["as_of"].to_list()


def test_however_the_changes_are_cut_the_rows_are_the_same(spark: SparkSession, gold_lake: Settings, tmp_path: Path):
    commits = [append(gold_lake, market(HISTORY + n, HISTORY + n + 1)) for n in range(4)]
    other = gold_lake.model_copy(update={"data_dir": tmp_path / "other"})
    shutil.copytree(gold_lake.data_dir, other.data_dir)
    score_changes(other, commits[0])
    scorer = Scorer(gold_lake)
    for number, (first, last) in enumerate([(0, 0), (1, 1), (1, 1), (2, 3), (0, 3)]):
        scorer.write_batch(Versions(commits[first], commits[last]))
        if number == 2:
            scorer = Scorer(gold_lake)  # a restart forgets what was kept
    for table in (PREDICTIONS, SIGNALS, SCORECARD):
        assert content(table, gold_lake, WHEN).equals(content(table, other, WHEN))
        assert not content(table, gold_lake).is_empty()


def test_the_query_follows_silver_and_goes_on_where_it_was_stopped(spark: SparkSession, gold_lake: Settings):
    checkpoint, first = Path(gold_lake.checkpoint(QUERY)), append(gold_lake, market(HISTORY, HISTORY + 1))
    with running(spark, gold_lake) as scored:
        scored(first)
        scored(append(gold_lake, market(HISTORY + 1, HISTORY + 2)))
    missed = append(gold_lake, market(HISTORY + 2, HISTORY + 3))
    assert content(SIGNALS, gold_lake).height == 2 * len(SYMBOLS)
    with running(spark, gold_lake) as scored:
        scored(missed)
    assert content(SIGNALS, gold_lake).height == 3 * len(SYMBOLS)
    batches = committed_batch(checkpoint) or 0
    covered = [versions_of(checkpoint, batch, first) for batch in range(batches + 1)]
    assert [version for each in covered for version in range(each.first, each.last + 1)] == [*range(first, missed + 1)]


@contextmanager
def running(spark: SparkSession, settings: Settings) -> Iterator[Callable[[int], None]]:
    """The gold query; call what this gives to wait until it has committed a version of silver."""
    query = start(spark, settings)

    def reached(version: int) -> bool:
        failure = query.exception()
        if failure is not None:
            raise failure
        return consumed_version(Path(settings.checkpoint(QUERY))) >= version

    try:
        yield lambda version: eventually(lambda: reached(version), f"version {version}")
    finally:
        query.stop()


def test_two_scorers_at_once_double_nothing(spark: SparkSession, gold_lake: Settings):
    first = append(gold_lake, market(HISTORY, HISTORY + 2))
    failures: list[Exception] = []

    def work() -> None:
        try:
            score_changes(gold_lake, first)
        except Exception as error:
            failures.append(error)

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    assert content(SIGNALS, gold_lake).height == 2 * len(SYMBOLS)
    assert content(PREDICTIONS, gold_lake).height == 2 * len(SYMBOLS)
    assert content(SCORECARD, gold_lake).height == len(SYMBOLS)


SCORING = """
import sys
from financelake_assets.config import Settings
from financelake_assets_tests.gold.lakes import score_changes
lake = Settings.model_validate_json(sys.argv[1])
score_changes(lake, int(sys.argv[2]))
"""


@pytest.mark.parametrize("table", [PREDICTIONS, SIGNALS, SCORECARD], ids=lambda table: table.name)
def test_a_scorer_killed_behind_any_of_its_writes_loses_and_doubles_nothing(
    spark: SparkSession, gold_lake: Settings, tmp_path: Path, table: TableSpec
):
    """SIGKILL as soon as a table has new rows, then the same micro-batch again, as Spark gives it."""
    first = append(gold_lake, market(HISTORY, HISTORY + 3))
    other = gold_lake.model_copy(update={"data_dir": tmp_path / "other"})
    shutil.copytree(gold_lake.data_dir, other.data_dir)
    score_changes(other, first)
    log = Path(table.path(gold_lake), "_delta_log")
    before = len(list(log.glob("*.json")))
    scorer = subprocess.Popen([sys.executable, "-c", SCORING, gold_lake.model_dump_json(), str(first)])
    while len(list(log.glob("*.json"))) <= max(before, 1) and scorer.poll() is None:
        time.sleep(0.001)
    scorer.kill()
    scorer.wait()
    assert not content(table, gold_lake).is_empty()
    score_changes(gold_lake, first)
    for written in (PREDICTIONS, SIGNALS, SCORECARD):
        assert content(written, gold_lake, WHEN).equals(content(written, other, WHEN))


def test_a_corrected_bar_rewrites_no_prediction_and_its_outcome_is_recorded(spark: SparkSession, gold_lake: Settings):
    first = append(gold_lake, market(HISTORY, HISTORY + 2))
    score_changes(gold_lake, first)
    before, scored = content(PREDICTIONS, gold_lake), content(SCORECARD, gold_lake)
    corrected = market(HISTORY + 1, HISTORY + 2).with_columns(pl.col("close", "high") * 2, pl.col("offset") + 1_000)
    version = lakes.correct(gold_lake, corrected)
    score_changes(gold_lake, version)
    assert content(PREDICTIONS, gold_lake).equals(before)
    assert content(SCORECARD, gold_lake).equals(scored)
    found = content(CORRECTIONS, gold_lake)
    assert found["realised_close"].to_list() == corrected.sort("symbol")["close"].to_list()
    assert found["previous_realised_close"].to_list() == scored["realised_close"].to_list()


def test_a_symbol_with_three_bars_is_held(spark: SparkSession, gold_lake: Settings):
    young = market(HISTORY, HISTORY + 3).filter(pl.col("symbol") == "AAPL").with_columns(symbol=pl.lit("NEW"))
    score_changes(gold_lake, append(gold_lake, young))
    assert content(PREDICTIONS, gold_lake).is_empty()
    signals = content(SIGNALS, gold_lake)
    assert signals["signal"].to_list() == ["HOLD"] * 3
    assert set(signals["reason"]) == {HoldReason.INSUFFICIENT_HISTORY.value}


# -- models ----------------------------------------------------------------------------------------------


def test_a_new_champion_is_taken_up_without_restart_or_gap(spark: SparkSession, gold_lake: Settings):
    (old,) = registry.versions(gold_lake)
    scorer = Scorer(gold_lake)
    before = append(gold_lake, market(HISTORY, HISTORY + 1))
    scorer.write_batch(Versions(before, before))
    waiting = append(gold_lake, market(HISTORY + 1, HISTORY + 2))
    new = lakes.trained(spark, gold_lake)  # it learns from the bar that still waits
    after = append(gold_lake, market(HISTORY + 2, HISTORY + 3))
    scorer.write_batch(Versions(waiting, waiting))
    scorer.write_batch(Versions(after, after))
    made = content(PREDICTIONS, gold_lake).group_by("event_time", "model_version").len().sort("event_time")
    assert made.rows() == [
        (day(HISTORY), old.model_version, len(SYMBOLS)),
        (day(HISTORY + 1), old.model_version, len(SYMBOLS)),
        (day(HISTORY + 2), new.model_version, len(SYMBOLS)),
    ]


def test_a_model_that_is_not_what_was_registered_gives_no_signal(spark: SparkSession, gold_lake: Settings):
    first = append(gold_lake, market(HISTORY, HISTORY + 1))
    part = next((gold_lake.models_dir).rglob("*.parquet"))
    whole = part.read_bytes()
    part.write_bytes(whole[:-1] + b"x")
    with pytest.raises(ArtifactError, match="differ from its manifest"):
        score_changes(gold_lake, first)
    assert content(SIGNALS, gold_lake).is_empty()
    part.write_bytes(whole)
    score_changes(gold_lake, first)
    assert content(SIGNALS, gold_lake).height == len(SYMBOLS)


def test_a_model_of_another_release_or_none_gives_no_signal(spark: SparkSession, gold_lake: Settings):
    first = append(gold_lake, market(HISTORY, HISTORY + 1))
    (record,) = registry.versions(gold_lake)
    table = MODELS.ensure(gold_lake)
    table.update(new_values={"features": json.dumps([*record.features, "moon_phase"])})
    with pytest.raises(ArtifactError, match="moon_phase"):
        score_changes(gold_lake, first)
    table.update(updates={"promoted_at": "NULL"}, predicate="model_version IS NOT NULL")
    with pytest.raises(NoChampionError, match="train a model or roll back"):
        score_changes(gold_lake, first)
    assert content(SIGNALS, gold_lake).is_empty()


# -- bars of trades --------------------------------------------------------------------------------------


def test_a_bar_of_trades_is_scored_when_the_next_has_begun(spark: SparkSession, gold_lake: Settings):
    scorer = Scorer(gold_lake)
    for number, trades in ((0, 1), (0, 2), (1, 1)):
        rows = market(HISTORY + number, HISTORY + number + 1).with_columns(
            pl.lit(trades, pl.Int64).alias("trades"), pl.col("close", "high") + trades, processed_at=pl.lit(MADE_AT)
        )
        version = lakes.correct(gold_lake, rows)
        scorer.write_batch(Versions(version, version))
        assert content(SIGNALS, gold_lake).height == (len(SYMBOLS) if number else 0)
    made = content(PREDICTIONS, gold_lake)
    assert made["event_time"].to_list() == [day(HISTORY)] * len(SYMBOLS)
    last_seen = market(HISTORY, HISTORY + 1).sort("symbol")["close"] + 2
    assert made["close"].to_list() == last_seen.to_list()
