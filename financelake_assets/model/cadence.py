"""The cadence: when a lake trains a market again, and which forests of a walk-forward were made at that pace.

Input: counts and times; rows of a walk. Output: a reason in words; the number of refits and their time. Pure. The
sensor that trains and the walk-forward that judges ask the same rule, so what is judged is what is served.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from financelake_assets.config import ModelSettings


def retraining(new_rows: int, days: float, settings: ModelSettings) -> str | None:
    """Why a market that has a model is trained again; ``None`` while it is not. What is due stays due.

    Args:
        new_rows: bars of the market since its last training.
        days: since that training.
        settings: how many rows, and how many days with any row, are enough.
    """
    if new_rows >= settings.retrain_rows:
        return f"{new_rows} new bars since the last training"
    if new_rows > 0 and days >= settings.trains_after_days:
        return f"the last training was {days:.0f} days ago; {new_rows} new bars"
    return None


@dataclass(frozen=True)
class Refits:
    """The forests of a walk-forward that were made as a live lake makes them.

    ``made``: how many; they forecast the bars from ``since`` to ``until``.
    """

    made: int
    since: datetime
    until: datetime

    @property
    def sentence(self) -> str:
        """The facts in words."""
        return (
            f"{self.made} as a live lake makes them, for the bars from {self.since:%Y-%m-%d} to {self.until:%Y-%m-%d}"
        )

    def dump(self) -> dict[str, Any]:
        """The facts as plain values."""
        return {"made": self.made, "since": self.since.isoformat(), "until": self.until.isoformat()}

    @classmethod
    def parse(cls, told: dict[str, Any]) -> Refits | None:
        """The inverse of ``dump``; ``None`` of nothing: all forests were those of the folds."""
        if not told:
            return None
        since, until = (datetime.fromisoformat(told[name]) for name in ("since", "until"))
        return cls(told["made"], since, until)


def refits_of(walk: pl.DataFrame) -> Refits | None:
    """The refits of a walk; ``None`` where each fold has its own forest alone.

    Args:
        walk: ``refit`` and ``event_time`` of rows of gold.walk_forward.
    """
    own = walk.drop_nulls("refit")
    if own.is_empty():
        return None
    since, until = own["event_time"].min(), own["event_time"].max()
    return Refits(own["refit"].n_unique(), since, until)  # type: ignore[arg-type]
