from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scipy import signal, stats

from financelake_assets.model import usual
from financelake_assets.model.drift import JUDGED, LARGE_PSI, Reference, live_skill, measure, reference_of


def frame(rows: int, seed: int, shift: float = 0.0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    return pl.DataFrame({name: random.standard_normal(rows) + shift for name in JUDGED})


@pytest.fixture(scope="module")
def reference() -> Reference:
    return reference_of(frame(20_000, 1))


def test_bars_like_those_learnt_have_not_drifted(reference: Reference):
    found = measure(reference, frame(1_000, 2))
    assert max(found.psi.values()) < 0.05
    assert not found.significant
    assert found.outliers < 0.01


def test_a_shift_is_large_in_the_features_that_shifted(reference: Reference):
    moved = frame(1_000, 3).with_columns(pl.col("rsi") + 1.0)
    found = measure(reference, moved)
    assert found.drifted == ["rsi"]
    assert not found.significant  # one feature of many
    assert measure(reference, frame(1_000, 3, shift=1.0)).significant


def test_the_index_is_that_of_its_formula():
    learnt = pl.DataFrame({name: np.arange(1000) / 1000 for name in JUDGED})
    recent = pl.DataFrame({name: np.arange(1000) / 2000 for name in JUDGED})  # the lower half alone
    found = measure(reference_of(learnt), recent).psi["rsi"]
    expected = 5 * (0.2 - 0.1) * math.log(2) + 5 * (1e-4 - 0.1) * math.log(1e-4 / 0.1)
    assert found == pytest.approx(expected, rel=0.02)
    assert found > LARGE_PSI


def test_values_beyond_all_that_was_learnt_are_outliers(reference: Reference):
    odd = frame(1_000, 4).with_columns(
        pl.when(pl.int_range(pl.len()) < 200).then(50.0).otherwise(pl.col("rsi")).alias("rsi")
    )
    found = measure(reference, odd)
    assert found.outliers == pytest.approx(0.2, abs=0.02)
    assert found.significant


def test_few_bars_say_nothing(reference: Reference):
    assert not measure(reference, frame(50, 5, shift=3.0)).significant
    assert measure(reference, frame(0, 5)).psi == {}


def test_a_constant_feature_is_not_drift_and_becoming_constant_is():
    learnt = frame(1_000, 6).with_columns(pl.lit(0.0).alias("parkinson"))
    found = measure(reference_of(learnt), learnt.with_columns(pl.lit(0.0).alias("rsi")))
    assert found.psi["parkinson"] == 0
    assert found.drifted == ["rsi"]


def test_a_reference_comes_back_as_it_was(reference: Reference):
    assert Reference.parse(reference.dump()) == reference
    assert Reference.parse(None) == Reference()


def scorecard(predicted: np.ndarray, realised: np.ndarray) -> pl.DataFrame:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    return pl.DataFrame(
        {
            "event_time": [start + timedelta(days=day) for day in range(len(predicted))],
            "predicted_return": predicted,
            "realised_return": realised,
            "expected_move": 0.02,
            "volatility": 0.02,
            "symbol": "A",
            "horizon": 1,
        }
    ).with_columns(pl.col("event_time").cast(pl.Datetime("us", "UTC")))


def test_live_skill_tells_good_from_bad_from_unknown():
    realised = np.random.default_rng(7).standard_normal(500) * 0.02
    assert live_skill(scorecard(realised / 2, realised)).skill == pytest.approx(0.75)
    assert live_skill(scorecard(-realised, realised)).worse
    assert not live_skill(scorecard(np.zeros(500), realised)).worse
    assert not live_skill(scorecard(-realised[:100], realised[:100])).worse  # too few
    assert live_skill(scorecard(realised, realised).head(0)).rows == 0


def test_the_unit_of_live_skill_is_the_expected_move_and_not_what_the_model_says_itself():
    realised = np.random.default_rng(7).standard_normal(500) * 0.02
    rows = scorecard(np.where(realised > 0, realised / 2, -realised), realised)
    plain = live_skill(rows).skill
    # a model that calls its own bad days wild would hide them in units of its own volatility
    boastful = rows.with_columns(volatility=pl.when(pl.col("realised_return") > 0).then(0.001).otherwise(1.0))
    assert live_skill(boastful).skill == plain
    earlier = boastful.with_columns(expected_move=pl.lit(None, pl.Float64))
    assert live_skill(earlier).skill == pytest.approx(0.75, abs=0.01)  # all that it can be told by


# -- false alarms and power on simulated markets -------------------------------------------------------------


def persistent(rows: int, seed: int, symbols: int = 9, shift: float = 0.0) -> pl.DataFrame:
    """Features of symbols that move slowly and together, day by day, of a market that does not change."""
    random = np.random.default_rng(seed)
    days = rows // symbols
    kept = 0.97

    def walk(count: int) -> np.ndarray:
        begun = random.standard_normal((1, count)) / math.sqrt(1 - kept**2)
        steps = np.concatenate([begun, random.standard_normal((days - 1, count))])
        return signal.lfilter([1], [1, -kept], steps, axis=0) * math.sqrt(1 - kept**2)

    features = len(JUDGED)
    common = walk(features)
    own = walk(features * symbols).reshape(days, symbols, features)
    table = (common[:, None, :] + own).reshape(days * symbols, features) / math.sqrt(2) + shift
    return pl.DataFrame({name: table[:, place] for place, name in enumerate(JUDGED)})


@pytest.fixture(scope="module")
def market() -> tuple[Reference, pl.DataFrame]:
    """A market's past, and the same market's future."""
    whole = persistent(40_500, 7)
    return reference_of(whole.head(22_500)), whole.tail(18_000)


@pytest.mark.parametrize("rows", [225, 900, 2_000])
def test_a_market_that_has_not_changed_is_seldom_taken_for_another(market: tuple[Reference, pl.DataFrame], rows: int):
    learnt, future = market
    checks = [measure(learnt, future.slice(start, rows)) for start in range(0, 18_000 - rows, 600)]
    assert np.mean([one.significant for one in checks]) <= 0.06
    if rows == 225:
        # one limit for all lengths would have cried wolf nearly always
        alarms = [np.mean([value > LARGE_PSI for value in one.psi.values()]) > 0.25 for one in checks]
        assert np.mean(alarms) > 0.9


def test_a_market_that_has_changed_is_found(market: tuple[Reference, pl.DataFrame]):
    learnt, _ = market
    assert all(measure(learnt, persistent(900, seed, shift=3.0)).significant for seed in range(5))


def test_a_past_that_is_too_short_to_know_what_is_usual_raises_no_alarm():
    found = measure(reference_of(frame(900, 8)), frame(300, 9, shift=3.0))
    assert (found.judged, found.significant) == (False, False)


def test_what_is_usual_is_kept_and_an_earlier_release_kept_none(reference: Reference):
    assert Reference.parse(reference.dump()) == reference
    before = json.dumps(json.loads(reference.dump())["features"])
    assert Reference.parse(before) == Reference(reference.features)


def test_the_index_of_a_stretch_is_against_all_bars_outside_it():
    values = np.random.default_rng(10).standard_normal(1_000)
    edges = np.quantile(values, np.linspace(0.1, 0.9, 9))
    (found,) = usual.usual({"rsi": values}, {"rsi": edges})
    shares = []
    for start in np.unique(np.linspace(0, 800, 10).astype(int)):
        inside, outside = values[start : start + 200], np.delete(values, np.s_[start : start + 200])
        p, q = (np.histogram(part, [-np.inf, *edges, np.inf])[0] / len(part) for part in (outside, inside))
        shares.append(stats.entropy(q, p) + stats.entropy(p, q))  # Jeffreys' divergence
    assert found.length == 200
    assert found.psi["rsi"] == pytest.approx(np.quantile(shares, 0.99), rel=1e-6)
