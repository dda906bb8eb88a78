"""The alerter's state in a file. Reading it imports nothing that the alerter needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from financelake_assets.config import Settings
from financelake_assets.files import read_json


@dataclass(frozen=True)
class AlerterState:
    """What ``alerter.json`` says.

    ``versions``: by rule, the version of its table that it has seen. ``waiting``: alerts by the name of the address
    that has not taken them yet. ``problems``: what is wrong, by ``rules``, a rule's table, or an address's name.
    """

    updated_at: str
    pid: int
    versions: Mapping[str, int] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)


def state_file(settings: Settings) -> Path:
    """Where the alerter says how far it is."""
    return settings.run_dir / "alerter.json"


def read_state(settings: Settings) -> AlerterState | None:
    """What the alerter last said; ``None`` when this lake has had none."""
    found = read_json(state_file(settings))
    return None if found is None else AlerterState(**found)
