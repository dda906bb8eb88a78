"""Records of versions that nobody trained, for tests of what follows from a record."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from financelake_assets.config import ModelSettings
from financelake_assets.model.calibration import POOLED, Calibration, Errors
from financelake_assets.model.drift import Reference
from financelake_assets.model.record import ModelRecord, Status
from financelake_assets.model.verdict import Verdict

DAY = datetime(2026, 6, 1, tzinfo=UTC)

_ONE = ModelRecord(
    model_version="rf",
    status=Status.CHAMPION,
    status_reason="a test",
    verdict=Verdict.NO_EDGE,
    trained_at=DAY,
    silver_version=0,
    silver_rows=0,
    train_start=DAY - timedelta(days=1_000),
    train_end=DAY,
    learnt_until={},
    later_share=None,
    horizon=1,
    interval="1d",
    features=(),
    parameters=ModelSettings().model_dump(mode="json"),
    importance={},
    permutation={},
    reliability=[],
    reference=Reference({}, []),
    trials=1,
    calibration=Calibration({POOLED: 1.0}, {POOLED: 1.0}, {POOLED: Errors(100, -1.0, 1.0)}),
    manifest_sha256="",
    promoted_at=None,
)


def record(
    version: str, interval: str = "1d", promoted: int | None = None, trained: int = 0, **more: Any
) -> ModelRecord:
    """A version of an interval, trained and promoted so many days after ``DAY``; by default never promoted."""
    promoted_at = None if promoted is None else DAY + timedelta(days=promoted)
    status = Status.CHALLENGER if promoted is None else Status.CHAMPION
    made = {"interval": interval, "promoted_at": promoted_at, "trained_at": DAY + timedelta(days=trained)}
    return replace(_ONE, model_version=version, **{"status": status, **made, **more})
