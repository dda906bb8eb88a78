from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from financelake_assets.config import ModelSettings
from financelake_assets.model.cadence import retraining
from financelake_assets.model.splits import Due, Fold, Times, last_as_a_whole, refits, walk_forward, with_newest
from financelake_assets.operations.decisions import MarketState, training_due

_DAY = np.timedelta64(1, "D")


@st.composite
def markets(draw: st.DrawFn) -> tuple[Times, Times, int, int]:
    """Bars of several symbols with their target times; the horizon in days and the number of folds."""
    horizon = draw(st.integers(1, 10))
    spans = draw(st.lists(st.tuples(st.integers(0, 300), st.integers(20, 300)), min_size=1, max_size=4))
    starts = np.concatenate([np.arange(first, first + count) for first, count in spans])
    event_time = np.datetime64("2020-01-01", "us") + starts * _DAY
    return event_time, event_time + horizon * _DAY, horizon, draw(st.integers(1, 8))


@given(markets())
def test_no_fold_learns_what_was_not_known_an_embargo_before_its_test(market: tuple[Times, Times, int, int]) -> None:
    event_time, target_time, horizon, count = market
    for fold in walk_forward(event_time, count, timedelta(days=horizon)):
        learnt, judged = fold.learns_from(target_time), fold.judges(event_time)
        assert not np.any(learnt & judged)
        if learnt.any() and judged.any():
            assert target_time[learnt].max() + horizon * _DAY < event_time[judged].min()


@given(markets())
def test_every_bar_behind_the_first_part_is_tested_once(market: tuple[Times, Times, int, int]) -> None:
    event_time, _, horizon, count = market
    folds = walk_forward(event_time, count, timedelta(days=horizon))
    tested: NDArray[np.int_] = np.sum([fold.judges(event_time) for fold in folds], axis=0)
    start = min(np.datetime64(fold.start, "us") for fold in folds)
    np.testing.assert_array_equal(tested, (event_time >= start).astype(int))
    assert [fold.number for fold in folds] == list(range(1, len(folds) + 1))


def test_folds_have_about_equally_many_bars() -> None:
    event_time = np.datetime64("2020-01-01", "us") + np.arange(1000) * _DAY
    folds = walk_forward(event_time, 4, timedelta(days=1))
    assert [int(fold.judges(event_time).sum()) for fold in folds] == [200, 200, 200, 200]
    assert folds[0].start == datetime(2020, 1, 1) + timedelta(days=200)
    assert folds[0].learn_before == folds[0].start - timedelta(days=1)


def test_there_are_no_folds_where_time_does_not_pass() -> None:
    assert walk_forward(np.full(9, np.datetime64("2020-01-01", "us")), 3, timedelta(days=1)) == []
    assert walk_forward(np.array([], "datetime64[us]"), 3, timedelta(days=1)) == []


def test_a_sliding_window_learns_from_its_days_alone() -> None:
    event_time = np.datetime64("2020-01-01", "us") + np.arange(400) * _DAY
    target_time = event_time + _DAY
    expanding = walk_forward(event_time, 3, timedelta(days=1))
    sliding = walk_forward(event_time, 3, timedelta(days=1), timedelta(days=50))
    assert [fold.learns_from(target_time).sum() for fold in sliding] == [50, 50, 50]
    assert [fold.learns_from(target_time).sum() for fold in expanding] == [98, 198, 298]
    assert [(one.start, one.end) for one in sliding] == [(one.start, one.end) for one in expanding]


# -- refits ----------------------------------------------------------------------------------------------

RULES = st.builds(
    lambda rows, days: ModelSettings(retrain_rows=rows, retrain_days=days, max_age_days=1_000),
    rows=st.integers(100, 400),
    days=st.integers(3, 90),
)


def due(settings: ModelSettings) -> Due:
    return lambda rows, days: retraining(rows, days, settings)


def as_live(fold: Fold, event_time: Times, settings: ModelSettings) -> list[np.datetime64]:
    """When the refits of a fold begin in a lake that asks ``training_due`` after each time at which bars came."""
    came, start = np.sort(event_time), np.datetime64(fold.start, "us")
    trained, begins = came[came < start].max(), [start]
    own = np.unique(event_time[fold.judges(event_time)])
    for now, later in zip(own, [*own[1:], None], strict=True):
        state = MarketState(
            labelled=None,
            progress="",
            loading=False,
            new_rows=int(np.searchsorted(came, now, "right") - np.searchsorted(came, trained, "right")),
            trained_days=(now - trained) / _DAY,
            failures=0,
            seconds_since_failure=0.0,
        )
        if training_due(state, settings).due:
            trained = now
            begins += [] if later is None else [later]
    return begins


