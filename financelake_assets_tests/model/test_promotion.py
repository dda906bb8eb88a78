from __future__ import annotations

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
    ("ours", "theirs", "promoted", "why"),
    [
        (1.0, 0.2, True, "not worse than v1"),
        (0.5, 0.5, True, "not worse than v1"),
        (0.2, 1.0, False, "over v1"),
        (-1.0, -1.5, False, "over the naive forecast"),
    ],
)
def test_a_challenger_must_not_be_worse_than_naive_or_the_champion(
    ours: float, theirs: float, promoted: bool, why: str
) -> None:
    decision = compare(rows(ours, theirs), "v1", 1)
    assert decision.promote is promoted
    assert why in decision.reason
    assert "2000 unseen bars" in decision.reason


def test_bars_of_too_few_times_promote_nobody() -> None:
    decision = compare(rows(1.0, 0.2, 15), "v1", 1)
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
