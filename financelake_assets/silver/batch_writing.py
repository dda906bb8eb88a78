"""Batch writing: a bounded set of messages judged and written, whole or, where that fails, in parts.

Input: messages as Spark's Kafka source gives them, and the offsets that they were read from. Output: silver, which
counts each of them once, and the holes between them confirmed and noted. The stream and the back-fill write by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from pyspark.sql import DataFrame

from financelake_assets.silver import batches, committing, culprits, holes, reading, splitting
from financelake_assets.silver.holes import Holes, Seen
from financelake_assets.silver.ranges import Ranges, span
from financelake_assets.silver.sources import StillTheSame
from financelake_assets.silver.splitting import Begun
from financelake_assets.silver.staged import Executors
from financelake_assets.silver.writing import TopicIds
from financelake_assets.storage.open_tables import OpenTables


class BatchWriter:
    """Writes batches of a lake's topics, and keeps what it needs for the next one.

    Args:
        tables: of the lake.
        ids: the broker's id of each topic.
    """

    def __init__(self, tables: OpenTables, ids: TopicIds) -> None:
        self._tables, self._ids = tables, ids
        self._refuse_other_topics = StillTheSame(tables.settings, ids)
        self._executors = Executors()

    def write(
        self,
        messages: DataFrame,
        ranges: Ranges,
        begun: Begun,
        note: Callable[[Begun], None] = lambda _: None,
    ) -> int:
        """Write a batch, whole or, where it fails for what it holds or was begun again and again, in parts.

        Args:
            messages: rows as Spark's Kafka source gives them, headers included.
            ranges: the offsets that they were read from.
            begun: what is known of the batch.
            note: remembers what is known, before each part.

        Returns:
            How many messages the ranges hold.

        Raises:
            SkippedError: Spark was not given a message that the broker has. Nothing of that part was written.
            CheckpointError: a topic was made again; nothing of it was written.
        """
        if begun.starts < splitting.WHOLE_STARTS:
            try:
                return self._whole(messages, ranges)
            except Exception as error:
                if not culprits.may_be_of_messages(error):
                    raise
        counts: list[int] = []
        splitting.in_parts(
            ranges,
            begun,
            note,
            lambda part: counts.append(self._whole(self._part(messages, part), part)),
            lambda part, error: counts.append(self._refuse(messages, part, error)),
            culprits.may_be_of_messages,
        )
        return sum(counts)

    def _whole(self, messages: DataFrame, ranges: Ranges) -> int:
        found = write_batch(self._tables, messages, ranges, self._ids, self._executors, self._refuse_other_topics)
        holes.note(self._tables, found, self._ids)
        return span(ranges) - sum(end - first for gaps in found.values() for first, end in gaps)

    def _part(self, messages: DataFrame, part: Ranges) -> DataFrame:
        return reading.part_of(messages, part, self._tables.settings)

    def _refuse(self, messages: DataFrame, part: Ranges, error: BaseException | None) -> int:
        """Refuse the one message of a part; with the error where it fails, without where it ended the process."""
        self._refuse_other_topics()
        universe, version = batches.universe_for(self._tables, part, self._ids)
        found = None
        if error is not None:
            found = reading.alone(self._part(messages, part))
            # where there is no message, none is to blame
            if found.is_empty() or not culprits.is_culprit(error, found, universe):
                raise error
        committing.write_refused(self._tables, culprits.refused(part, found), self._ids, version)
        return 1


def write_batch(
    tables: OpenTables,
    messages: DataFrame,
    ranges: Ranges,
    ids: TopicIds,
    executors: Executors,
    refuse_other_topics: Callable[[], None] = lambda: None,
) -> Holes:
    """Clean a bounded set of messages and write what they change in silver. Doing it again changes nothing.

    Args:
        tables: of the lake.
        messages: rows as Spark's Kafka source gives them, headers included.
        ranges: the offsets that they were read from.
        ids: the broker's id of each topic.
        executors: which stage a large batch.
        refuse_other_topics: raises where those are no longer the topics that the messages were read from.

    Returns:
        The offsets of the ranges that are no messages.

    Raises:
        SkippedError: Spark was not given a message that the broker has. Nothing was written then.
    """
    universe, version = batches.universe_for(tables, ranges, ids)
    count = span(ranges)
    stages = count > reading.SMALL and executors.usable and batches.is_new(tables, ranges, ids)
    staged = executors.stage(tables, messages, universe, ids) if stages else None
    if staged is not None:
        refuse_other_topics()
        found = _confirmed(tables, staged.seen, ranges)
        committing.write_staged(tables, staged, ranges, ids, version)
        return found
    judged = reading.judged(messages, universe, count)
    refuse_other_topics()
    found = _confirmed(tables, holes.seen(judged), ranges)
    committing.write_cleaned(tables, judged, ids, version, partial(reading.raw_of, messages))
    if stages:
        # what they could not stage could be written, so it was not for the messages
        executors.usable = False
    return found


def _confirmed(tables: OpenTables, seen: Sequence[Seen], ranges: Ranges) -> Holes:
    found = holes.find(seen, ranges)
    holes.confirm(tables.settings, found)
    return found
