"""What is on a topic, for people: sizes, rate, lag, the newest messages.

Input: settings and a topic. Output: plain values for Dagster's UI. Reads a handful of messages and no more.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from financelake_assets.bronze.reading import header, read
from financelake_assets.bronze.topics import offsets_at, watermarks
from financelake_assets.config import Settings

_RATE_SECONDS = 60
_SAMPLES = 3


@dataclass(frozen=True)
class Contents:
    """A topic now. ``bytes_on_disk`` is ``None`` where the broker's disk is not this machine's."""

    messages: int
    bytes_on_disk: int | None
    messages_per_second: float
    newest_event_time: str | None
    newest_produced_at: str | None
    samples: list[dict[str, Any]]
    lag: Mapping[str, int]


def contents(settings: Settings, topic: str, consumed: Mapping[str, Mapping[int, int]]) -> Contents:
    """Look into a topic.

    Args:
        settings: the lake.
        topic: the topic.
        consumed: per consumer and partition, the first offset that it has not committed.

    Raises:
        BrokerUnavailableError: the broker could not be asked.
    """
    marks = watermarks(settings, (topic,))[topic]
    minute_ago = offsets_at(settings, topic, int((time.time() - _RATE_SECONDS) * 1000))
    recent = sum(high - minute_ago.get(partition, high) for partition, (_, high) in marks.items())
    tails = {(topic, partition): (max(low, high - _SAMPLES), high) for partition, (low, high) in marks.items()}
    samples = [_sample(message) for message in read(settings, tails)]
    return Contents(
        messages=sum(high - low for low, high in marks.values()),
        bytes_on_disk=bytes_on_disk(settings, topic),
        messages_per_second=round(recent / _RATE_SECONDS, 3),
        newest_event_time=max((str(one["event_time"]) for one in samples if one["event_time"]), default=None),
        newest_produced_at=max((str(one["produced_at"]) for one in samples if one["produced_at"]), default=None),
        samples=samples[-_SAMPLES:],
        lag={
            name: sum(max(0, high - max(low, offsets.get(part, low))) for part, (low, high) in marks.items())
            for name, offsets in consumed.items()
        },
    )


def bytes_on_disk(settings: Settings, topic: str) -> int | None:
    """What a topic's log segments take on the lake's own broker; ``None`` for a broker elsewhere."""
    data = Path(settings.data_dir) / "kafka" / "data"
    if settings.kafka.bootstrap is not None or not data.is_dir():
        return None
    # the folders of a deleted topic stay for a while, under another name
    partitions = [folder for folder in data.glob(f"{topic}-*") if folder.name.removeprefix(f"{topic}-").isdigit()]
    return sum(segment.stat().st_size for folder in partitions for segment in folder.glob("*.log"))


def _sample(message: Any) -> dict[str, Any]:
    text = (message.value() or b"").decode(errors="replace")
    try:
        value = json.loads(text)
        event_time = value.get("event_time") if isinstance(value, dict) else None
    except ValueError:
        event_time = None
    return {
        "partition": message.partition(),
        "offset": message.offset(),
        "event_time": event_time,
        "produced_at": header(message, "produced_at"),
        "provider": header(message, "provider"),
        "value": text[:500],
    }
