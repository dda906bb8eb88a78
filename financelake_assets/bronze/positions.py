"""Where a load stands, kept in Kafka itself, beside what it describes.

Input: a load's name. Output: which of its rows are on the topics, exactly, even if the publisher was killed.

Each message carries its load and its row's sequence number in headers. Before its first message, and then every few
seconds when all messages are acknowledged, the load writes a record to a compacted topic: *all rows before n are
published, and the topics ended at these offsets*. After a crash only what lies behind those offsets is read, to see
which rows beyond n arrived too. A file or a table could say something else than the broker after a crash of either;
this cannot. The record is what remains when retention has removed the messages, and it is void when a topic was
deleted and made again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from financelake_assets.bronze.reading import Span, header, read
from financelake_assets.bronze.topics import BRONZE, DEAD_LETTERS, POSITIONS, topic_ids, watermarks
from financelake_assets.config import Settings

Ends = Mapping[str, Mapping[int, int]]


@dataclass(frozen=True)
class LoadPosition:
    """Rows before ``published`` are on the topics, and so are those in ``beyond``."""

    published: int
    beyond: frozenset[int]


def encode_record(published: int, ends: Ends, ids: Mapping[str, str]) -> str:
    """A load's record: rows before ``published`` are on the topics with these ids, which ended at these offsets."""
    return json.dumps({"published": published, "ends": ends, "topics": dict(ids)})


def decode_record(text: str, ids: Mapping[str, str]) -> tuple[int, dict[str, dict[int, int]]]:
    """What a record says; nothing published, from the topics' beginning, if it speaks of topics that are gone."""
    record = json.loads(text)
    if record["topics"] != dict(ids):
        return 0, {}
    ends = {topic: {int(part): end for part, end in parts.items()} for topic, parts in record["ends"].items()}
    return int(record["published"]), ends


def find(settings: Settings, load: str) -> LoadPosition | None:
    """Where a load stands now; ``None`` when it has never begun.

    Raises:
        BrokerUnavailableError: the broker could not be asked.
    """
    text = last_record(settings, load)
    if text is None:
        return None
    published, since = decode_record(text, topic_ids(settings))
    spans = spans_behind(settings, since)
    beyond = {
        int(sequence)
        for message in read(settings, spans)
        if header(message, "load") == load and (sequence := header(message, "sequence"))
    }
    while published in beyond:
        published += 1
    return LoadPosition(published, frozenset(row for row in beyond if row > published))


def spans_behind(settings: Settings, since: Ends) -> dict[tuple[str, int], Span]:
    """What of the topics lies behind some offsets; all that is there, where there is none. Raises as ``find`` does."""
    marks = watermarks(settings, (*BRONZE, DEAD_LETTERS))
    return {
        (topic, partition): (max(low, since.get(topic, {}).get(partition, low)), high)
        for topic, partitions in marks.items()
        for partition, (low, high) in partitions.items()
    }


def ends(settings: Settings) -> Ends:
    """Where the topics end now; raises as ``find`` does."""
    marks = watermarks(settings, (*BRONZE, DEAD_LETTERS))
    return {topic: {partition: high for partition, (_, high) in parts.items()} for topic, parts in marks.items()}


def last_record(settings: Settings, load: str) -> str | None:
    """The newest record of a load as it was written; ``None`` when it has none. Raises as ``find`` does."""
    marks = watermarks(settings, (POSITIONS,))[POSITIONS]
    last = None
    for message in read(settings, {(POSITIONS, partition): span for partition, span in marks.items()}):
        key, value = message.key(), message.value()
        if key is not None and value is not None and key == load.encode():
            last = value.decode() if isinstance(value, bytes) else value
    return last
