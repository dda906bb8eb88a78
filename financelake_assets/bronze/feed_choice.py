"""What a lake feeds itself with: the symbols of its universe file, the replay, or nothing.

Input: settings and the universe file. Output: one of the three, and the providers that the file asks to follow. Reading
it imports nothing that a feed needs to publish, and what is wrong in the file is told elsewhere (``universe_file.py``).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Literal

import yaml

from financelake_assets.bronze import market_feed_state
from financelake_assets.bronze.feed_state import read_state
from financelake_assets.bronze.market_feed_state import PREFIX, MarketFeedState
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError

Choice = Literal["replay", "universe", "none"]

NOT_FOLLOWED = ("csv", "replay", "synthetic")
"""Providers without a market behind them: nothing new comes from them by itself."""
_SILENT = timedelta(minutes=5)
"""A feed that has said nothing for so long does not load: nothing has to wait for it."""
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")


class MixedLakeError(FinanceLakeError):
    """The replay and real symbols would come into one lake."""


def chosen(settings: Settings) -> Choice:
    """What this lake feeds itself with."""
    if settings.feed.provider != "auto":
        return settings.feed.provider
    providers = _providers(settings.universe_path)
    if providers or providers is None:
        return "universe"  # also where the file is wrong, or gone from where it was: no replay in its place
    return "none" if _has_followed(settings) else "replay"


def followed_providers(settings: Settings) -> tuple[str, ...]:
    """The providers that this lake follows, each by a feed of its own."""
    return (_providers(settings.universe_path) or ()) if chosen(settings) == "universe" else ()


def reports(settings: Settings) -> dict[str, MarketFeedState]:
    """What the feeds of the followed providers last said, by provider."""
    found = {provider: market_feed_state.read_state(settings, provider) for provider in followed_providers(settings)}
    return {provider: state for provider, state in found.items() if state is not None}


def loads_history(settings: Settings, now: datetime | None = None) -> bool:
    """Whether one of the lake's feeds has not finished loading history.

    A lake without a feed gets its data from elsewhere. A symbol that cannot be had is not waited for.
    """
    played = read_state(settings)
    if played is not None and played.phase in ("waiting", "history"):
        return True
    since = (now or datetime.now(UTC)) - _SILENT
    return any(
        state.counts.get("loading") and datetime.fromisoformat(state.updated_at) >= since
        for state in reports(settings).values()
    )


def refuse_mixture(settings: Settings) -> None:
    """Keep replayed bars and real ones of the same symbol out of one lake.

    Raises:
        MixedLakeError: the replay has been played into the lake that is to follow real symbols, or the other way round.
    """
    remedy = "Choose another folder with FINANCELAKE_DATA_DIR, or empty this lake with `financelake reset`."
    played = read_state(settings)
    if played is not None and played.provider == "replay" and played.published and followed_providers(settings):
        raise MixedLakeError(
            f"The lake in {settings.data_dir} holds a replay. Real symbols must not be mixed with it.", remedy=remedy
        )
    if chosen(settings) == "replay" and _has_followed(settings):
        raise MixedLakeError(
            f"The lake in {settings.data_dir} holds real symbols. A replay must not be mixed with them.", remedy=remedy
        )


def _has_followed(settings: Settings) -> bool:
    """Whether a feed of real symbols has ever run in this lake."""
    return any(settings.run_dir.glob(f"{PREFIX}*.json"))


def _providers(file: Path) -> tuple[str, ...] | None:
    """The providers that a universe file asks to follow; ``None`` where it cannot be told."""
    try:
        facts = file.stat()
    except OSError:
        return None if file.is_symlink() else ()
    return _read(file, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=4)
def _read(file: Path, changed: int, size: int) -> tuple[str, ...] | None:  # noqa: ARG001  # they tell that it is another
    try:
        content = yaml.safe_load(file.read_text("utf-8"))
        default = (content.get("defaults") or {}).get("provider")
        found = {str(one.get("provider", default)) for one in content["symbols"] if one.get("provider", default)}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, KeyError, TypeError):
        return None
    # a name is a process's name too, and stands in the supervisor's configuration
    return tuple(sorted(name for name in found if name not in NOT_FOLLOWED and _NAME.fullmatch(name)))