@given(markets(), RULES)
def test_a_refit_begins_where_the_sensor_of_a_live_lake_would_have_trained(
    market: tuple[Times, Times, int, int], settings: ModelSettings
) -> None:
    event_time, _, horizon, count = market
    folds = walk_forward(event_time, count, timedelta(days=horizon))
    made = refits(folds, event_time, due(settings))
    for fold in folds:
        own = [np.datetime64(one.start, "us") for one in made if one.number == fold.number]
        assert own == as_live(fold, event_time, settings)
    assert [one.refit for one in made] == list(range(1, len(made) + 1))


@given(markets(), RULES, st.integers(0, 9), st.integers(0, 5_000), st.sampled_from([None, timedelta(days=50)]))
def test_with_refits_each_bar_is_tested_once_in_its_fold_by_what_was_known(
    market: tuple[Times, Times, int, int],
    settings: ModelSettings,
    most: int,
    most_rows: int,
    window: timedelta | None,
) -> None:
    event_time, target_time, horizon, count = market
    folds = walk_forward(event_time, count, timedelta(days=horizon), window)
    made = refits(folds[1:], event_time, due(settings))
    walked = with_newest(folds, made, target_time, most, most_rows)
    newest = [fold for fold in walked if fold.refit is not None]
    assert len(newest) <= min(most, len(made))
    learnt = sum(int(fold.learns_from(target_time).sum()) for fold in newest)
    assert learnt <= most_rows or most_rows == 0
    assert [(one.start, one.end) for one in newest] == [(one.start, one.end) for one in made[len(made) - len(newest) :]]
    for fold in folds:
        parts = [part for part in walked if part.number == fold.number]
        tested: NDArray[np.int_] = np.sum([part.judges(event_time) for part in parts], axis=0)
        np.testing.assert_array_equal(tested, fold.judges(event_time).astype(int))
    for part in walked:
        known, judged = part.learns_from(target_time), part.judges(event_time)
        if known.any() and judged.any():
            assert target_time[known].max() + horizon * _DAY < event_time[judged].min()
            oldest = np.datetime64(part.learn_before - (window or timedelta(days=10_000)), "us")
            assert target_time[known].min() >= oldest


def test_a_fold_of_daily_bars_is_fitted_again_each_month_and_one_of_many_bars_when_they_have_come() -> None:
    event_time = np.datetime64("2020-01-01", "us") + np.arange(1_000) * _DAY
    folds = walk_forward(event_time, 4, timedelta(days=1))
    monthly = refits(folds[3:], event_time, due(ModelSettings()))
    assert [one.start for one in monthly] == [folds[3].start + timedelta(days=30 * number) for number in range(7)]
    assert [one.learn_before for one in monthly] == [one.start - timedelta(days=1) for one in monthly]
    assert monthly[-1].end == folds[3].end
    many = refits(folds[3:], np.repeat(event_time, 1_000), due(ModelSettings()))
    assert {one.end - one.start for one in many[:-1]} == {timedelta(days=5)}


def test_the_newest_refits_take_the_place_of_the_end_of_the_last_fold() -> None:
    event_time = np.datetime64("2020-01-01", "us") + np.arange(1_000) * _DAY
    target_time = event_time + _DAY
    folds = walk_forward(event_time, 4, timedelta(days=1))
    made = refits(folds[1:], event_time, due(ModelSettings()))
    walked = with_newest(folds, made, target_time, 3, 0)
    assert walked[:3] == folds[:3]
    assert (walked[3].start, walked[3].end, walked[3].refit) == (folds[3].start, made[-3].start, None)
    assert [(one.number, one.refit) for one in walked[4:]] == [(4, 1), (4, 2), (4, 3)]
    assert [one.name for one in walked[3:5]] == ["fold 4", "fold 4, refit 1"]
    whole = with_newest(folds, made, target_time, 1_000, 0)
    assert [one.refit for one in whole] == [None, *range(1, len(made) + 1)]
    rows = [int(one.learns_from(target_time).sum()) for one in made[-2:]]
    assert len(with_newest(folds, made, target_time, 3, sum(rows))) == 4 + 2
    assert len(with_newest(folds, made, target_time, 3, sum(rows) - 1)) == 4 + 1
    assert with_newest(folds, made, target_time, 0, 0) == folds


@pytest.mark.parametrize("most", [0, 3, 7, 1_000])
def test_inputs_are_shuffled_on_the_same_bars_however_many_refits_there_are(most: int) -> None:
    event_time = np.datetime64("2020-01-01", "us") + np.arange(1_000) * _DAY
    folds = walk_forward(event_time, 4, timedelta(days=1))
    made = refits(folds[1:], event_time, due(ModelSettings()))
    found = last_as_a_whole(with_newest(folds, made, event_time + _DAY, most, 0))
    assert (found.learn_before, found.start, found.end) == (folds[-1].learn_before, folds[-1].start, folds[-1].end)
