"""Sizing: how many messages a micro-batch may have, so that it is bounded in bytes as well.

Input: where the query stands on its topics. Output: a number of offsets. Spark's Kafka source takes a bound in offsets
and none in bytes; so the messages that wait are sampled when the query starts, in their size without compression.
"""

from __future__ import annotations

from collections.abc import Mapping

from financelake_assets.bronze.reading import read
from financelake_assets.config import Settings

Marks = Mapping[str, Mapping[int, tuple[int, int]]]

FEW = 1_000
"""Messages. Fewer make no large batch, whatever they are, and need no sample."""
SAMPLE = 5
"""Messages at each end of what waits on a partition."""


def offsets_per_batch(settings: Settings, consumed: Mapping[str, Mapping[int, int]], marks: Marks) -> int:
    """The most offsets of a micro-batch by both settings, ``max_offsets_per_trigger`` and ``max_bytes_per_trigger``.

    Args:
        settings: the lake.
        consumed: per topic and partition, the first offset that is not committed.
        marks: low and high watermark of each partition.

    Raises:
        BrokerUnavailableError: the messages could not be read.
    """
    waits = {
        (topic, part): (max(low, consumed.get(topic, {}).get(part, low)), high)
        for topic, parts in marks.items()
        for part, (low, high) in parts.items()
    }
    most = settings.spark.max_offsets_per_trigger
    if sum(max(0, high - first) for first, high in waits.values()) <= FEW:
        return most
    heads = {place: (first, min(high, first + SAMPLE)) for place, (first, high) in waits.items()}
    tails = {place: (max(first, high - SAMPLE), high) for place, (first, high) in waits.items()}
    return most_offsets(most, settings.spark.max_bytes_per_trigger, _mean_sizes(settings, [heads, tails]))


def most_offsets(most: int, most_bytes: int, mean_sizes: Mapping[tuple[str, int], float]) -> int:
    """Offsets by the partition whose messages are largest: a batch may be of it alone."""
    largest = max(mean_sizes.values(), default=0.0)
    # a mean below one byte is of messages that are nearly all empty
    return max(1, min(most, int(most_bytes / max(1.0, largest))))


def _mean_sizes(
    settings: Settings, spans: list[dict[tuple[str, int], tuple[int, int]]]
) -> dict[tuple[str, int], float]:
    sizes: dict[tuple[str, int], list[int]] = {}
    for span in spans:
        for message in read(settings, span):
            size = len(message.value() or b"") + len(message.key() or b"")
            sizes.setdefault((str(message.topic()), int(message.partition() or 0)), []).append(size)
    return {place: sum(found) / len(found) for place, found in sizes.items()}
