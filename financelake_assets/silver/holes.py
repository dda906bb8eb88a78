"""Holes: offsets of a batch that are no messages, by what Spark was given and by what the broker says itself.

Input: which messages Spark gave of each partition, and the ranges of the batch. Output: the holes, confirmed and noted
in the log of silver/sources. A transaction's end takes an offset; what was aborted or compacted leaves a hole. The
ledger counts messages, so holes are counted here. A message that Spark's source left out in silence would look the
same; so the broker is asked for each hole by a plain consumer, before anything of the batch is written.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

import msgspec
import polars as pl
from confluent_kafka import Message
from deltalake import CommitProperties, DeltaTable, Transaction

from financelake_assets.bronze.reading import Span, read
from financelake_assets.bronze.topics import watermarks
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.silver import schema
from financelake_assets.silver.merging import ARRIVAL
from financelake_assets.silver.ranges import Ranges
from financelake_assets.silver.writing import TopicIds
from financelake_assets.storage.delta import retried
from financelake_assets.storage.open_tables import OpenTables

Holes = Mapping[tuple[str, int], Sequence[Span]]
"""Per topic and partition, in order: the first offset of each hole, and the offset behind it."""

_SHOWN = 5


class SkippedError(FinanceLakeError, RuntimeError):
    """Spark was not given every message of a batch, or the broker can no longer say whether it was."""


class Seen(msgspec.Struct, frozen=True):
    """What a task was given of a partition: from ``first`` up to ``end``, without what lies in the gaps."""

    topic: str
    partition: int
    first: int
    end: int
    messages: int
    gaps: list[Span]


def seen(places: pl.DataFrame) -> list[Seen]:
    """What some messages are of each partition.

    Args:
        places: topic, partition and offset of each message.

    Raises:
        SkippedError: a message is there twice.
    """
    ordered = places.select(ARRIVAL).sort(ARRIVAL)
    before = pl.col("offset").shift(1).over("topic", "partition")
    steps = ordered.with_columns(before=before).filter(pl.col("offset") - pl.col("before") != 1)
    twice = steps.filter(pl.col("offset") == pl.col("before"))
    if not twice.is_empty():
        raise SkippedError(f"Spark gave a message twice: {_text(*twice.select(ARRIVAL).row(0))}.")
    gaps: dict[tuple[str, int], list[Span]] = {}
    for topic, partition, offset, last in steps.iter_rows():
        gaps.setdefault((topic, partition), []).append((last + 1, offset))
    bounds = ordered.group_by("topic", "partition", maintain_order=True).agg(
        first=pl.col("offset").min(), end=pl.col("offset").max() + 1, messages=pl.len()
    )
    return [
        Seen(topic, partition, first, end, messages, gaps.get((topic, partition), []))
        for topic, partition, first, end, messages in bounds.iter_rows()
    ]


def find(parts: Sequence[Seen], ranges: Ranges) -> Holes:
    """The offsets of ranges that Spark gave no message of.

    Args:
        parts: what each task was given.
        ranges: of the batch.

    Raises:
        SkippedError: a message was given twice, or is of no range.
    """
    given: dict[tuple[str, int], list[Seen]] = {}
    for part in parts:
        given.setdefault((part.topic, part.partition), []).append(part)
    wanted = {(topic, part): span for topic, of in ranges.items() for part, span in of.items()}
    for topic, partition in given.keys() - wanted.keys():
        raise SkippedError(f"Spark gave messages of {topic}/{partition}, which is not of the batch.")
    found = {place: _gaps(span, given.get(place, [])) for place, span in wanted.items()}
    return {place: gaps for place, gaps in found.items() if gaps}


def _gaps(span: Span, parts: Sequence[Seen]) -> list[Span]:
    at, gaps = span[0], []
    for part in sorted(parts, key=lambda part: part.first):
        if part.first < at or part.end > span[1]:
            raise SkippedError(
                f"Spark gave {_text(part.topic, part.partition, part.first)} to {part.end - 1} of a batch that goes "
                f"on at {at} and ends before {span[1]}."
            )
        gaps += [(at, part.first), *part.gaps]
        at = part.end
    return [(first, end) for first, end in [*gaps, (at, span[1])] if first < end]


def confirm(settings: Settings, holes: Holes) -> None:
    """Let the broker say that there are no messages in the holes.

    Raises:
        SkippedError: there is one, or retention has deleted the place.
        BrokerUnavailableError: the broker could not be asked.
    """
    if not holes:
        return
    spans = {place: (gaps[0][0], gaps[-1][1]) for place, gaps in holes.items()}
    there = [
        (topic, partition, offset)
        for topic, partition, offset in map(_place, read(settings, spans))
        if _inside(offset, holes[topic, partition])
    ]
    if there:
        shown = ", ".join(_text(*place) for place in there[:_SHOWN]) + (", …" if len(there) > _SHOWN else "")
        raise SkippedError(
            f"Spark was not given messages that the broker has: {shown} ({len(there)} in all). Nothing of this batch "
            "was written; it is read again when the query is started again."
        )
    marks = watermarks(settings, sorted({topic for topic, _ in spans}))
    for (topic, partition), (first, _) in spans.items():
        if marks[topic][partition][0] > first:
            raise SkippedError(
                f"Spark was given no message of {_text(topic, partition, first)}, and retention has deleted the place "
                "since: nobody can say whether there was one. Publish that range again from its source, and remove "
                "silver's checkpoint to go on from what is left."
            )


def note(tables: OpenTables, holes: Holes, ids: TopicIds) -> None:
    """Note how many offsets of a batch were no messages. Doing it again changes nothing.

    Args:
        tables: of the lake.
        holes: of the batch.
        ids: of its topics.
    """
    if not holes:
        return

    def attempt() -> None:
        table = tables.newest(schema.SOURCES)
        noted: list[Transaction] = []
        for (topic, part), gaps in holes.items():
            name = f"{topic}/{part}@{ids[topic]}"
            begin = table.transaction_version(_upto(name)) or 0
            found = sum(max(0, end - max(begin, first)) for first, end in gaps)
            if found:
                before = table.transaction_version(_holes(name)) or 0
                noted += [Transaction(_holes(name), before + found), Transaction(_upto(name), gaps[-1][1])]
        if noted:
            properties = CommitProperties(app_transactions=noted)
            table.create_write_transaction([], "append", table.schema(), commit_properties=properties)

    retried(attempt)


def noted(table: DeltaTable, topic: str, partition: int, topic_id: str) -> int:
    """How many offsets of a partition, of those that silver has read, were no messages.

    Args:
        table: silver/sources.
        topic: of the partition.
        partition: its number.
        topic_id: the broker's id of the topic.
    """
    return table.transaction_version(_holes(f"{topic}/{partition}@{topic_id}")) or 0


def _place(message: Message) -> tuple[str, int, int]:
    return str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)


def _inside(offset: int, gaps: Sequence[Span]) -> bool:
    at = bisect_right(gaps, offset, key=lambda gap: gap[0]) - 1
    return at >= 0 and offset < gaps[at][1]


def _text(topic: str, partition: int, offset: int) -> str:
    return f"{topic}/{partition}/{offset}"


def _holes(name: str) -> str:
    return f"holes:{name}"


def _upto(name: str) -> str:
    return f"holes-up-to:{name}"
