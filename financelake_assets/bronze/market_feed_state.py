"""What a feed says of itself, in a file. Reading it imports nothing that the feed needs to publish."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from financelake_assets.config import Settings
from financelake_assets.files import read_json

STATES = ("loading", "current", "due", "refused", "failed")
"""How a symbol can do."""


@dataclass
class SymbolState:
    """One symbol. ``state`` is one of ``STATES``; ``problem`` says why it is one of the last two.

    ``bars`` were published since the feed's start; ``newest`` is the start of the newest bar. ``unit`` says what its
    prices are in, where the provider tells.
    """

    interval: str
    live: bool
    state: str = "loading"
    bars: int = 0
    newest: str | None = None
    last_trade: str | None = None
    problem: str | None = None
    unit: str | None = None


@dataclass
class MarketFeedState:
    """What ``feed-PROVIDER.json`` says. ``live`` has the numbers of following trades, empty where nothing is followed.

    ``problem`` is what concerns the whole feed, and ``remedy`` what to do about it.
    """

    provider: str
    updated_at: str
    pid: int
    problem: str | None = None
    remedy: str | None = None
    live: dict[str, Any] = field(default_factory=dict)
    symbols: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """How many symbols are in each state."""
        return dict(Counter(str(symbol["state"]) for symbol in self.symbols.values()))


PREFIX = "feed-"


def process_name(provider: str) -> str:
    """The name of a provider's feed among the lake's processes."""
    return f"{PREFIX}{provider}"


def provider_of(process: str) -> str | None:
    """The provider whose feed a process is; ``None`` where it is none."""
    return process.removeprefix(PREFIX) if process.startswith(PREFIX) else None


def state_file(settings: Settings, provider: str) -> Path:
    """Where the feed of a provider says how it does."""
    return settings.run_dir / f"{process_name(provider)}.json"


def read_state(settings: Settings, provider: str) -> MarketFeedState | None:
    """What a feed last said; ``None`` when this lake has had none of this provider."""
    found = read_json(state_file(settings, provider))
    return None if found is None else MarketFeedState(**found)


def now_text() -> str:
    """The time as states have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
