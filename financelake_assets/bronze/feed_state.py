"""The feed's state in a file. Reading it imports nothing that the feed needs to publish."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from financelake_assets.config import Settings
from financelake_assets.files import read_json

Phase = Literal["waiting", "history", "live", "idle"]


@dataclass(frozen=True)
class FeedState:
    """What ``feed.json`` says. ``published`` of ``total`` rows are on bronze; ``problem`` is what it waits for."""

    phase: Phase
    provider: str
    published: int
    total: int
    updated_at: str
    pid: int
    problem: str | None = None


def state_file(settings: Settings) -> Path:
    """Where the feed says how far it is."""
    return settings.run_dir / "feed.json"


def read_state(settings: Settings) -> FeedState | None:
    """What the feed last said; ``None`` when this lake has had none."""
    found = read_json(state_file(settings))
    return None if found is None else FeedState(**found)
