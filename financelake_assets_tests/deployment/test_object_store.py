"""Silver's own writing, with the tables on an S3-compatible store: what keeps the commits of two machines apart.

Run with ``uv run pytest -m cluster``. It needs no further program, and tries SeaweedFS too where that is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from financelake_assets.config import Settings
from financelake_assets.silver.schema import BARS
from financelake_assets_tests.deployment.object_store import SEAWEED, Store, object_store, seaweed
from financelake_assets_tests.silver.messages import START, message
from financelake_assets_tests.silver.test_writing import TABLES, everything, mixed, write

pytestmark = [pytest.mark.cluster, pytest.mark.integration]

Messages = list[dict[str, Any]]
StoreKind = Callable[[Path], AbstractContextManager[Store]]

FIRST_COMMIT = f"/lake/tables/silver/bars/_delta_log/{len(BARS.constraints) + 1:020}.json"
"""Of rows: a table is made with a commit for itself and one for each of its rules."""


def of_partition(number: int, rows: Messages) -> Messages:
    """The messages as those of a partition and a symbol of their own."""
    return [{**row, "partition": number, "symbol": row["symbol"] and f"SYMBOL-{number}"} for row in rows]


def at_once(store: Store, folder: Path, parts: Sequence[Messages], size: int) -> dict[str, Any]:
    """Make the tables, and let as many machines as there are parts write, each its part; what silver then holds."""
    one = store.lake(folder / "one")
    for table in TABLES:
        table.ensure(one)
    context = get_context("spawn")
    start = context.Barrier(len(parts), timeout=300)
    # a folder each: they take no turns with each other
    lakes = [store.lake(folder / f"writer-{number}") for number in range(len(parts))]
    writers = [
        context.Process(target=write_all, args=(lake, rows, size, start))
        for lake, rows in zip(lakes, parts, strict=True)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * len(parts)
    return everything(one)


def write_all(lake: Settings, rows: Messages, size: int, start: Any) -> None:
    """Write them in batches, as soon as everybody is there."""
    start.wait()
    for first in range(0, len(rows), size):
        write(lake, rows[first : first + size])


def one_by_one(folder: Path, parts: Sequence[Messages]) -> dict[str, Any]:
    """The same on this machine's disk, one after the other."""
    alone = Settings(data_dir=folder / "alone")
    for rows in parts:
        write(alone, rows)
    return everything(alone)


def bars(number: int) -> Messages:
    """What is one commit to silver/bars and none to the other tables."""
    return of_partition(number, [message(n, event_time=START + timedelta(days=n)) for n in range(5)])


def test_of_two_commits_of_one_version_the_store_refuses_one_and_its_writer_looks_again(tmp_path: Path):
    parts = [bars(0), bars(1)]
    with object_store(tmp_path, meeting=FIRST_COMMIT) as store:
        found = at_once(store, tmp_path, parts, size=5)
    assert store.refused() == [FIRST_COMMIT]
    assert found == one_by_one(tmp_path, parts)
    assert found["totals"]["silver/bars"] == (10, 0)


def test_a_store_that_does_not_heed_the_condition_loses_a_commit(tmp_path: Path):
    """Which is why only stores with conditional put will do, and shows that the test above could fail."""
    with object_store(tmp_path, meeting=FIRST_COMMIT, honest=False) as store:
        found = at_once(store, tmp_path, [bars(0), bars(1)], size=5)
    assert store.refused() == []
    assert found["totals"]["silver/bars"] == (5, 0)


STORES = [
    pytest.param(object_store, id="moto"),
    pytest.param(seaweed, id="seaweed", marks=pytest.mark.skipif(SEAWEED is None, reason="needs `weed`")),
]


@pytest.mark.parametrize("kind", STORES)
def test_machines_that_write_everything_at_once_lose_and_double_nothing(tmp_path: Path, kind: StoreKind):
    parts = [of_partition(number, mixed(40)) for number in range(2)]
    with kind(tmp_path) as store:
        found = at_once(store, tmp_path, parts, size=10)
    assert found == one_by_one(tmp_path, parts)
    assert sum(sum(pair) for pair in found["totals"].values()) == 80
