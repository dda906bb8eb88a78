"""Batches with a message that stops them and with holes, staged or not: all others are written, each once.

Spark and the broker are played here by frames: what is looked at is the order of steps. The real ones are asked in
``test_query.py``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame

from financelake_assets.config import Settings
from financelake_assets.silver import batch_writing, batches, cleaning, holes, reading, splitting, staging
from financelake_assets.silver.batch_writing import BatchWriter
from financelake_assets.silver.holes import Holes
from financelake_assets.silver.ledger import uncounted
from financelake_assets.silver.ranges import Ranges
from financelake_assets.silver.schema import QUARANTINE, SOURCES
from financelake_assets.silver.sources import register
from financelake_assets.silver.splitting import Begun
from financelake_assets.silver.staged import Executors, Staged
from financelake_assets.silver.writing import TopicIds
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets_tests.silver.messages import IDS
from financelake_assets_tests.silver.test_staging import TOPIC, UNIVERSE, bar, directly, plan_for, sent, table, tick
from financelake_assets_tests.silver.test_writing import everything

DEADLY = b"deadly"
REAL = cleaning.cleaned


def judged(messages: pl.DataFrame, universe: cleaning.Universe) -> pl.DataFrame:
    """As cleaning does it, if it had a fault."""
    if DEADLY in messages["value"].to_list():
        raise ValueError("a fault in the code that one message brings about")
    return REAL(messages, universe)


def inside(messages: pl.DataFrame, ranges: Ranges, _: Settings) -> pl.DataFrame:
    spans = [
        (pl.col("partition") == part) & pl.col("offset").is_between(first, end - 1)
        for part, (first, end) in ranges[TOPIC].items()
    ]
    return messages.filter(pl.any_horizontal(spans))


class FramesStaged(Executors):
    """Tasks of this process, one for each partition."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def stage(self, tables: OpenTables, messages: Any, _: cleaning.Universe, ids: TopicIds) -> Staged | None:
        self.asked += 1
        try:
            parts = messages.partition_by("partition") if messages.height else [messages]
            reports = [staging.stage(part.to_arrow().to_batches(), plan_for(tables, ids)) for part in parts]
        except ValueError:
            return None
        return Staged(tables, reports)


@contextmanager
def frames_instead_of_spark(offsets_that_are_messages: set[tuple[int, int]]) -> Iterator[FramesStaged]:
    executors = FramesStaged()

    def confirm(_: Settings, found: Holes) -> None:
        for (_topic, part), gaps in found.items():
            for first, end in gaps:
                assert not {(part, offset) for offset in range(first, end)} & offsets_that_are_messages

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "SMALL", 3)
        patch.setattr(splitting, "FIRST_PART", 5)
        patch.setattr(splitting, "FINER", 2)
        patch.setattr(cleaning, "cleaned", judged)
        patch.setattr(staging, "cleaned", judged)
        patch.setattr(
            reading,
            "judged",
            lambda messages, universe, _: judged(messages, universe).with_columns(left_out=pl.lit(None, pl.Int64)),
        )
        patch.setattr(reading, "part_of", inside)
        patch.setattr(reading, "alone", lambda messages: messages)
        patch.setattr(holes, "confirm", confirm)
        patch.setattr(batches, "universe_for", lambda *_: (UNIVERSE, 0))
        patch.setattr(batch_writing, "Executors", lambda: executors)
        patch.setattr(batch_writing, "StillTheSame", lambda *_: lambda: None)
        yield executors


def write(lake: Settings, messages: Sequence[dict[str, Any]], ranges: dict[int, tuple[int, int]]) -> int:
    """Write a batch as the stream and the back-fill do."""
    writer = BatchWriter(OpenTables(lake), IDS)
    frame = cast("DataFrame", pl.DataFrame(pl.from_arrow(table(messages))))
    return writer.write(frame, {TOPIC: ranges}, Begun(0))


_VALUES = [bar, lambda n, _: tick(n * 7 % 90, 5.0), lambda n, _: tick(n % 3, 2.0, trade_id="x"), lambda *_: b"{"]
kinds = st.lists(st.sampled_from(["message", "message", "message", "hole", "deadly"]), min_size=4, max_size=9)


@settings(max_examples=6, deadline=None)
@given(kinds, kinds)
def test_all_but_the_message_that_stops_a_batch_are_written_once_and_holes_are_counted(
    one: list[str], other: list[str]
):
    values = {
        (part, offset): DEADLY if kind == "deadly" else _VALUES[(offset + part) % 4](offset, 1.0)
        for part, found in enumerate((one, other))
        for offset, kind in enumerate(found)
        if kind != "hole"
    }
    messages = [sent(offset, value, part) for (part, offset), value in values.items()]
    deadly = [message for message in messages if message["value"] == DEADLY]
    ends = {0: (0, len(one)), 1: (0, len(other))}
    with tempfile.TemporaryDirectory() as folder:
        expected, lake = (Settings(data_dir=Path(folder) / name) for name in ("expected", "lake"))
        register(lake, IDS, {TOPIC: ends})
        directly(expected, [message for message in messages if message["value"] != DEADLY])
        with frames_instead_of_spark(set(values)) as executors:
            for _ in range(2):
                assert write(lake, messages, ends) == len(messages)
        found, without = everything(lake), everything(expected)
        refused = QUARANTINE.scan(lake).filter(pl.col("reason") == "unprocessable").collect()
        noted = sum(holes.noted(SOURCES.ensure(lake), TOPIC, part, IDS[TOPIC]) for part in ends)
        assert not any(uncounted(lake).values())
    assert sorted(refused.select("partition", "offset").rows()) == [(m["partition"], m["offset"]) for m in deadly]
    assert found["silver/bars"] == without["silver/bars"]
    assert found["silver/ticks"] == without["silver/ticks"]
    assert sum(sum(pair) for pair in found["totals"].values()) == len(messages)
    assert noted == len(one) + len(other) - len(messages)
    assert executors.usable, "a message was to blame, and not the executors"


def test_executors_that_cannot_stage_what_the_driver_can_write_are_asked_no_more(offline_lake: Settings):
    register(offline_lake, IDS, {TOPIC: {0: (0, 0)}})
    messages = [sent(n, bar(n, 1.0)) for n in range(8)]
    with frames_instead_of_spark({(0, n) for n in range(8)}) as executors:
        executors.stage = lambda *_: None  # type: ignore[method-assign]
        write(offline_lake, messages, {0: (0, 8)})
    assert not executors.usable
    assert everything(offline_lake)["totals"]["silver/bars"] == (8, 0)
