"""Splitting: a micro-batch that cannot be done whole is done in parts, down to the one message that stops it.

Input: a batch's offsets and a function that does a part. Output: every part done, and each message that fails alone
given to another function, which refuses it. A part is noted in a file before it is begun: a message that does not raise
an error but ends the process, or lets it hang, is found all the same, by the part that was begun and never done.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from financelake_assets.files import read_json, write_whole
from financelake_assets.silver.ranges import Ranges, span

FIRST_PART = 1_000
"""Offsets of a part at first, over all partitions."""
WHOLE_STARTS = 2
"""So often a batch is begun whole before it is cut: most that fail do so for another reason than their messages."""
ALONE_STARTS = 3
"""So often a message is begun alone before it is refused unread."""
FINER = 10
"""Into so many parts one is cut that was begun and not done."""
MOST_IN_A_ROW = 100
"""So many messages are refused with none done between. More are no fault of the messages, and the error is raised."""


@dataclass(frozen=True)
class Begun:
    """What is known of a batch that was begun before: how often, up to which offsets it is done, what was in work."""

    batch: int
    starts: int = 0
    done: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    suspect: Ranges = field(default_factory=dict)
    suspected: int = 0


class Notes:
    """The file that remembers how often a batch was begun and which part of it was in work."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def of(self, batch: int) -> Begun:
        """What is known of a batch; nothing, when the notes are of another one or damaged."""
        found = read_json(self._file)
        if found is None or found.get("batch") != batch:
            return Begun(batch)
        try:
            return Begun(
                batch,
                int(found["starts"]),
                {topic: {int(part): int(end) for part, end in of.items()} for topic, of in found["done"].items()},
                _as_ranges(found["suspect"]),
                int(found["suspected"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            return Begun(batch)

    def write(self, begun: Begun) -> None:
        """Remember; a crash right behind this finds it."""
        write_whole(self._file, json.dumps(begun.__dict__))

    def forget(self) -> None:
        """Know nothing of any batch: those of a new checkpoint have the numbers of others."""
        self._file.unlink(missing_ok=True)

    def begin_again(self, batch: int) -> Begun:
        """Note that a batch which was planned before is begun once more."""
        before = self.of(batch)
        begun = replace(before, starts=before.starts + 1)
        self.write(begun)
        return begun


def in_parts(
    ranges: Ranges,
    begun: Begun,
    note: Callable[[Begun], None],
    do: Callable[[Ranges], None],
    refuse: Callable[[Ranges, BaseException | None], None],
    is_of_messages: Callable[[BaseException], bool],
) -> None:
    """Do a batch in parts, in the order of its offsets.

    Args:
        ranges: of the batch.
        begun: what is known of it.
        note: remembers what is known, before each part.
        do: does a part; doing it again changes nothing.
        refuse: refuses a single message that fails alone, with the error, or ``None`` where it ended the process.
        is_of_messages: whether an error may come from what the messages hold; any other is raised.
    """
    done = {topic: {number: at for number, (at, _) in of.items()} for topic, of in ranges.items()}
    for topic, ends in begun.done.items():
        for number, at in ends.items():
            if number in done.get(topic, {}):
                done[topic][number] = max(at, done[topic][number])
    left = list(reversed(list(_cut(_behind(ranges, done), FIRST_PART))))
    if begun.suspect:
        left = list(reversed(list(_around(_behind(ranges, done), begun.suspect))))
    refused = 0
    while left:
        part = left.pop()
        starts = begun.suspected if part == begun.suspect else 0
        note(Begun(begun.batch, begun.starts, done, part, starts + 1))
        alone = span(part) == 1
        if alone and starts >= ALONE_STARTS:
            refuse(part, None)
        else:
            try:
                do(part)
                refused = 0
            except Exception as error:
                if not is_of_messages(error) or refused >= MOST_IN_A_ROW:
                    raise
                if not alone:
                    left += reversed(list(_cut(part, -(-span(part) // FINER))))
                    continue
                refuse(part, error)
                refused += 1
        for topic, of in part.items():
            for partition, (_, behind) in of.items():
                done[topic][partition] = behind
    note(Begun(begun.batch, begun.starts, done))


def _cut(ranges: Ranges, most: int) -> Iterator[Ranges]:
    """Ranges of at most so many offsets, one partition at a time, in the order of offsets."""
    for topic, of in ranges.items():
        for partition, (first, end) in of.items():
            for begin in range(first, end, most):
                yield {topic: {partition: (begin, min(end, begin + most))}}


def _around(ranges: Ranges, suspect: Ranges) -> Iterator[Ranges]:
    """Parts of a batch, of which those where the last part that was begun lies are a fraction as large as it was."""
    for part in _cut(ranges, FIRST_PART):
        inside = _common(part, suspect)
        if not inside:
            yield part
            continue
        ((topic, of),) = part.items()
        ((partition, (first, end)),) = of.items()
        begin, behind = inside[topic][partition]
        yield from _cut({topic: {partition: (first, begin)}}, FIRST_PART)
        yield from _cut(inside, -(-span(suspect) // FINER))
        yield from _cut({topic: {partition: (behind, end)}}, FIRST_PART)


def _common(one: Ranges, other: Ranges) -> dict[str, dict[int, tuple[int, int]]]:
    found: dict[str, dict[int, tuple[int, int]]] = {}
    for topic, of in one.items():
        for partition, (first, end) in of.items():
            begin, behind = other.get(topic, {}).get(partition, (0, 0))
            if max(first, begin) < min(end, behind):
                found.setdefault(topic, {})[partition] = (max(first, begin), min(end, behind))
    return found


def _behind(ranges: Ranges, done: Mapping[str, Mapping[int, int]]) -> dict[str, dict[int, tuple[int, int]]]:
    return {topic: {part: (done[topic][part], end) for part, (_, end) in of.items()} for topic, of in ranges.items()}


def _as_ranges(found: Mapping[str, Mapping[str, tuple[int, int]]]) -> Ranges:
    return {
        topic: {int(part): (int(first), int(end)) for part, (first, end) in of.items()} for topic, of in found.items()
    }
