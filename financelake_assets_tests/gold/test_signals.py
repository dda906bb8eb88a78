"""Signals against the rules written a second time in plain Python."""

import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from financelake_assets.config import SignalSettings
from financelake_assets.gold.signals import decide
from financelake_assets.gold.verdicts import HoldReason, Signal

SCHEMA = {
    **dict.fromkeys(("symbol", "interval", "asset_class"), pl.String),
    "event_time": pl.Datetime("us", "UTC"),
    "market_open": pl.Boolean,
    **dict.fromkeys(("surprise", "predicted_return", "volatility", "probability_up"), pl.Float64),
    **dict.fromkeys(("dissimilarity", "cost_bps"), pl.Float64),
}
MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
GOOD = {
    "symbol": "AAPL",
    "interval": "1d",
    "event_time": MONDAY,
    "asset_class": "stock",
    "market_open": True,
    "surprise": 1.0,
    "predicted_return": 0.01,
    "volatility": 0.02,
    "probability_up": 0.6,
    "dissimilarity": 0.5,
    "cost_bps": 2.0,
}


def judge(
    rows: list[dict[str, Any]], rules: SignalSettings | None = None, *, expired: bool = False, slippage: float = 0.0
) -> list[dict[str, Any]]:
    """The signals of rows, in their order. Rows without a symbol of their own are series of one bar each."""
    own = [{"symbol": f"S{position}", **row} for position, row in enumerate(rows)]
    decided = decide(
        pl.DataFrame(own, schema=SCHEMA), rules or SignalSettings(), model_expired=expired, slippage_bps=slippage
    )
    found = {(row["symbol"], row["event_time"]): row for row in decided.iter_rows(named=True)}
    return [found[row["symbol"], row["event_time"]] for row in own]


def alone(**changed: Any) -> dict[str, Any]:
    return {name: value for name, value in {**GOOD, **changed}.items() if name != "symbol"}


def expected_reason(row: dict[str, Any], rules: SignalSettings, *, expired: bool) -> HoldReason | None:
    numbers = [row[name] for name in ("predicted_return", "volatility", "probability_up")]
    if expired:
        return HoldReason.MODEL_EXPIRED
    if any(number is None or not math.isfinite(number) for number in numbers):
        return HoldReason.INSUFFICIENT_HISTORY
    if not row["market_open"]:
        return HoldReason.MARKET_CLOSED
    if row["surprise"] is not None and row["surprise"] > rules.outlier_sigmas:
        return HoldReason.OUTLIER_INPUT
    if row["dissimilarity"] is not None and row["dissimilarity"] > rules.most_dissimilar:
        return HoldReason.UNLIKE_TRAINING
    if abs(math.expm1(row["predicted_return"])) * 10_000 <= 2 * row["cost_bps"]:
        return HoldReason.BELOW_COSTS
    up = row["predicted_return"] > 0
    confidence = row["probability_up"] if up else 1 - row["probability_up"]
    return HoldReason.LOW_CONFIDENCE if confidence < rules.min_confidence else None


def test_slippage_is_a_cost_that_a_move_must_beat():
    row = alone(predicted_return=math.log1p(0.0005))  # 5 basis points, and both executions cost 4
    assert [judge([row], slippage=paid)[0]["signal"] for paid in (0.0, 0.4, 0.6)] == ["BUY", "BUY", "HOLD"]
    assert judge([row], slippage=0.6)[0]["reason"] == "below_costs"


