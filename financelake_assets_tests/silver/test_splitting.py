"""Splitting of a micro-batch: whatever one message does to it, all others are done once and in their order."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from financelake_assets.silver.ranges import Ranges, span
from financelake_assets.silver.splitting import ALONE_STARTS, MOST_IN_A_ROW, Begun, Notes, in_parts

Place = tuple[str, int, int]

SIZES = st.dictionaries(
    st.sampled_from(["a", "b"]), st.dictionaries(st.integers(0, 1), st.integers(0, 1_500), max_size=2)
)


class Killed(BaseException):
    """The process ends, as by a message that takes all its memory."""


def places(ranges: Ranges) -> list[Place]:
    return [(t, p, o) for t, of in ranges.items() for p, (first, end) in of.items() for o in range(first, end)]


class Worker:
    """Does parts until it meets a message that it cannot do."""

    def __init__(self, folder: Path, raising: set[Place], killing: set[Place]) -> None:
        self.notes = Notes(folder / "notes.json")
        self.raising, self.killing = raising, killing
        self.done: list[Place] = []
        self.refused: list[Place] = []
        self.deaths = 0

    def _do(self, part: Ranges) -> None:
        found = places(part)
        if self.killing & set(found):
            raise Killed
        if self.raising & set(found):
            raise ValueError("a message")
        self.done += found

    def _refuse(self, part: Ranges, _: BaseException | None) -> None:
        self.refused += places(part)

    def run(self, ranges: Ranges) -> None:
        """To the end, however often it dies."""
        while True:
            begun = self.notes.begin_again(7)
            try:
                in_parts(ranges, begun, self.notes.write, self._do, self._refuse, lambda e: isinstance(e, ValueError))
            except Killed:
                self.deaths += 1
                continue
            return


@settings(max_examples=25)
@given(SIZES, st.sets(st.integers(0, 10_000), max_size=3), st.sets(st.integers(0, 10_000), max_size=2))
def test_each_message_is_done_once_in_order_but_those_that_cannot_be(
    sizes: dict[str, dict[int, int]], raising: set[int], killing: set[int]
):
    ranges = {topic: {part: (5, 5 + size) for part, size in of.items()} for topic, of in sizes.items()}
    found = places(ranges)
    bad, deadly = ({found[n % len(found)] for n in numbers} if found else set() for numbers in (raising, killing))
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(Path(folder), bad - deadly, deadly)
        worker.run(ranges)
    assert sorted(worker.refused) == sorted(bad | deadly)
    assert sorted(worker.done) == sorted(set(found) - bad - deadly)
    for topic, of in ranges.items():
        for part in of:
            here = [offset for t, p, offset in worker.done if (t, p) == (topic, part)]
            assert here == sorted(here)
    assert worker.deaths <= len(deadly) * (3 + ALONE_STARTS)


def test_an_error_that_is_not_of_messages_is_raised_and_nothing_is_refused(tmp_path: Path):
    worker = Worker(tmp_path, set(), set())

    def full(_: Ranges) -> None:
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        in_parts({"a": {0: (0, 5)}}, Begun(1), worker.notes.write, full, worker._refuse, lambda _: False)
    assert worker.refused == []


def test_an_error_with_every_message_is_no_fault_of_theirs(tmp_path: Path):
    everything = {"a": {0: (0, 5_000)}}
    worker = Worker(tmp_path, set(places(everything)), set())
    with pytest.raises(ValueError, match="a message"):
        worker.run(everything)
    assert len(worker.refused) == MOST_IN_A_ROW


@pytest.mark.parametrize("text", ["", "{", "[]", '{"batch": 3}', '{"batch": 3, "starts": "x", "done": []}'])
def test_damaged_notes_count_as_none(tmp_path: Path, text: str):
    (tmp_path / "notes.json").write_text(text)
    notes = Notes(tmp_path / "notes.json")
    assert notes.of(3) == Begun(3)
    assert notes.begin_again(3).starts == 1
    assert notes.begin_again(3).starts == 2
    assert notes.begin_again(4).starts == 1, "of another batch"
    notes.forget()
    assert notes.of(4) == Begun(4), "a new checkpoint's batches have the same numbers"


def test_what_was_done_before_a_death_is_not_done_again(tmp_path: Path):
    ranges = {"a": {0: (0, 10_000)}}
    worker = Worker(tmp_path, set(), {("a", 0, 9_999)})
    worker.run(ranges)
    assert len(worker.done) == 9_999
    assert worker.refused == [("a", 0, 9_999)]
    assert span(ranges) == 10_000


def test_a_suspect_is_known_also_where_what_lies_before_it_is_done_again(tmp_path: Path):
    worker = Worker(tmp_path, set(), {("a", 0, 30)})
    suspect = {"a": {0: (30, 31)}}
    begun = Begun(7, 5, {}, suspect, ALONE_STARTS)
    in_parts({"a": {0: (0, 40)}}, begun, worker.notes.write, worker._do, worker._refuse, lambda _: False)
    assert worker.refused == [("a", 0, 30)]
    assert len(worker.done) == 39
