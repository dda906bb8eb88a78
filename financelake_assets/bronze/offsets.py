"""Offsets and watermarks of topics, and the lag between them. Pure."""

from __future__ import annotations

from collections.abc import Mapping

Watermarks = Mapping[str, Mapping[int, tuple[int, int]]]
"""Low and high offset per topic and partition."""


Offsets = Mapping[str, Mapping[int, int]]
"""One offset per topic and partition."""


def lag(consumed: Offsets, now: Watermarks) -> dict[str, dict[int, int]]:
    """Messages on the topics that the consumer has not committed, per topic and partition."""
    return {
        topic: {
            partition: max(0, high - max(low, consumed.get(topic, {}).get(partition, low)))
            for partition, (low, high) in partitions.items()
        }
        for topic, partitions in now.items()
    }
