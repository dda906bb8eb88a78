"""The publisher's state in a file. Reading it imports nothing that the publisher needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from financelake_assets.config import Settings
from financelake_assets.files import read_json


@dataclass(frozen=True)
class PublisherState:
    """What ``publisher.json`` says: by topic the version of its table up to which it is complete, and its problem."""

    updated_at: str
    pid: int
    versions: Mapping[str, int] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)


def state_file(settings: Settings) -> Path:
    """Where the publisher says how far it is."""
    return settings.run_dir / "publisher.json"


def read_state(settings: Settings) -> PublisherState | None:
    """What the publisher last said; ``None`` when this lake has had none."""
    found = read_json(state_file(settings))
    return None if found is None else PublisherState(**found)
