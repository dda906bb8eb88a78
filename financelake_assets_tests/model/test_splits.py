from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from financelake_assets.model.splits import Times, walk_forward

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
