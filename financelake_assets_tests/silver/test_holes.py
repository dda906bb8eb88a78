"""Which offsets of a batch are no messages, by what Spark was given of them."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.config import Settings
from financelake_assets.silver import holes
from financelake_assets.silver.holes import SkippedError, find, seen
from financelake_assets.silver.schema import SOURCES
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets_tests.silver.messages import IDS

TOPIC = "bronze.stock"


def places(offsets: list[int], partition: int = 0) -> pl.DataFrame:
    return pl.DataFrame(
        [(TOPIC, partition, offset) for offset in offsets],
        schema={"topic": pl.String, "partition": pl.Int32, "offset": pl.Int64},
        orient="row",
    )


@given(st.sets(st.integers(5, 30)), st.integers(1, 4))
def test_messages_and_holes_are_the_whole_range_however_it_is_cut_into_tasks(offsets: set[int], tasks: int):
    ordered = sorted(offsets)
    step = len(ordered) // tasks + 1
    parts = [part for at in range(0, len(ordered), step) for part in seen(places(ordered[at : at + step]))]
    found = find(parts, {TOPIC: {0: (5, 31), 1: (7, 7)}})
    inside = [offset for first, end in found.get((TOPIC, 0), []) for offset in range(first, end)]
    assert sorted([*inside, *ordered]) == list(range(5, 31))


def test_a_message_that_comes_twice_or_from_elsewhere_is_an_error():
    with pytest.raises(SkippedError, match=r"twice: bronze\.stock/0/3"):
        seen(places([2, 3, 3]))
    for given_, match in (([2, 3], "3 of a batch"), ([5], "which is not")):
        parts = [*seen(places([1, 2])), *seen(places(given_, 0 if len(given_) == 2 else 1))]
        with pytest.raises(SkippedError, match=match):
            find(parts, {TOPIC: {0: (0, 4)}})
    with pytest.raises(SkippedError, match="ends before 2"):
        find(seen(places([1, 2])), {TOPIC: {0: (0, 2)}})


def test_a_hole_is_noted_once_however_often_its_batch_is_run(offline_lake: Settings):
    tables = OpenTables(offline_lake)
    for found in ([(2, 3), (5, 8)], [(2, 3), (5, 8)], [(6, 8), (9, 10)], [(9, 10)]):
        holes.note(tables, {(TOPIC, 0): found}, IDS)
    assert holes.noted(SOURCES.ensure(offline_lake), TOPIC, 0, IDS[TOPIC]) == 5
    assert holes.noted(SOURCES.ensure(offline_lake), TOPIC, 1, IDS[TOPIC]) == 0
