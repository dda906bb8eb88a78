"""The parts that a browser already shows, so that the server sends only changes.

Input: the pieces of a view and the digests of those that the browser has. Output: for each piece the new value, a
patch, or nothing. The last figures that were sent are kept for all visitors together, up to a limit.
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
"""The name of the piece that consists of plain values already."""

_FEW = 4
"""If more elements of a list leave or differ, the whole list is sent."""


def digest(value: Any) -> str:
    """A short fingerprint of any value that Dash can send."""
    return _fingerprint(_written(value))


def _fingerprint(written: bytes) -> str:
    return hashlib.blake2b(written, digest_size=9).hexdigest()


def _written(value: Any) -> bytes:
    return orjson.dumps(value, default=lambda component: component.to_plotly_json())


class Written:
    """A piece as plain values, with its digest, to be kept where it stays the same from one snapshot to the next.

    Components are converted to plain values, because Dash serialises plain values several times as fast.
    """

    def __init__(self, piece: Any) -> None:
        written = _written(piece)
        self.digest = _fingerprint(written)
        self.value = orjson.loads(written)


class Pieces(dict[str, Any]):
    """The pieces of a view as plain values, with their digests; both are computed once for all visitors."""

    def __init__(self, **pieces: Any) -> None:
        super().__init__()
        self.digests: Digests = {}
        for name, value in pieces.items():
            if name == FIGURE:
                self.digests[name], self[name] = digest(value), value
            else:
                one = value if isinstance(value, Written) else Written(value)
                self.digests[name], self[name] = one.digest, one.value


def only_new(pieces: dict[str, Any], seen: Digests | None) -> tuple[dict[str, Any], Digests]:
    """Replace each piece that the browser has by ``no_update``; also return the digests that it will have then."""
    have, whole = seen or {}, pieces if isinstance(pieces, Pieces) else Pieces(**pieces)
    kept = {name: no_update if have.get(name) == whole.digests[name] else value for name, value in whole.items()}
    return kept, dict(whole.digests)


class SentFigures:
    """The newest figures that were sent, by digest, so that a browser that has one gets a patch. Thread-safe."""

    def __init__(self, size: int) -> None:
        self._figures: LRUCache[str, dict[str, Any]] = LRUCache(size)
        self._lock = threading.Lock()

    def send(self, figure: dict[str, Any], own: str, had: str | None) -> Any:
        """What a browser needs to show a figure.

        Args:
            figure: the new figure.
            own: the digest of that figure.
            had: the digest of the figure that the browser shows; ``None`` if it shows none.

        Returns:
            ``no_update``, a patch, or the whole figure.
        """
        with self._lock:
            before = self._figures.get(had or "")
            self._figures[own] = figure
        return no_update if had == own else figure_patch(before, figure)


def figure_patch(before: dict[str, Any] | None, after: dict[str, Any]) -> Any:
    """The change from one figure to the next: only the attributes of traces that differ; the layout is unchanged.

    For a list that moved on, only how many elements left at its front and what differs at its end. So a new bar costs
    one bar, not all bars. A patch must be applied exactly once. The browser's figure and its digest arrive in the same
    answer, so this holds.

    Returns:
        A patch; or the whole figure if the layout or the kind of traces changed, or if the old figure is unknown.
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
    """Add to a patch of a trace how an attribute gets its new value."""
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
    """How a list moved on: how many elements left at its front, and how many of the others stay unchanged.

    ``None`` if more than a few left or differ, because sending the new list is then better.
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
