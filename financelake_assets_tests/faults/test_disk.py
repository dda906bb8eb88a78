"""The lake's disk full beneath the silver query: it stops loudly wherever it was, and goes on when there is space."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql.streaming.query import StreamingQuery

from financelake_assets.config import Settings
from financelake_assets.silver.schema import BARS, QUARANTINE, TICKS
from financelake_assets_tests.faults import lakes
from financelake_assets_tests.silver import kafka

pytestmark = pytest.mark.integration

PAGE = 4096  # what the smallest file takes


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with a small file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    as_root = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=777", "tmpfs", str(folder)]
    try:
        subprocess.run([*as_root, *mount], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system that could be filled can be mounted here: {error}")
    try:
        yield folder
    finally:
        subprocess.run([*as_root, "umount", "--lazy", str(folder)], check=True)


def _fill(disk: Path, pages: int) -> None:
    """Leave so many pages free."""
    ballast = disk / "ballast"
    ballast.unlink(missing_ok=True)
    ballast.write_bytes(bytes(shutil.disk_usage(disk).free - pages * PAGE))


def _versions(lake: Settings) -> list[int]:
    return [lakes.version(lake, table) for table in (TICKS, BARS, QUARANTINE)]


def test_a_full_disk_stops_the_query_loudly_and_costs_no_message(lake: Settings, small_disk: Path, tmp_path: Path):
    """Only tables and checkpoint are on the full disk; the broker's log and Spark's scratch space are not."""
    lake = lake.model_copy(update={"data_dir": small_disk})
    kafka.add_universe(lake)
    kafka.produce(lake, kafka.mixture(300))
    with kafka.running(lake) as query:
        kafka.drain(lake, query)
        _fill(small_disk, 0)
        kafka.produce(lake, kafka.mixture(300, first=300))
        assert _ends_loudly(lake, query)
    assert not lakes.planned(lake)
    before, reached = _versions(lake), set[int]()
    # the same batch again, each time with room for more of it, until it is through
    for pages in range(4, 64, 2):
        _fill(small_disk, pages)
        with kafka.running(lake) as query:
            if not _ends_loudly(lake, query):
                break
        assert lakes.planned(lake)
        reached.add(sum(now > then for now, then in zip(_versions(lake), before, strict=True)))
    assert reached >= {0, 1}, "full before the first table, and between two"
    lakes.assert_as_undisturbed(lake, tmp_path / "undisturbed")


def _ends_loudly(lake: Settings, query: StreamingQuery) -> bool:
    """Whether a query ended for want of space; false when it went on and has committed everything."""
    kafka.eventually(lambda: not query.isActive or kafka.caught_up(lake), "the query ended or went on")
    if query.isActive:
        return False
    assert "No space left on device" in str(query.exception())
    return True
