"""``reset`` deletes a lake's folders, nothing else, and never under a running lake."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.operations import resetting
from financelake_assets.supervision import leftovers


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for name in ("delta", "kafka", "holiday photos"):
        (tmp_path / name).mkdir()
    return Settings(data_dir=tmp_path)


def sleeper(settings: Settings, name: str | None) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "FINANCELAKE_DATA_DIR": str(settings.data_dir)}
    if name:
        environment["FINANCELAKE_PROCESS"] = name
    return subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); import time; time.sleep(60)"],
        env=environment,
        stdout=subprocess.PIPE,
    )


def test_only_what_a_lake_writes_is_deleted(settings: Settings):
    resetting.reset_lake(settings)
    assert [path.name for path in settings.data_dir.iterdir()] == ["holiday photos"]


def test_a_lake_that_runs_is_not_reset(settings: Settings):
    process = sleeper(settings, "broker")
    try:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(FinanceLakeError, match="runs"):
            resetting.reset_lake(settings)
        assert (settings.data_dir / "delta").exists()
    finally:
        process.kill()
        process.wait()


def test_leftovers_are_ended_by_name_and_lake_and_nothing_else_is(settings: Settings, tmp_path_factory):
    other_lake = Settings(data_dir=tmp_path_factory.mktemp("other"))
    started = [
        sleeper(settings, "spark"),
        sleeper(settings, "broker"),
        sleeper(other_lake, "spark"),
        sleeper(settings, None),
    ]
    try:
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        assert leftovers.end(settings, "spark") == [started[0].pid]
        assert [process.poll() is not None for process in started] == [True, False, False, False]
        assert leftovers.end(settings) == [started[1].pid]
    finally:
        for process in started:
            process.kill()
            process.wait()
