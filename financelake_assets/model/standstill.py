"""Which markets stand still because of a plug-in, and why, in small files that all processes of a lake read.

Input: a market, and what could not be done for it. Output: the reason, until it is done again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

from financelake_assets.config import Settings
from financelake_assets.files import read_json, write_whole
from financelake_assets.model.markets import Market

What = Literal["training", "scoring", "waiting"]

_WORDS: Mapping[What, str] = {
    "waiting": "waits for other series",
    "training": "stands still, no training",
    "scoring": "stands still, no new signals",
}
"""What is told of each; the last one of a market counts."""


def note(settings: Settings, market: Market, what: What, reason: str | None) -> None:
    """Remember why a market's training or scoring stands still, or what it waits for; ``None`` when it goes on."""
    file = settings.run_dir / f"plugins-{what}-{market.name}.json"
    if reason is None:
        file.unlink(missing_ok=True)
    elif (read_json(file) or {}).get("reason") != reason:
        write_whole(file, json.dumps({"reason": reason}))


def reasons(settings: Settings) -> dict[str, str]:
    """By the name of each market that stands still, why, in words."""
    found = {}
    for what, words in _WORDS.items():
        for file in settings.run_dir.glob(f"plugins-{what}-*.json"):
            told = read_json(file)
            if told is not None:
                found[file.stem.rsplit("-", 1)[-1]] = f"{words}: {told.get('reason')}"
    return found
