"""When a running query counts as hung."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from financelake_assets.config import Settings
from financelake_assets.streams.stalls import OpenBatch, open_batch_of, stall


@pytest.mark.parametrize(
    ("seconds", "failures", "hangs"),
    [(299, 0, False), (301, 0, True), (301, 1, False), (599, 1, False), (601, 1, True), (76_801, 50, True)],
)
def test_a_batch_may_take_twice_as_long_after_each_failure(seconds: float, failures: int, hangs: bool) -> None:
    assert (stall(OpenBatch(29, seconds), failures, Settings()) is not None) == hangs


def test_what_hangs_is_named() -> None:
    assert stall(OpenBatch(29, 312.4), 0, Settings()) == "batch 29 had not ended after 312 s"
    assert stall(None, 0, Settings()) is None


def test_a_batch_that_a_query_before_planned_is_as_old_as_the_query(offline_lake: Settings) -> None:
    planned = Path(offline_lake.checkpoint("silver")) / "offsets" / "3"
    planned.parent.mkdir(parents=True)
    planned.touch()
    now = time.time()
    os.utime(planned, (now - 1_000, now - 1_000))
    batch = open_batch_of(offline_lake, "silver")
    assert batch is not None
    assert (batch.id, batch.seconds > 999) == (3, True)
    started = offline_lake.data_dir / "run" / "stream-silver.started"
    started.parent.mkdir(parents=True)
    started.touch()
    os.utime(started, (now - 100, now - 100))
    batch = open_batch_of(offline_lake, "silver")
    assert batch is not None
    assert 99 < batch.seconds < 500