def test_each_reason_by_itself():
    cases = [
        (alone(), "BUY", None),
        (alone(predicted_return=-0.01, probability_up=0.4), "SELL", None),
        (alone(predicted_return=None), "HOLD", "insufficient_history"),
        (alone(predicted_return=math.nan), "HOLD", "insufficient_history"),
        (alone(predicted_return=math.inf), "HOLD", "insufficient_history"),
        (alone(volatility=None), "HOLD", "insufficient_history"),
        (alone(probability_up=None), "HOLD", "insufficient_history"),
        (alone(market_open=False), "HOLD", "market_closed"),
        (alone(market_open=None), "HOLD", "market_closed"),
        (alone(cost_bps=None), "HOLD", "below_costs"),
        (alone(surprise=11.0), "HOLD", "outlier_input"),
        (alone(surprise=None), "BUY", None),
        (alone(surprise=11.0, dissimilarity=1.1), "HOLD", "outlier_input"),
        (alone(dissimilarity=1.0001), "HOLD", "unlike_training"),
        (alone(dissimilarity=1.0), "BUY", None),
        (alone(dissimilarity=1.1, predicted_return=0.0), "HOLD", "unlike_training"),
        (alone(dissimilarity=None), "BUY", None),
        (alone(predicted_return=0.0003), "HOLD", "below_costs"),
        (alone(predicted_return=0.0), "HOLD", "below_costs"),
        (alone(predicted_return=0.0005), "BUY", None),
        (alone(predicted_return=0.0005, cost_bps=5.0), "HOLD", "below_costs"),
        (alone(probability_up=0.49), "HOLD", "low_confidence"),
        (alone(predicted_return=-0.01), "HOLD", "low_confidence"),
    ]
    decided = judge([case for case, _, _ in cases])
    assert [(row["signal"], row["reason"]) for row in decided] == [(signal, reason) for _, signal, reason in cases]
    assert decided[0]["strength"] == pytest.approx(0.5)
    assert decided[0]["confidence"] == pytest.approx(0.6)
    assert decided[1]["confidence"] == pytest.approx(0.6)
    assert decided[0]["cost_bps"] == 2.0
    assert [row["reason"] for row in judge([alone()], expired=True)] == ["model_expired"]


def test_the_rules_hold_on_many_generated_rows():
    chance = random.Random(7)  # noqa: S311  # a test's examples
    returns = [None, math.nan, -math.inf, 0.0, 0.0004, -0.0004, 0.001, -0.001, 0.02, -0.02, 0.5, -5.0]
    rows = [
        alone(
            event_time=MONDAY + timedelta(days=chance.randrange(14)),
            cost_bps=chance.choice([2.0, 5.0, 3.0]),
            market_open=chance.choice([True, True, True, False, None]),
            surprise=chance.choice([None, 0.0, 3.0, 9.99, 10.01, 1e9]),
            predicted_return=chance.choice([*returns, chance.gauss(0, 0.01)]),
            volatility=chance.choice([None, math.nan, 0.01, 0.03]),
            probability_up=chance.choice([None, 0.0, 0.39, 0.5, 0.61, 1.0, chance.random()]),
            dissimilarity=chance.choice([None, 0.0, 0.99, 1.01, 1.19, 1.21]),
        )
        for _ in range(3_000)
    ]
    rules = SignalSettings(min_confidence=0.55, settle_bars=0, most_dissimilar=1.2)
    for expired in (False, True):
        decided = judge(rows, rules, expired=expired)
        wanted = [expected_reason(row, rules, expired=expired) for row in rows]
        assert [row["reason"] for row in decided] == wanted
        assert all((row["signal"] == Signal.HOLD) == (row["reason"] is not None) for row in decided)
        assert all(
            row["signal"] == (Signal.BUY if row["predicted_return"] > 0 else Signal.SELL)
            for row in decided
            if row["reason"] is None
        )
        assert expired or set(wanted) == {None, *HoldReason} - {HoldReason.MODEL_EXPIRED, HoldReason.RECENT_REVERSAL}


@given(st.integers(1, 4), st.lists(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=30), min_size=20))
def test_a_direction_settles_before_it_reverses(settle_bars: int, series: list[list[int]]):
    rows = [
        {
            **GOOD,
            "symbol": f"S{number}",
            "asset_class": "crypto",
            "event_time": MONDAY + timedelta(days=day),
            "predicted_return": 0.01 * due,
            "probability_up": 0.5,
        }
        for number, dues in enumerate(series)
        for day, due in enumerate(dues)
    ]
    decided = iter(judge(rows, SignalSettings(settle_bars=settle_bars)))
    for dues in series:
        for day, due in enumerate(dues):
            row = next(decided)
            opposed = due != 0 and -due in dues[max(0, day - settle_bars) : day]
            signal = {1: "BUY", -1: "SELL", 0: "HOLD"}[0 if opposed else due]
            assert row["signal"] == signal
            assert (row["reason"] == HoldReason.RECENT_REVERSAL) == opposed


@pytest.mark.parametrize(
    "wrong",
    [
        {"cost_bps": {"stock": 1.0}},
        {"cost_bps": {"stock": -1.0, "crypto": 1.0, "commodity": 1.0}},
        {"settle_bars": -1},
        {"min_confidence": 1.2},
    ],
)
def test_senseless_rules_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ValidationError):
        SignalSettings(**wrong)
