from __future__ import annotations

import importlib
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from financelake_assets.config import ModelSettings, Settings
from financelake_assets.gold.paper import performance, statistics
from financelake_assets.gold.paper.schema import TRADES
from financelake_assets.model import judgement, trials
from financelake_assets.model.card import model_card
from financelake_assets.model.overfitting import Overfitting, judge
from financelake_assets.model.record import ModelRecord
from financelake_assets.model.schema import TRIAL_RETURNS
from financelake_assets.model.trials import BEFORE, Trial, ledger, note, strategy_trial, tried
from financelake_assets_tests.model.records import record
from financelake_assets_tests.model.test_judgement import numbers, rows_of

MODEL = ModelSettings()


def lake(folder: Path, **signals: float) -> Settings:
    return Settings.model_validate({"data_dir": folder, "signals": signals})


def test_a_strategy_counts_once_however_often_it_is_trained(tmp_path: Path) -> None:
    settings = lake(tmp_path)
    assert tried(settings).count == len(BEFORE)
    assert note(settings, strategy_trial(MODEL, settings, 0.01, 300))
    assert not note(settings, strategy_trial(MODEL, settings, 0.02, 310))
    # what only says when and how it is judged is no other strategy
    assert not note(settings, strategy_trial(MODEL.model_copy(update={"folds": 9, "max_age_days": 3.0}), settings))
    assert tried(settings).count == len(BEFORE) + 1


@pytest.mark.parametrize("change", [{"depth": 3}, {"horizon": 5}, {"seed": 1}, {"window_days": 900}])
def test_another_forest_is_another_strategy(tmp_path: Path, change: dict[str, int]) -> None:
    settings = lake(tmp_path)
    assert note(settings, strategy_trial(MODEL, settings))
    assert note(settings, strategy_trial(MODEL.model_copy(update=change), settings))


def test_other_rules_for_signals_are_another_strategy_though_nothing_is_trained(tmp_path: Path) -> None:
    assert note(lake(tmp_path), strategy_trial(MODEL, lake(tmp_path)))
    other = lake(tmp_path, min_confidence=0.6)
    assert note(other, strategy_trial(MODEL, other))
    assert tried(other).count == len(BEFORE) + 2


def test_a_search_elsewhere_counts_all_its_variants(tmp_path: Path) -> None:
    settings = lake(tmp_path)
    note(settings, Trial("depths in a notebook", {}, variants=12))
    note(settings, Trial("one with a Sharpe ratio", {}, 0.1, 100))
    note(settings, Trial("another", {}, -0.1, 100))
    assert tried(settings).count == len(BEFORE) + 14
    assert tried(settings).variance == pytest.approx(np.var([0.1, -0.1], ddof=1))
    assert ledger(settings)["what"].to_list()[0] == "depths in a notebook"


def test_the_choices_that_are_compared_are_all_in_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    model_choices = importlib.import_module("model_choices")

    assert set(model_choices.variants()) <= set(BEFORE)
    assert len(BEFORE) == len(set(BEFORE))
    sys.modules.pop("model_choices")


def test_the_sharpe_ratio_of_a_trial_is_that_of_its_days() -> None:
    known, unknown = numbers(300, 1)
    rows = rows_of(known + unknown, known)
    sharpe, days = trials.sharpe_of(rows)
    done = judgement.traded(rows)["net_move"].to_numpy()
    assert days == 300
    assert sharpe == pytest.approx(done.mean() / done.std(ddof=1))
    assert trials.daily(rows)["net_move"].to_list() == pytest.approx(done.tolist())
    # two symbols of a day are one return
    both = pl.concat([rows, rows.with_columns(symbol=pl.lit("B"))])
    assert trials.sharpe_of(both)[0] == pytest.approx(sharpe)
    assert trials.sharpe_of(both)[1] == 300
    assert math.isnan(trials.sharpe_of(rows.with_columns(traded_return=None))[0])


