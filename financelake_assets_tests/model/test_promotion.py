from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest

from financelake_assets.config import ModelSettings
from financelake_assets.model.promotion import compare, refits
from financelake_assets.model.record import ModelRecord


def rows(ours: float, theirs: float, count: int = 2000) -> pl.DataFrame:
    """Bars that two forecasts predicted, each knowing a part of what happened (a negative part is wrong)."""
    random = np.random.default_rng(1)
    known, move = random.standard_normal(count) * 0.01, np.full(count, 0.02)
    actual = known + random.standard_normal(count) * 0.01
    return pl.DataFrame(
        {
            "symbol": "A",
            "event_time": np.datetime64("2020-01-01", "us") + np.arange(count) * np.timedelta64(1, "D"),
            "realised_return": actual,
            "expected_move": move,
            "predicted_return": ours * known,
            "champion_return": theirs * known,
        }
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "must_add", "promoted", "why"),
    [
        (1.0, 0.2, True, True, "says what v1 does not"),
        (0.5, 0.5, False, True, "not worse than v1"),
        (0.5, 0.5, True, False, "no proof"),
        (0.2, 1.0, False, False, "over v1"),
        (-1.0, -1.5, False, False, "over the naive forecast"),
    ],
)
def test_a_challenger_must_not_be_worse_than_naive_or_the_champion(
    ours: float, theirs: float, must_add: bool, promoted: bool, why: str
) -> None:
    decision = compare(rows(ours, theirs), "v1", 1, must_add=must_add)
    assert decision.promote is promoted
    assert why in decision.reason
    assert "2000 unseen bars" in decision.reason


def contest(seed: int, count: int, ours: float, theirs: float) -> pl.DataFrame:
    """Bars, and the best forecasts of two parts of them with these R²; what has none is noise as large as another's."""
    random = np.random.default_rng(seed)
    parts, noises = random.standard_normal((2, count)), random.standard_normal((2, count))
    known = [math.sqrt(r2) * part for r2, part in zip((ours, theirs), parts, strict=True)]
    actual = sum(known) + math.sqrt(1 - ours - theirs) * random.standard_normal(count)
    size = math.sqrt(max(ours, theirs))
    made = [part if r2 else size * noise for r2, part, noise in zip((ours, theirs), known, noises, strict=True)]
    frame = rows(0.0, 0.0, count)
    return frame.with_columns(
        realised_return=pl.Series(actual) * 0.02,
        predicted_return=pl.Series(made[0]) * 0.02,
        champion_return=pl.Series(made[1]) * 0.02,
    )


def promoted(count: int, ours: float, theirs: float, runs: int = 200) -> float:
    """How often a challenger with other settings replaces the champion."""
    decisions = [compare(contest(seed, count, ours, theirs), "v1", 1, must_add=True) for seed in range(runs)]
    return sum(decision.promote for decision in decisions) / runs


def test_noise_does_not_replace_a_champion_that_knows_a_little() -> None:
    """Against a champion with an R² of 1 %, on as few rows as are enough."""
    assert promoted(250, 0.0, 0.01) <= 0.05


def test_a_challenger_that_knows_a_little_replaces_noise() -> None:
    assert promoted(2_000, 0.01, 0.0, runs=100) >= 0.9


def test_bars_of_too_few_times_promote_nobody() -> None:
    decision = compare(rows(1.0, 0.2, 15), "v1", 1, must_add=True)
    assert not decision.promote
    assert "too few times among 15 unseen bars" in decision.reason


def test_the_same_settings_on_later_bars_replace_an_old_champion_without_proof() -> None:
    settings, now = ModelSettings(), datetime(2026, 6, 1, tzinfo=UTC)
    old = SimpleNamespace(
        trained_at=now - timedelta(days=31),
        train_end=now - timedelta(days=32),
        parameters=settings.model_dump(mode="json"),
    )
    later = now.replace(tzinfo=None) - timedelta(days=1)

    def refitted(settings: ModelSettings = settings, train_end: datetime = later, **changes: Any) -> bool:
        current = cast("ModelRecord", SimpleNamespace(**{**vars(old), **changes}))
        return refits(current, settings, train_end, now)

    assert refitted()
    assert refitted(settings.model_copy(update={"folds": 9}))
    assert not refitted(settings.model_copy(update={"depth": 3}))
    assert not refitted(trained_at=now - timedelta(days=29))
    assert not refitted(train_end=old.train_end.replace(tzinfo=None))
    # a release before had no such setting
    assert refitted(parameters={name: value for name, value in old.parameters.items() if name != "retrain_days"})
