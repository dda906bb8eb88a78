"""What a browser already shows, so that only what changed is sent.

Input: the pieces of a view and the digests of those that the browser has. Output: for each piece the new value, a
patch, or nothing. The last figures sent are remembered for all visitors together, bounded.
"""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import orjson
from cachetools import LRUCache
from dash import Patch, no_update

Digests = dict[str, str]

FIGURE = "figure"
"""The piece that is plain by itself."""

_FEW = 4
"""So many elements of a list may leave or differ for the rest to be left where it is."""


def digest(value: Any) -> str:
    """A short fingerprint of anything that Dash can send."""
    return _fingerprint(_written(value))


def _fingerprint(written: bytes) -> str:
    return hashlib.blake2b(written, digest_size=9).hexdigest()


def _written(value: Any) -> bytes:
    return orjson.dumps(value, default=lambda component: component.to_plotly_json())


class Pieces(dict[str, Any]):
    """The pieces of a view as plain values, with their digests: both are worked out once for all visitors.

    Components become what Dash sends of them, because Dash writes plain values several times as fast.
    """

    def __init__(self, **pieces: Any) -> None:
        super().__init__()
        self.digests: Digests = {}
        for name, value in pieces.items():
            written = _written(value)
            self.digests[name] = _fingerprint(written)
            self[name] = value if name == FIGURE else orjson.loads(written)


def only_new(pieces: dict[str, Any], seen: Digests | None) -> tuple[dict[str, Any], Digests]:
    """Replace each piece that the browser has by ``no_update``; also gives the digests that it will have then."""
    have, whole = seen or {}, pieces if isinstance(pieces, Pieces) else Pieces(**pieces)
    kept = {name: no_update if have.get(name) == whole.digests[name] else value for name, value in whole.items()}
    return kept, dict(whole.digests)


class SentFigures:
    """The newest figures sent, by digest, so that a browser that has one gets a patch. Safe for threads."""

    def __init__(self, size: int) -> None:
        self._figures: LRUCache[str, dict[str, Any]] = LRUCache(size)
        self._lock = threading.Lock()

    def send(self, figure: dict[str, Any], own: str, had: str | None) -> Any:
        """What a browser needs to show a figure.

        Args:
            figure: what it shall show.
            own: the digest of that figure.
            had: the digest of the figure that the browser shows; ``None`` where it shows none.

        Returns:
            ``no_update``, a patch, or the whole figure.
        """
        with self._lock:
            before = self._figures.get(had or "")
            self._figures[own] = figure
        return no_update if had == own else figure_patch(before, figure)


def figure_patch(before: dict[str, Any] | None, after: dict[str, Any]) -> Any:
    """The change from one figure to the next: only the attributes of traces that differ, the layout untouched.

    Of a list that moved on, only what left at its front and what differs at its end: a new bar is a new bar, and not
    every bar again. This needs to be applied exactly once; what the browser has and what it says that it has come with
    the same answer, so it is.

    Returns:
        A patch; or the whole figure where the layout or the kind of traces changed, or nothing is known of before.
    """
    if before is None or before["layout"] != after["layout"] or _kinds(before) != _kinds(after):
        return after
    patch = Patch()
    for position, (old, new) in enumerate(zip(before["data"], after["data"], strict=True)):
        for name, value in new.items():
            if old.get(name) != value:
                _change(patch["data"][position], name, old.get(name), value)
    return patch.to_plotly_json()


def _change(trace: Any, name: str, old: Any, new: Any) -> None:
    """Note on a patch of a trace how an attribute becomes another value."""
    moved = shift(old, new) if isinstance(old, list) and isinstance(new, list) else None
    if moved is None:
        trace[name] = new
        return
    dropped, kept = moved
    for _ in range(dropped):
        del trace[name][0]
    for _ in range(len(old) - dropped - kept):
        del trace[name][kept]
    if kept < len(new):
        trace[name].extend(new[kept:])


def shift(old: list[Any], new: list[Any]) -> tuple[int, int] | None:
    """How a list moved on: how many elements left at its front, and how many of the others stay before what differs.

    ``None`` where more than a few left or differ, so that the new list is the better message.
    """
    for dropped in range(_FEW + 1):
        longest = min(len(old) - dropped, len(new))
        for kept in range(longest, longest - _FEW - 1, -1):
            few = len(new) - kept <= _FEW and len(old) - dropped - kept <= _FEW
            if few and kept > _FEW and old[dropped : dropped + kept] == new[:kept]:
                return dropped, kept
    return None


def _kinds(figure: dict[str, Any]) -> list[tuple[str, ...]]:
    return [(trace["type"], *sorted(trace)) for trace in figure["data"]]
