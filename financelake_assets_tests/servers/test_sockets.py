"""Where a lake's Unix sockets are, and who can enter that folder."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.servers import dagster, sockets


def test_nobody_but_the_owner_enters_the_folder(offline_lake: Settings):
    umask = os.umask(0)
    try:
        sockets.prepare(offline_lake)
        assert stat.S_IMODE(sockets.folder(offline_lake).stat().st_mode) == 0o700
        sockets.folder(offline_lake).chmod(0o777)
        sockets.prepare(offline_lake)
        assert stat.S_IMODE(sockets.folder(offline_lake).stat().st_mode) == 0o700
    finally:
        os.umask(umask)


def test_a_long_path_moves_the_sockets_where_the_kernel_takes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lake, other = Settings(data_dir=tmp_path / ("a" * 100)), Settings(data_dir=tmp_path / ("b" * 100))
    # a folder of the test's, in the place of the system's
    monkeypatch.setattr(sockets, "_SHORT", Path("/short"))
    assert sockets.folder(lake).parent == Path("/short")
    assert len(os.fsencode(sockets.path(lake, "dagster-code"))) < 100
    assert sockets.folder(lake) != sockets.folder(other)


def test_every_shell_finds_the_sockets_whatever_its_folder_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    lake = Settings(data_dir=tmp_path / ("a" * 100))
    here = sockets.path(lake, "supervisor")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("c" * 100)))
    assert sockets.path(lake, "supervisor") == here
    assert len(os.fsencode(here)) < 100


def test_a_folder_that_someone_else_has_put_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lake = Settings(data_dir=tmp_path / ("a" * 100))
    monkeypatch.setattr(sockets, "_SHORT", tmp_path)
    (tmp_path / "theirs").mkdir()
    sockets.folder(lake).symlink_to(tmp_path / "theirs")
    with pytest.raises(FinanceLakeError, match="is a link"):
        sockets.prepare(lake)
    sockets.folder(lake).unlink()
    if os.geteuid() == 0:
        sockets.folder(lake).mkdir(mode=0o700)
        os.chown(sockets.folder(lake), 65534, -1)
        with pytest.raises(FinanceLakeError, match="another user"):
            sockets.prepare(lake)


def test_the_code_location_has_a_port_only_for_webservers_elsewhere(offline_lake: Settings):
    assert "--port" not in dagster.code_server(offline_lake).argv
    dagster.prepare(offline_lake)
    workspace = (dagster.home(offline_lake) / "workspace.yaml").read_text()
    assert str(dagster.code_socket(offline_lake)) in workspace
    assert "port" not in workspace
    elsewhere = Settings.model_validate(
        {"data_dir": offline_lake.data_dir, "host": "dagster-code", "dagster": {"code_host": "dagster-code"}}
    )
    assert dagster.code_server(elsewhere).argv[-6:-2] == ("--host", "dagster-code", "--port", "4266")
    dagster.prepare(elsewhere)
    assert "host: dagster-code" in (dagster.home(elsewhere) / "workspace.yaml").read_text()
