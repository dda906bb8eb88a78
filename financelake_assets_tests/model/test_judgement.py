from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from financelake_assets.model import inference, judgement, metrics
from financelake_assets.model.metrics import Floats
from financelake_assets.model.verdict import QUESTIONS, Verdict

MOVE = 0.01


def rows_of(actual: Floats, predicted: Floats, traded: Floats | None = None, symbol: str = "A") -> pl.DataFrame:
    """Rows of one stock, of which the returns are given in expected moves."""
    count = len(actual)
    return pl.DataFrame(
        {
            "symbol": symbol,
            "asset_class": "stock",
            "event_time": np.datetime64("2020-01-01", "us") + np.arange(count) * np.timedelta64(1, "D"),
            "realised_return": actual * MOVE,
            "predicted_return": predicted * MOVE,
            "traded_return": (actual if traded is None else traded) * MOVE,
            "training_mean": np.zeros(count),
            "expected_move": np.full(count, MOVE),
            "probability_up": np.where(predicted > 0, 0.6, 0.4),
            "execution_bps": 3.0,
        }
    )


def answered(*parts: pl.DataFrame) -> list[dict[str, Any]]:
    return judgement.verdicts([{"rows": len(part), **judgement.judge(part, 1)} for part in parts])


def words(row: dict[str, Any]) -> list[str]:
    return [row[question] for question in QUESTIONS]


def numbers(count: int, seed: int) -> tuple[Floats, Floats]:
    """Two independent series."""
    one, other = np.random.default_rng(seed).standard_normal((2, count))
    return one, other


def test_a_forecast_that_knows_much_is_predictable_accurate_and_tradable() -> None:
    known, unknown = numbers(600, 1)
    (row,) = answered(rows_of(known + unknown, known))
    assert words(row) == [Verdict.EDGE] * 3
    assert 0 < row["skill_low"] < row["skill"] < row["skill_high"] < 1
    assert 0 < row["net_move_low"] < row["net_move"] < row["net_move_high"]
    assert row["verdict"] == row["predictable"]


def test_the_naive_forecast_is_nothing_of_it_and_does_not_trade() -> None:
    actual, _ = numbers(600, 2)
    (row,) = answered(rows_of(actual, np.zeros(600)))
    assert words(row) == [Verdict.NO_EDGE] * 3
    assert (row["skill"], row["skill_low"], row["skill_high"], row["trades"]) == (0, 0, 0, 0)
    assert row["smallest_edge"] == pytest.approx(2.9**2 / 600, rel=0.1)


def test_a_forecast_of_the_opposite_is_worse() -> None:
    known, unknown = numbers(600, 3)
    (row,) = answered(rows_of(known + unknown, -known))
    assert words(row) == [Verdict.WORSE] * 3


def test_a_weak_forecast_that_is_too_loud_is_predictable_but_not_accurate() -> None:
    known, unknown = numbers(2000, 4)
    (row,) = answered(rows_of(0.15 * known + unknown, known))
    assert words(row)[:2] == [Verdict.EDGE, Verdict.WORSE]


def test_what_is_gone_a_bar_later_is_not_tradable() -> None:
    known, unknown = numbers(600, 5)
    (row,) = answered(rows_of(known + unknown, known, traded=np.roll(unknown, 7)))
    assert words(row)[:2] == [Verdict.EDGE] * 2
    assert row["tradable"] in (Verdict.NO_EDGE, Verdict.WORSE)


def test_a_market_that_always_rises_is_not_predicted_by_saying_so() -> None:
    actual, _ = numbers(600, 6)
    rising = actual + 0.3
    rows = rows_of(rising, np.full(600, 0.3)).with_columns(training_mean=pl.lit(0.3 * MOVE))
    (row,) = answered(rows)
    assert row["clark_west_t"] > 4
    assert row["predictable"] == Verdict.NO_EDGE


@pytest.mark.parametrize(("count", "expected"), [(99, Verdict.NOT_ENOUGH_DATA), (100, Verdict.EDGE)])
def test_few_rows_are_not_judged(count: int, expected: Verdict) -> None:
    known, unknown = numbers(count, 7)
    (row,) = answered(rows_of(known + 0.2 * unknown, known))
    assert row["predictable"] == expected


def test_many_bars_of_few_days_are_not_judged() -> None:
    known, unknown = numbers(600, 8)
    minutes = rows_of(known + unknown, known).with_columns(
        event_time=pl.datetime_range(pl.datetime(2020, 1, 1), pl.datetime(2020, 1, 1, 9, 59), "1m", eager=True)
    )
    (row,) = answered(minutes)
    assert words(row) == [Verdict.NOT_ENOUGH_DATA] * 3
    assert not math.isnan(row["skill"])