def test_the_returns_of_trials_make_the_probability_of_overfitting(tmp_path: Path) -> None:
    settings = lake(tmp_path)
    assert trials.overfitting(settings) == {}
    returns = np.random.default_rng(3).standard_normal((400, 12))
    returns[:, 0] += 0.5
    days = np.datetime64("2020-01-01", "us") + np.arange(400) * np.timedelta64(1, "D")

    def keep(number: int, rules: Settings, skipped: int = 0) -> None:
        trial = strategy_trial(MODEL.model_copy(update={"seed": number}), rules, 0.01, 400)
        note(rules, trial)
        earned = pl.DataFrame({"day": days, "net_move": returns[:, number]}).slice(skipped)
        trials.keep_returns(rules, trial, "1d", earned)

    for number in range(9):
        keep(number, settings)
    assert trials.overfitting(settings)["1d"] == Overfitting(9, 400, best_p=0.0)
    # a training again replaces its returns, and other rules for positions are no other forest
    keep(0, settings)
    keep(0, lake(tmp_path, min_confidence=0.6))
    assert trials.overfitting(settings)["1d"] == Overfitting(9, 400, best_p=0.0)
    # a strategy that was judged on fewer days leaves fewer to compare
    keep(9, settings, skipped=100)
    found = trials.overfitting(settings)["1d"]
    assert found == judge(returns[100:, :10])
    assert found.probability is not None
    assert found.probability < 0.01
    # the hours of another market are not compared with days
    trials.keep_returns(settings, Trial("elsewhere", {}), "1h", pl.DataFrame({"day": days, "net_move": returns[:, 10]}))
    note(settings, Trial("elsewhere", {}))
    assert trials.overfitting(settings) == {
        "1d": found,
        "1h": replace(Overfitting(1, 400), best_p=trials.overfitting(settings)["1h"].best_p),
    }


def test_what_a_training_earned_is_kept_and_what_is_known_of_it_is_in_the_record(tmp_path: Path) -> None:
    settings, trial = lake(tmp_path), strategy_trial(MODEL, lake(tmp_path))
    known, unknown = numbers(300, 1)
    earned = trials.daily(rows_of(known + unknown, known))
    note(settings, trial)
    trials.keep_returns(settings, trial, "1d", earned.clear())
    assert trials.overfitting(settings) == {}
    trials.keep_returns(settings, trial, "1d", earned)
    kept = TRIAL_RETURNS.scan(settings).collect().sort("day")
    assert kept["net_move"].to_list() == earned["net_move"].to_list()
    assert kept["day"].dt.replace_time_zone(None).to_list() == earned["day"].to_list()
    found = trials.overfitting(settings)["1d"]
    assert replace(found, best_p=None) == Overfitting(1, 300)
    told = replace(record("rf"), overfitting=found)
    assert ModelRecord.parse(told.row()) == told
    assert ModelRecord.parse({**told.row(), "overfitting": None}).overfitting is None
    assert "1 strategy is kept, on 300 common days" in model_card(told, [])


def test_the_best_of_many_worthless_strategies_is_not_taken_for_good() -> None:
    strategies, days, believed, deflated = 40, 500, 0, 0
    for seed in range(100):
        returns = np.random.default_rng(seed).standard_normal((strategies, days)) * 0.01
        best = returns[np.argmax(returns.mean(axis=1) / returns.std(axis=1))]
        believed += statistics.probabilistic_sharpe(best) > 0.95
        deflated += statistics.deflated_sharpe(best, 1 / (days - 1), strategies) > 0.95
    assert believed >= 80
    assert deflated <= 5 + 7  # three standard deviations of a hundred


def test_more_trials_or_wilder_ones_deflate_more() -> None:
    equity = pl.DataFrame(
        {
            "asset_class": "stock",
            "interval": "1d",
            "currency": None,
            "event_time": np.datetime64("2020-01-01", "us") + np.arange(250) * np.timedelta64(1, "D"),
            "equity": 100 * np.cumprod(1 + 0.001 + np.random.default_rng(1).standard_normal(250) * 0.01),
            **dict.fromkeys(("turnover", "costs", "exposure", "drawdown", "luck_p"), 0.0),
            "halted": False,
        }
    ).with_columns(buy_and_hold="equity", random="equity")

    def found(count: int, variance: float) -> float:
        rows = performance.statistics_of(equity, TRADES.empty, count, variance)
        return float(rows.filter(pl.col("curve") == "signals")["deflated_sharpe"][0])

    assert found(1, 0.0) > found(21, 0.0) > found(200, 0.0)
    assert found(21, 0.05) < found(21, 0.0)
