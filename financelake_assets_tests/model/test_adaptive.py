"""Intervals that adapt: what they promise for any outcomes, and what they reach on the packaged history."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from financelake_assets.config import ModelSettings
from financelake_assets.model import linear, training
from financelake_assets.model.adaptive import STEP, WIDENING, factors, widened
from financelake_assets.model.costs import Costs, with_costs
from financelake_assets.model.features import FEATURES, features_of
from financelake_assets.model.labels import LABEL, labels_of
from financelake_assets.model.splits import walk_forward
from financelake_assets.model.targets import with_target
from financelake_assets.model.training_rows import FACTS
from financelake_assets.silver import packaged

DAY = timedelta(days=1)
SCORES = st.lists(st.floats(0, 20) | st.just(math.nan), min_size=1, max_size=300)


def new(count: int) -> np.ndarray:
    return np.full(count, np.nan)


@given(SCORES, st.floats(0.05, 0.5), st.integers(1, 5))
def test_whatever_happens_the_misses_are_as_many_as_promised(scores: list[float], miss: float, horizon: int) -> None:
    """Exactly: the factor counts the misses."""
    score = np.array(scores)
    found = factors(new(len(score)), score, miss, horizon)
    judged = slice(0, max(0, len(score) - horizon))
    known = ~np.isnan(score[judged])
    missed = (score[judged] > found[judged])[known]
    assert math.log(found[-1]) == pytest.approx(STEP * float(np.sum(missed - miss)), abs=1e-9)
    # wider than any outcome it only shrinks, so it is never much wider; see the docstring
    largest = max(1.0, np.nanmax(score, initial=0.0))
    assert found.max() <= largest * math.exp(STEP * horizon) * (1 + 1e-9)


@given(SCORES, st.integers(1, 4), st.data())
def test_a_factor_follows_from_the_rows_before_alone(scores: list[float], horizon: int, data: st.DataObject) -> None:
    """Any part may be given, as rows of a table are: the rest is found the same, to the last bit."""
    score = np.array(scores)
    whole = factors(new(len(score)), score, 0.2, horizon)
    given_ = np.array(data.draw(st.lists(st.booleans(), min_size=len(score), max_size=len(score))))
    assert np.array_equal(factors(np.where(given_, whole, np.nan), score, 0.2, horizon), whole)
    # and what comes after a forecast changes nothing of it
    cut = data.draw(st.integers(1, len(score)))
    other = np.concatenate([score[: max(0, cut - horizon)], 100 - np.nan_to_num(score[max(0, cut - horizon) :])])
    assert np.array_equal(factors(new(len(score)), other, 0.2, horizon)[:cut], whole[:cut])


def forecasts(moves: np.ndarray, symbol: str = "A", half: float = 1.28) -> pl.DataFrame:
    start = datetime(2020, 1, 1)
    return pl.DataFrame(
        {
            "symbol": symbol,
            "event_time": [start + number * DAY for number in range(len(moves))],
            "low": -half,
            "high": half,
            "realised_return": moves,
            "coverage": 0.8,
            WIDENING: pl.Series([None] * len(moves), dtype=pl.Float64),
        }
    )


def covered(rows: pl.DataFrame) -> float:
    return float(rows.select(pl.col("realised_return").is_between("low", "high").mean()).item())


def test_where_moves_become_larger_the_intervals_follow() -> None:
    moves = np.random.default_rng(1).standard_normal(2_000)
    moves[1_000:] *= 2
    rows = widened(forecasts(moves), 1, 10 * DAY)
    plain = rows.with_columns(low=-1.28, high=1.28)
    assert covered(plain[1_000:]) < 0.55
    assert covered(rows[1_000:]) == pytest.approx(0.8, abs=0.015)
    assert rows[WIDENING][-1] == pytest.approx(2.0, rel=0.35)


def test_symbols_do_not_know_of_each_other_and_a_long_gap_begins_anew() -> None:
    random = np.random.default_rng(2)
    one, other = (forecasts(3 * random.standard_normal(100), name) for name in ("A", "B"))
    both = widened(pl.concat([other, one]).sample(fraction=1, shuffle=True, seed=1), 1, 10 * DAY)
    assert_frame_equal(both.filter(symbol="A"), widened(one, 1, 10 * DAY))
    late = one.with_columns(
        event_time=pl.col("event_time") + pl.when(pl.int_range(pl.len()) >= 50).then(30 * DAY).otherwise(0 * DAY)
    )
    found = widened(late, 1, 10 * DAY)[WIDENING]
    assert found[49] > 1.1
    assert found[50] == 1.0


def test_an_outcome_that_is_not_known_changes_nothing() -> None:
    rows = forecasts(np.array([5.0, 5.0, 5.0])).with_columns(realised_return=pl.lit(None, pl.Float64))
    assert widened(rows, 1, 10 * DAY)[WIDENING].to_list() == [1.0, 1.0, 1.0]


@pytest.fixture(scope="module")
def walked() -> pl.DataFrame:
    """The linear model's walk-forward over the packaged history, as the training makes it of raw predictions."""
    settings = ModelSettings()
    featured = with_costs(features_of(packaged.packaged_bars()), Costs())
    rows = with_target(labels_of(featured, settings.horizon), settings.horizon).filter("scorable")
    rows = rows.with_columns(pl.col(pl.Datetime("us", "UTC")).dt.replace_time_zone(None)).sort("event_time", "symbol")
    facts = rows.select(FACTS)
    known = facts.drop_nulls(LABEL)
    folds = walk_forward(known["event_time"].to_numpy(), settings.folds, DAY)
    raw = linear.walk(rows, folds, FEATURES)
    scored = facts.join(raw, on=["symbol", "asset_class", "event_time"]).sort("event_time", "symbol")
    return training._forecasts(known, scored, folds, settings).drop_nulls(LABEL)


def test_coverage_is_within_two_points_in_each_class_and_year_of_the_packaged_history(walked: pl.DataFrame) -> None:
    def by_year(rows: pl.DataFrame) -> pl.DataFrame:
        inside = pl.col("realised_return").is_between("low", "high")
        found = rows.group_by("asset_class", pl.col("event_time").dt.year().alias("year")).agg(pl.len(), inside.mean())
        return found.filter(pl.col("len") >= 200)

    off = (pl.col("realised_return") - 0.8).abs()
    assert by_year(walked).height == 42
    assert by_year(walked).filter(off > 0.02).is_empty()
    # as they were calibrated, two of three years are further off
    middle, half = (pl.col("low") + pl.col("high")) / 2, (pl.col("high") - pl.col("low")) / 2 / pl.col(WIDENING)
    plain = by_year(walked.with_columns(low=middle - half, high=middle + half))
    assert plain.filter(off > 0.02).height > 20
