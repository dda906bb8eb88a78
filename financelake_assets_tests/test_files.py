"""Files that processes leave for each other: whole or not at all, and no damaged one stops who reads it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from financelake_assets.bronze.feed_state import read_state, state_file
from financelake_assets.config import Settings
from financelake_assets.files import read_json, write_whole
from financelake_assets.streams.failures import last_failure, record_failure
from financelake_assets.supervision.watchdog import health_file, read_health

DAMAGED = (b"", b"{", b'{"count": 1', b"\x00" * 64, b"[]", b"null", b"\xff\xfe")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "run" / "state.json"
    write_whole(file, '{"a": 1}')
    assert read_json(file) == {"a": 1}
    assert list(file.parent.iterdir()) == [file]


def test_a_full_disk_leaves_the_old_text_and_no_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "state.json"
    write_whole(file, '{"a": 1}')

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(file, '{"a": 2}')
    assert read_json(file) == {"a": 1}
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_counts_as_absent(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "state.json"
    file.write_bytes(content)
    assert read_json(file) is None


@pytest.mark.parametrize("content", DAMAGED)
def test_nobody_who_reads_the_run_folder_is_stopped_by_a_damaged_file(offline_lake: Settings, content: bytes) -> None:
    record_failure(offline_lake, "silver", "it broke")
    for file in (state_file(offline_lake), health_file(offline_lake), *offline_lake.run_dir.glob("*.failure.json")):
        file.write_bytes(content)
    assert read_state(offline_lake) is None
    assert read_health(offline_lake) == {}
    assert last_failure(offline_lake, "silver").count == 0
    assert record_failure(offline_lake, "silver", "again").count == 1
