"""What a lake's processes run, and who can read what they are given."""

import subprocess
from pathlib import Path

import pytest

from financelake_assets.config import Settings
from financelake_assets.servers import dagster, spark
from financelake_assets.servers.command import lake_environment
from financelake_assets.supervision import launch, supervisor


@pytest.mark.parametrize("python_path", [None, "", ":", ".", "relative:"])
def test_a_file_in_the_data_folder_is_no_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python_path: str | None
) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    (lake / "this.py").write_text("raise SystemExit('the file in the data folder ran')")
    settings = Settings(data_dir=lake)
    if python_path is not None:
        monkeypatch.setenv("PYTHONPATH", python_path)
    command = launch.module("this")(settings)
    done = subprocess.run(
        command.argv, cwd=command.cwd, env=lake_environment(settings), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_threads_of_a_fit_wait_without_spinning_unless_asked_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert lake_environment(settings)["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert lake_environment(settings)["OMP_WAIT_POLICY"] == "ACTIVE"


def test_every_python_of_a_lake_is_started_with_a_safe_path(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert lake_environment(settings)["PYTHONSAFEPATH"] == "1"
    pythons = [dagster.webserver, dagster.daemon, dagster.code_server, launch.module("dash_app")]
    assert all(make(settings).argv[1] == "-P" for make in pythons)
    commands = [line for line in supervisor.configuration(settings).splitlines() if line.startswith("command")]
    assert commands
    assert all('" -P -m ' in line for line in commands)


def test_what_the_supervisor_starts_writes_for_its_owner_alone(tmp_path: Path) -> None:
    assert "umask = 077" in supervisor.configuration(Settings(data_dir=tmp_path))


@pytest.mark.parametrize("before", ["open", "link"])
def test_a_file_with_secrets_is_its_owners_also_when_it_was_there(tmp_path: Path, before: str) -> None:
    file, other = tmp_path / "spark.properties", tmp_path / "other"
    other.write_text("")
    if before == "link":
        file.symlink_to(other)
    else:
        file.write_text("")
        file.chmod(0o666)
    spark.properties_file(tmp_path, {"spark.authenticate.secret": "kept"})
    assert file.lstat().st_mode & 0o777 == 0o600
    assert other.read_text() == ""