def test_a_trade_pays_for_both_executions_and_needs_both_forests() -> None:
    predicted = np.array([0.05, 0.07, 0.07, -0.07])
    rows = rows_of(np.zeros(4), predicted, traded=np.full(4, 0.01 / MOVE)).with_columns(
        probability_up=pl.Series([0.9, 0.9, 0.4, 0.4])
    )
    done = judgement.traded(rows)
    # a move of 5 basis points is below the 6 of both executions
    assert done["side"].to_list() == [0, 1, 0, -1]
    assert done["net_return"].to_list() == pytest.approx([0, 0.01 - 0.0006, 0, -0.01 - 0.0006])
    assert judgement.traded(rows.with_columns(traded_return=None)).is_empty()
    # each trade pays what an execution cost at its own bar
    done = judgement.traded(rows.with_columns(execution_bps=pl.Series([2.0, 4.0, 3.0, 1.0])))
    assert done["side"].to_list() == [1, 0, 0, -1]
    assert done["net_return"].to_list() == pytest.approx([0.01 - 0.0004, 0, 0, -0.01 - 0.0002])


@dataclass(frozen=True)
class Market:
    """A kind of market without anything to find, and forecasts of it."""

    tails: float | None
    symbols: int


@pytest.mark.parametrize("market", [Market(None, 1), Market(4, 1), Market(None, 4)], ids=["normal", "tails", "four"])
def test_of_markets_with_nothing_to_find_few_are_said_to_have_an_edge(market: Market) -> None:
    runs, alarms = 120, dict.fromkeys(QUESTIONS, 0)
    for seed in range(runs):
        random = np.random.default_rng(seed)
        parts = []
        for number in range(market.symbols):
            shape = (2, 300)
            drawn = random.standard_normal(shape) if market.tails is None else random.standard_t(market.tails, shape)
            parts.append(rows_of(drawn[0], 0.3 * random.standard_normal(300), traded=drawn[1], symbol=str(number)))
        found = answered(*parts)
        for question in QUESTIONS:
            alarms[question] += any(row[question] == Verdict.EDGE for row in found)
    # one side of 5 %, a point more, and three standard deviations of so many runs; over all symbols of a market
    allowed = 0.025 + 0.01 + 3 * math.sqrt(0.025 * 0.975 / runs)
    assert {question: count / runs <= allowed for question, count in alarms.items()} == dict.fromkeys(QUESTIONS, True)


def test_the_smallest_edge_is_found_in_four_of_five_cases() -> None:
    runs, found = 150, 0
    for seed in range(runs):
        known, unknown = numbers(500, seed)
        truth = answered(rows_of(unknown, known))[0]["smallest_edge"]
        (row,) = answered(rows_of(math.sqrt(truth) * known + math.sqrt(1 - truth) * unknown, known))
        found += row["predictable"] == Verdict.EDGE
    assert 0.65 <= found / runs <= 0.95


def test_the_interval_of_a_hit_rate_holds_where_horizons_overlap() -> None:
    """Directions of sums of 20 moves, each begun a bar after the other: a thousand calls are worth fifty."""
    days = np.datetime64("2020-01-01", "us") + np.arange(1_000) * np.timedelta64(1, "D")
    held, wilson = 0, 0
    for seed in range(200):
        moves = np.random.default_rng(seed).standard_normal(1_019)
        right = (np.convolve(moves, np.ones(20), "valid") > 0).astype(np.float64)
        interval = judgement.proportion(right, days, 20)
        held += interval.low <= 0.5 <= interval.high
        independent = metrics.wilson(right.sum(), 1_000)
        wilson += independent.low <= 0.5 <= independent.high
    assert wilson <= 0.6 * 200  # what was shown before
    assert held >= 0.9 * 200


def test_live_calls_of_one_bar_and_of_overlapping_horizons_count_less() -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    right = np.random.default_rng(3).integers(0, 2, 400).astype(np.float64)

    def width(rows: pl.DataFrame, calls: Floats = right) -> float:
        interval = judgement.live_proportion(calls, rows)
        return interval.high - interval.low

    one = pl.DataFrame({"symbol": "A", "event_time": [start + timedelta(days=n) for n in range(400)], "horizon": 1})
    slow = np.repeat(right[:20], 20)
    assert width(one.with_columns(horizon=pl.lit(20)), slow) > 2 * width(one)
    copies = pl.concat([one.with_columns(symbol=pl.lit(name)) for name in "ABCD"])
    # four copies are not four times the calls, which would halve the width
    assert width(copies, np.tile(right, 4)) > 0.8 * width(one)
    few = one.head(12).with_columns(horizon=pl.lit(4))
    assert width(few, right[:12]) > 0.6  # three horizons that do not overlap


def test_the_figures_that_the_canary_reads_see_a_small_leak() -> None:
    """An IC of 0.05 over 6,000 days of one symbol; on shuffled outcomes the same figures say nothing."""
    seen, false = 0, 0
    for seed in range(10):
        random = np.random.default_rng(seed)
        known, noise = random.standard_normal((2, 6_000))
        outcome = 0.05 * known + noise
        found = [
            inference.correlation(known, one, np.arange(6_000), 1).t for one in (outcome, random.permutation(outcome))
        ]
        seen, false = seen + (found[0] > 3), false + (abs(found[1]) > 3)
    assert (seen >= 7, false) == (True, 0)
