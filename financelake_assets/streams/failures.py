"""Failures of the continuous queries, stored for ``status``, and the back-off that follows from them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

from financelake_assets.config import Settings
from financelake_assets.files import read_json, write_whole

WELL_AFTER_SECONDS = 60.0
"""A query that has run this long since its last start is healthy again."""


@dataclass(frozen=True)
class Failure:
    """Number of consecutive failures of a query, and the last one's message and time (seconds since the epoch)."""

    count: int = 0
    error: str | None = None
    at: float = 0.0

    def back_off_seconds(self) -> float:
        """How long to wait before the next start: 0, 2, 4 … at most 120 s."""
        return 0.0 if self.count == 0 else min(120.0, 2.0**self.count)

    def left(self, now: float) -> float:
        """How long still to wait; nothing, where the failure is yet to come because the clock was set back."""
        return 0.0 if now < self.at else max(0.0, self.at + self.back_off_seconds() - now)


def last_failure(settings: Settings, name: str) -> Failure:
    """The query's failures since it was last healthy."""
    return Failure(**(read_json(_failure_file(settings, name)) or {}))


def record_failure(settings: Settings, name: str, error: str) -> Failure:
    """Record one more failure of the query."""
    failure = Failure(last_failure(settings, name).count + 1, error, time.time())
    write_whole(_failure_file(settings, name), json.dumps(failure.__dict__))
    return failure


def forget_failures(settings: Settings, name: str) -> None:
    """Delete the record: the query is healthy again."""
    _failure_file(settings, name).unlink(missing_ok=True)


def _failure_file(settings: Settings, name: str) -> Path:
    return settings.run_dir / f"stream-{name}.failure.json"
