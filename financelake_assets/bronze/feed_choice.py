"""What a lake feeds itself with: the symbols of its universe file, the replay, or nothing.

Input: settings and the universe file. Output: one of the three, and the providers that the file asks to follow. Reading
it imports nothing that a feed needs to publish, and what is wrong in the file is told elsewhere (``universe_file.py``).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

import yaml

from financelake_assets.bronze.feed_state import read_state
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError

Choice = Literal["replay", "universe", "none"]

NOT_FOLLOWED = ("csv", "replay", "synthetic")
"""Providers without a market behind them: nothing new comes from them by itself."""


class MixedLakeError(FinanceLakeError):
    """Real symbols would be fed to a lake that has played the replay."""


def chosen(settings: Settings) -> Choice:
    """What this lake feeds itself with."""
    if settings.feed.provider != "auto":
        return settings.feed.provider
    return "universe" if _providers(settings.universe_path) else "replay"


def followed_providers(settings: Settings) -> tuple[str, ...]:
    """The providers that this lake follows, each by a feed of its own."""
    return _providers(settings.universe_path) if chosen(settings) == "universe" else ()


def refuse_mixture(settings: Settings) -> None:
    """Keep replayed bars and real ones of the same symbol out of one lake.

    Raises:
        MixedLakeError: the replay has been played into the lake that is to follow real symbols.
    """
    played = read_state(settings)
    if played is None or played.provider != "replay" or not played.published or not followed_providers(settings):
        return
    raise MixedLakeError(
        f"The lake in {settings.data_dir} holds a replay. Real symbols must not be mixed with it.",
        remedy="Choose another folder with FINANCELAKE_DATA_DIR, or empty this lake with `financelake reset`.",
    )


def _providers(file: Path) -> tuple[str, ...]:
    try:
        facts = file.stat()
    except OSError:
        return ()
    return _read(file, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=4)
def _read(file: Path, changed: int, size: int) -> tuple[str, ...]:  # noqa: ARG001  # they tell that it is another
    try:
        content = yaml.safe_load(file.read_text("utf-8"))
        default = (content.get("defaults") or {}).get("provider")
        found = {str(one.get("provider", default)) for one in content["symbols"] if one.get("provider", default)}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, KeyError, TypeError):
        return ()
    return tuple(sorted(found - set(NOT_FOLLOWED)))
