"""The state of the lake's feeds, as the page shows it.

Input: the files in which the feeds say how far they are. Output: a ``FeedView``, in which only what a page shows counts
as a change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from financelake_assets.bronze.feed_choice import reports
from financelake_assets.bronze.feed_state import read_state
from financelake_assets.bronze.market_feed_state import MarketFeedState
from financelake_assets.config import Settings


@dataclass(frozen=True)
class FeedView:
    """State of the lake's feeds: the replay's phase and the share of its rows that it has published, and the markets'.

    ``standing`` is what counts as a change of the latter: their numbers change every second.
    """

    phase: str | None = None
    progress: float | None = None
    standing: tuple[tuple[object, ...], ...] = ()
    markets: Mapping[str, MarketFeedState] = field(default_factory=dict, compare=False)


def read_feed(settings: Settings) -> FeedView:
    """The state of the lake's feeds; empty if there is none."""
    try:
        said, markets = read_state(settings), reports(settings)
    except (OSError, ValueError, TypeError):  # of another release, or partly written
        return FeedView()
    standing = tuple(
        (provider, state.problem, state.live.get("connected"), *((s, one["state"]) for s, one in state.symbols.items()))
        for provider, state in markets.items()
    )
    if said is None:
        return FeedView(standing=standing, markets=markets)
    progress = round(said.published / said.total, 3) if said.total else None
    return FeedView(said.phase, progress, standing, markets)
