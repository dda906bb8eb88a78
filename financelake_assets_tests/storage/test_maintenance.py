"""Maintenance of real Delta tables: fewer files, the same rows, totals and readers, also beside a writer."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from financelake_assets.catalogue import TABLES
from financelake_assets.config import Settings
from financelake_assets.silver import writing
from financelake_assets.silver.schema import BARS, QUARANTINE, TICKS
from financelake_assets.storage import maintenance
from financelake_assets.storage.maintenance import condition, maintain
from financelake_assets_tests.silver.messages import START, message, tick
from financelake_assets_tests.silver.test_writing import everything, write


@pytest.fixture
def many_files(offline_lake: Settings) -> Settings:
    """A lake in which each row of silver/bars has a file of its own."""
    for n in range(25):
        write(offline_lake, [message(n, event_time=START + timedelta(days=n))])
    return offline_lake


def test_small_files_are_merged_and_nothing_else_changes(many_files: Settings):
    before = everything(many_files)
    work = maintain(BARS, many_files)
    assert work is not None
    assert (work.before.small_files, work.after.files, work.merged_files) == (25, 1, 25)
    assert everything(many_files) == before
    write(many_files, [message(0, event_time=START)])  # counted before, so it changes nothing
    assert everything(many_files) == before


def test_few_small_files_are_left_alone(offline_lake: Settings):
    write(offline_lake, [message(0)])
    work = maintain(BARS, offline_lake)
    assert work is not None
    assert (work.merged_files, work.after.files) == (0, 1)


def test_a_table_that_does_not_exist_is_not_made(offline_lake: Settings):
    assert maintain(BARS, offline_lake) is None
    assert not Path(BARS.path(offline_lake)).exists()


def test_totals_and_offsets_outlive_the_log_that_wrote_them(many_files: Settings):
    for n in range(25, 60):
        write(many_files, [message(n, event_time=START + timedelta(days=n))])
    before = everything(many_files)
    work = maintain(BARS, many_files)
    assert work is not None
    assert work.after.since_checkpoint < 20
    log = Path(BARS.path(many_files)) / "_delta_log"
    newest = max(int(file.name[:20]) for file in log.glob("*.checkpoint.parquet"))
    for file in log.glob("*.json"):
        if int(file.stem) <= newest:
            file.unlink()  # what the clean-up does after thirty days
    assert everything(many_files) == before
    write(many_files, [message(59, event_time=START)])
    assert everything(many_files) == before


def test_a_reader_of_an_older_version_is_not_disturbed_within_the_retention(many_files: Settings):
    reader = DeltaTable(BARS.path(many_files))
    old = reader.version()
    maintain(BARS, many_files)
    maintain(BARS, many_files)
    assert pl.scan_delta(reader).collect().height == 25
    assert pl.read_delta(BARS.path(many_files), version=old).height == 25


def test_what_a_killed_writer_left_is_deleted_after_the_retention(many_files: Settings):
    import os

    left = Path(BARS.path(many_files)) / "part-00000-left.snappy.parquet"
    fresh = Path(BARS.path(many_files)) / "part-00000-fresh.snappy.parquet"
    for file in (left, fresh):
        file.write_bytes(b"half a file")
    old = left.stat().st_mtime - 8 * 24 * 3600
    os.utime(left, (old, old))
    work = maintain(BARS, many_files)
    assert work is not None
    assert work.deleted_files == 1
    assert (left.exists(), fresh.exists()) == (False, True)


def test_a_writer_and_maintenance_at_once_end_as_the_writer_alone(offline_lake: Settings, tmp_path: Path):
    """Corrections and trades rewrite the files that maintenance merges, so both lose some of their races."""
    frugal = offline_lake.maintenance.model_copy(update={"small_files": 2})
    lake = offline_lake.model_copy(update={"maintenance": frugal})
    batches = [[*_batch(n)] for n in range(0, 90, 6)]
    done = threading.Event()
    failures: list[BaseException] = []

    def keep_maintaining() -> None:
        try:
            while not done.is_set():
                for table in (BARS, TICKS, QUARANTINE):
                    maintain(table, lake)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=keep_maintaining)
    thread.start()
    try:
        for batch in batches:
            write(lake, batch)
    finally:
        done.set()
        thread.join()
    assert failures == []
    alone = Settings(data_dir=tmp_path / "alone")
    for batch in batches:
        write(alone, batch)
    assert everything(lake) == everything(alone)
    assert any(step["operation"] == "OPTIMIZE" for step in TICKS.ensure(lake).history())


def _batch(first: int) -> list[dict[str, object]]:
    return [
        message(first, event_time=START + timedelta(days=first), close=1.0),
        message(first + 1, event_time=START, close=1.0 + first),
        message(first + 2, reason="not_json", raw=b"{", symbol=None, event_time=None),
        *(tick(first + 3 + n, 5.0 + n, 0.1, n, trade_id=str(first + n)) for n in range(3)),
    ]


def test_maintenance_that_lost_its_race_takes_its_turn(many_files: Settings, monkeypatch: pytest.MonkeyPatch):
    """Deterministic: the writer corrects a file while it is being merged, and then waits for its turn."""
    from deltalake.table import TableOptimizer

    real, attempts = TableOptimizer.compact, []

    def raced(self: TableOptimizer, **options: object) -> object:
        attempts.append(1)
        if len(attempts) == 1:
            write(many_files, [message(100, event_time=START, close=77.0)])
        return real(self, **options)

    monkeypatch.setattr(TableOptimizer, "compact", raced)
    taken: list[str] = []
    turn = type(BARS).turn
    monkeypatch.setattr(type(BARS), "turn", lambda self, lake: taken.append(self.name) or turn(self, lake))
    assert maintenance._compact(BARS, many_files) > 0
    assert len(attempts) == 2
    assert taken[-1] == "bars"
    assert pl.read_delta(BARS.path(many_files)).filter(pl.col("close") == 77.0).height == 1
    assert writing.totals(BARS.ensure(many_files)).accepted == 26


def test_the_condition_is_read_from_the_log_alone(many_files: Settings):
    for uri in BARS.ensure(many_files).file_uris():
        Path(uri.removeprefix("file://")).unlink()
    found = condition(BARS, many_files)
    assert found is not None
    assert (found.files, found.small_files, found.log_files) == (25, 25, 26 + len(BARS.constraints))


def test_every_declared_table_is_maintained():
    names = [table.full_name for table in TABLES]
    assert len(names) == len(set(names))
    assert {"silver/bars", "silver/ticks", "silver/quarantine", "silver/replays", "reference/universe"} <= set(names)
    assert {"gold/predictions", "gold/signals", "gold/scorecard", "gold/equity", "gold/latest"} <= set(names)
