"""Ranges of offsets: what a batch, a part of one or a back-fill reads of the topics."""

from __future__ import annotations

from collections.abc import Mapping

Ranges = Mapping[str, Mapping[int, tuple[int, int]]]
"""First and end offset per topic and partition."""


def span(ranges: Ranges) -> int:
    """How many offsets ranges have."""
    return sum(end - first for of in ranges.values() for first, end in of.values())
