"""The search without Spark: its space, its ledger, what it gives up, and that it continues after any end."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FixedTrial, TrialState

from financelake_assets.config import ModelSettings, Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.model import search, search_space, search_state, trials
from financelake_assets.model.markets import Market
from financelake_assets.model.record import MadeWith
from financelake_assets.model.schema import TRIAL_RETURNS
from financelake_assets.model.search import Pinned, Search
from financelake_assets.model.search_state import SearchState
from financelake_assets.model.search_walk import Judged
from financelake_assets_tests.model.test_judgement import numbers, rows_of

DAILY = Market("1d")
OWN = ModelSettings()
KNOWN, UNKNOWN = numbers(300, 1)
STATE = SearchState("1d", "runs", 6, 7, "2026-01-01T00:00:00+00:00", run="run")
UNTIL = {"AAPL": datetime(2010, 8, 12)}


class KilledError(BaseException):
    """What no code of the search expects."""


@pytest.fixture
def lake(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "lake")


def judged(settings: ModelSettings) -> Iterator[Judged]:
    """A forest that is the better the deeper it is, fold by fold."""
    for fold in (2, 3, 4):
        known = KNOWN[: 75 * fold]
        yield Judged(fold, 4, rows_of(known + UNKNOWN[: 75 * fold], settings.depth / 10 * known))


def searched(
    settings: Settings,
    wanted: int = 6,
    evaluate: search.Evaluate = judged,
    *,
    fresh: bool = False,
    tell: Callable[[SearchState], None] = lambda _: None,
) -> SearchState:
    state = replace(STATE, wanted=wanted)
    with search.opened(settings, DAILY, fresh=fresh) as study:
        return Search(settings, study, OWN, 3_650, MadeWith(), state, tell).run(evaluate)


def known_trials(settings: Settings) -> list[optuna.trial.FrozenTrial]:
    with search.opened(settings, DAILY, fresh=False) as study:
        return study.get_trials()


@given(
    st.builds(
        ModelSettings,
        trees=st.integers(1, 2_000),
        depth=st.integers(1, 20),
        min_instances_per_node=st.integers(1, 5_000),
        subsampling_rate=st.floats(0.001, 1.0),
        features_a_split=st.none() | st.floats(0.001, 1.0),
        window_days=st.none() | st.integers(30, 20_000),
    ),
    st.integers(0, 20_000),
)
def test_the_settings_of_a_lake_lie_in_the_space_wherever_they_are(own: ModelSettings, days: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert search_space.candidate(FixedTrial(search_space.parameters(own)), own, days) == own


@given(st.integers(0, 20_000))
def test_windows_are_parts_of_the_period_that_settings_allow(days: int) -> None:
    for window in search_space.windows(days):
        assert ModelSettings(window_days=window).window_days == window
        assert window is None or window <= days / 2


def test_it_finds_what_is_better_and_begins_with_the_lakes_own_settings(lake: Settings) -> None:
    told: list[SearchState] = []
    found = searched(lake, wanted=12, tell=told.append)
    own = search.skill_of(list(judged(OWN))[-1].rows)
    assert found.state == "ended"
    assert (found.done, found.own) == (12, pytest.approx(own))
    assert found.best is not None
    assert found.best > own
    assert found.parameters["depth"] > OWN.depth
    assert told[-1] == found
    assert {state.state for state in told[:-1]} == {"runs"}
    # after the first trial it is known what the others cost
    (first, *_) = [state for state in told if state.done == 1]
    assert first.seconds is not None
    assert first.left == timedelta(seconds=11 * first.seconds)


def test_each_trial_is_in_the_ledger_and_its_returns_count(lake: Settings) -> None:
    found = searched(lake, wanted=8)
    rows = trials.ledger(lake)
    assert len(rows) == 8
    assert trials.tried(lake).count == len(trials.BEFORE) + 8
    assert trials.strategy_trial(OWN, lake).key == rows["trial"][0]
    assert rows["sharpe"].is_not_null().all()
    assert trials.tried(lake).variance > 0
    kept = TRIAL_RETURNS.scan(lake).collect()
    assert kept["trial"].n_unique() == 8 - found.pruned
    overfitting = trials.overfitting(lake)["1d"]
    assert (overfitting.trials, overfitting.days) == (8 - found.pruned, 300)


def test_what_is_given_up_was_tried_and_leaves_no_returns(lake: Settings) -> None:
    asked: list[int] = []

    def poor(settings: ModelSettings) -> Iterator[Judged]:
        depth = 9 if len(asked) < 5 else 1
        asked.append(0)
        for one in judged(settings.model_copy(update={"depth": depth})):
            asked[-1] = one.fold
            yield one

    found = searched(lake, wanted=7, evaluate=poor)
    assert asked == [4] * 5 + [2] * 2
    assert (found.done, found.pruned) == (7, 2)
    rows = trials.ledger(lake)
    assert rows["steps"].to_list() == [300] * 5 + [150] * 2
    assert TRIAL_RETURNS.scan(lake).collect()["trial"].n_unique() == 5


def test_a_candidate_that_cannot_be_judged_is_none_that_was_tried(lake: Settings) -> None:
    def nothing(settings: ModelSettings) -> Iterator[Judged]:
        return judged(settings) if settings == OWN else iter(())

    found = searched(lake, wanted=3, evaluate=nothing)
    assert (found.done, found.pruned, len(trials.ledger(lake))) == (3, 2, 1)
    with pytest.raises(FinanceLakeError, match="None of 2 candidates could be judged"):
        searched(lake, wanted=2, evaluate=lambda _: (), fresh=True)


def killed_at(point: str, monkeypatch: pytest.MonkeyPatch) -> search.Evaluate:
    """A judge that is killed in its third trial, or whose search is killed where it writes."""
    asked = 0

    def evaluate(settings: ModelSettings) -> Iterator[Judged]:
        nonlocal asked
        asked += 1
        for one in judged(settings):
            if asked == 3 and point == "a fold":
                raise KilledError
            yield one
        if asked == 3 and point != "a fold":
            place: Any = {"ledger": trials, "returns": trials, "journal": optuna.Study}[point]
            name = {"ledger": "note", "returns": "keep_returns", "journal": "tell"}[point]
            monkeypatch.setattr(place, name, stop)

    def stop(*_: Any, **__: Any) -> None:
        raise KilledError

    return evaluate


@pytest.mark.parametrize("point", ["a fold", "ledger", "returns", "journal"])
def test_killed_anywhere_it_continues_and_counts_nothing_twice(
    lake: Settings, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        searched(lake, evaluate=killed_at(point, patch))
    before = known_trials(lake)
    assert [trial.state for trial in before[:3]] == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.FAIL]
    found = searched(lake)
    assert (found.done, found.cut_off) == (6, 1)
    # the candidate that was cut off is the first that is tried again
    assert known_trials(lake)[3].params == before[2].params
    assert len(trials.ledger(lake)) == 6
    assert TRIAL_RETURNS.scan(lake).collect()["trial"].n_unique() == 6 - found.pruned


def test_a_search_that_was_killed_before_its_first_trial_begins_with_the_lakes_own_settings(lake: Settings) -> None:
    with search.opened(lake, DAILY, fresh=False) as study:
        study.enqueue_trial(search_space.parameters(OWN), user_attrs={"own": True})
        study.ask()  # and no parameter was asked for
    found = searched(lake, wanted=2)
    assert found.own is not None
    assert (found.done, found.cut_off) == (2, 1)


def test_a_torn_line_and_a_lock_that_were_left_behind_do_no_harm(lake: Settings) -> None:
    searched(lake, wanted=3)
    journal = search_state.folder(lake) / "1d.journal"
    with journal.open("ab") as torn:
        torn.write(b'{"op_code":4,"worker_')
    journal.with_name("1d.journal.lock").touch()
    assert searched(lake, wanted=5).done == 5


def test_more_trials_continue_and_as_many_change_nothing(lake: Settings) -> None:
    first = searched(lake, wanted=4)

    def never(_: ModelSettings) -> Iterator[Judged]:
        raise AssertionError

    assert searched(lake, wanted=4, evaluate=never) == first
    assert searched(lake, wanted=6).done == 6
    again = searched(lake, wanted=2, fresh=True)
    assert again.done == 2
    # what was tried was tried, and a search begins with the same candidates as the one before
    assert len(trials.ledger(lake)) == 6


def test_two_at_once_are_refused(lake: Settings) -> None:
    with (
        search.opened(lake, DAILY, fresh=False),
        pytest.raises(FinanceLakeError, match="A search of 1d runs already"),
        search.opened(lake, DAILY, fresh=False),
    ):
        pass


def test_what_a_training_earned_on_the_holdout_is_not_replaced(lake: Settings) -> None:
    trial = trials.strategy_trial(OWN, lake)
    earned = trials.daily(rows_of(KNOWN, KNOWN)).with_columns(pl.col("net_move") * 3)
    trials.keep_returns(lake, trial, "1d", earned)
    searched(lake, wanted=2)
    kept = TRIAL_RETURNS.scan(lake).filter(pl.col("trial") == trial.key).collect()
    assert sorted(kept["net_move"]) == pytest.approx(sorted(earned["net_move"]))


def test_a_search_that_was_begun_with_other_settings_is_not_continued(lake: Settings) -> None:
    strategy = search.strategy_of(OWN, lake, MadeWith())
    with search.opened(lake, DAILY, fresh=False) as study:
        assert search.pinned(study) is None
        made = search.pin(study, Pinned(7, UNTIL, 900, strategy, STATE.begun_at))
    with search.opened(lake, DAILY, fresh=False) as study:
        assert search.pinned(study) == made
    search.refuse_other(made, strategy, DAILY)
    others = [
        search.strategy_of(OWN.model_copy(update=change), lake, MadeWith())
        for change in ({"depth": 3}, {"horizon": 5}, {"holdout_since": {"AAPL": datetime(2012, 1, 1).date()}})
    ]
    for other in (*others, search.strategy_of(OWN, lake, MadeWith(plugins={"mine": {"version": "1"}}))):
        with pytest.raises(FinanceLakeError, match="was begun with other settings") as refused:
            search.refuse_other(made, other, DAILY)
        assert "--fresh" in refused.value.remedy


def test_the_skill_is_that_of_the_forecast_over_none() -> None:
    assert search.skill_of(rows_of(KNOWN, KNOWN)) == pytest.approx(1.0)
    assert search.skill_of(rows_of(KNOWN, 0 * KNOWN)) == pytest.approx(0.0)
    assert math.isnan(search.skill_of(rows_of(KNOWN[:0], KNOWN[:0])))


def test_its_state_is_told_in_words_and_used_only_when_it_has_ended(lake: Settings) -> None:
    assert search_state.read(lake, DAILY) is None
    with pytest.raises(FinanceLakeError, match="there was none"):
        search_state.chosen(lake, DAILY, OWN)
    running = replace(STATE, done=3, own=0.001, best=0.002, seconds=60.0, parameters={"depth": 8, "window_days": None})
    search_state.tell(lake, running)
    assert search_state.of_lake(lake) == {
        "1d": "3 of 6 trials, best skill +0.20% (the lake's own settings +0.10%); about 3 minutes to go"
    }
    with pytest.raises(FinanceLakeError, match="3 of 6 trials"):
        search_state.chosen(lake, DAILY, OWN)
    search_state.tell(lake, replace(running, state="ended"))
    assert search_state.chosen(lake, DAILY, OWN) == OWN.model_copy(update={"depth": 8})
    (search_state.folder(lake) / "1h.json").write_text('{"of": "another release"}')
    assert list(search_state.of_lake(lake)) == ["1d"]


def test_a_search_that_has_long_said_nothing_was_killed(lake: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    search_state.tell(lake, replace(STATE, done=2))
    assert search_state.of_lake(lake)["1d"] == "2 of 6 trials"
    monkeypatch.setattr(search_state, "_SILENT", timedelta(0))
    assert search_state.of_lake(lake)["1d"].startswith("stopped after 2 of 6 trials; `financelake tune --market 1d`")


def test_a_market_that_a_plug_in_learns_is_refused() -> None:
    search_space.refuse_plugged(ModelSettings(learners={"1h": "mine"}))
    with pytest.raises(FinanceLakeError, match="The plug-in mine learns 1d") as refused:
        search_space.refuse_plugged(ModelSettings(learners={"1d": "mine"}))
    assert "model tried" in refused.value.remedy


def test_what_was_found_is_told_as_settings() -> None:
    told = search_space.as_variables({"depth": 8, "features_a_split": None})
    assert told == ["FINANCELAKE_MODEL__DEPTH=8"]
