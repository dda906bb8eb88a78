"""What is usual: how far past stretches of bars were from all the others, as pure functions of frames.

Input: the features that a version learnt from, in order of time. Output: for stretches of several lengths, the limits
that one in a hundred of them went beyond. Few bars of a market that has not changed differ much from all of its past:
features move slowly, so some hundred bars are worth few independent ones. A limit that does not depend on how many
bars there are takes each such stretch for another market.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from financelake_assets.model.metrics import Floats

LENGTHS = (200, 400, 800, 1_600)
"""Lengths of stretches, in bars of all symbols."""

_LEAST_STRETCHES = 5
"""A length that fits into the past fewer times than this has no limit."""

_MOST_STRETCHES = 200
_RARE = 0.99
_FLOOR = 1e-4  # a share of 0 has no logarithm

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Usual:
    """Limits of stretches of so many bars: ``psi`` of each feature, and the share of bars beyond all before."""

    length: int
    psi: Mapping[str, float]
    outliers: float


def usual(values: Mapping[str, Floats], edges: Mapping[str, Floats]) -> list[Usual]:
    """The limits that one in a hundred past stretches went beyond, the shortest first.

    Args:
        values: of each feature, in order of time.
        edges: of each feature's bins.

    Returns:
        Limits of those ``LENGTHS`` that fit into the past often enough.
    """
    rows = len(next(iter(values.values()), np.empty(0)))
    lengths = [length for length in LENGTHS if rows >= _LEAST_STRETCHES * length]
    found = {length: _starts(rows, length) for length in lengths}
    psi: dict[int, dict[str, float]] = {length: {} for length in lengths}
    for name, own in values.items():
        counts = _counts_until(np.searchsorted(edges[name], own), len(edges[name]) + 1)
        for length, starts in found.items():
            psi[length][name] = float(np.quantile(_apart(counts, starts, length), _RARE))
    table = np.column_stack(list(values.values())) if lengths else np.empty((0, 0))
    return [Usual(length, psi[length], _outliers(table, starts, length)) for length, starts in found.items()]


def limits(known: list[Usual], rows: int) -> Usual | None:
    """Those for so many bars: of the longest stretches that are not longer, which differ more; ``None`` without any."""
    return max((one for one in known if one.length <= rows), key=lambda one: one.length, default=None)


def psi(expected: Floats, found: Floats) -> Floats:
    """Population stability index, ``Σ(q-p)·log(q/p)`` over the last axis."""
    p, q = np.maximum(expected, _FLOOR), np.maximum(found, _FLOOR)
    return np.asarray(np.sum((q - p) * np.log(q / p), axis=-1), dtype=np.float64)


def _starts(rows: int, length: int) -> Counts:
    many = min(_MOST_STRETCHES, 2 * rows // length)
    return np.unique(np.linspace(0, rows - length, many).astype(np.int64))


def _counts_until(place: Counts, bins: int) -> Counts:
    """How many rows before each place fell into each bin."""
    hit = place[:, None] == np.arange(bins)
    return np.concatenate([np.zeros((1, bins), np.int64), np.cumsum(hit, axis=0)])


def _apart(until: Counts, starts: Counts, length: int) -> Floats:
    """The index of each stretch against all bars that are not in it."""
    inside = until[starts + length] - until[starts]
    outside = until[-1] - inside
    return psi(outside / outside.sum(axis=1, keepdims=True), inside / length)


def _outliers(table: Floats, starts: Counts, length: int) -> float:
    """The share of bars beyond all before their stretch; of the later half, as early bars have little before them."""
    least, greatest = np.minimum.accumulate(table), np.maximum.accumulate(table)
    shares = []
    for start in starts[starts >= len(table) // 2]:
        rows = table[start : start + length]
        shares.append(float(np.mean(((rows < least[start - 1]) | (rows > greatest[start - 1])).any(axis=1))))
    return float(np.quantile(shares, _RARE)) if shares else 1.0
