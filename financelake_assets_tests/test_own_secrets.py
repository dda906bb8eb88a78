"""The secrets that ``up`` makes: who reads the files, who takes them by itself, and where nothing is taken."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from financelake_assets.config import STREAMS_SESSION_ID, Settings, own_secrets
from financelake_assets.config.own_secrets import NAMES, folder
from financelake_assets.errors import FinanceLakeError
from financelake_assets.servers.own_secrets import make

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def value(name: str, data_dir: Path) -> str:
    return (folder(data_dir) / name).read_text().strip()


def test_each_secret_is_long_random_and_its_owners_alone(tmp_path: Path):
    umask = os.umask(0)  # the widest that a user may have
    try:
        assert make(tmp_path)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(folder(tmp_path).stat().st_mode) == 0o700
    values = {name: value(name, tmp_path) for name in NAMES}
    assert len(set(values.values())) == len(NAMES)
    assert min(map(len, values.values())) >= 64
    for name in NAMES:
        assert stat.S_IMODE((folder(tmp_path) / name).stat().st_mode) == 0o600


def test_making_them_again_changes_nothing_but_mends_what_was_cut_short(tmp_path: Path):
    make(tmp_path)
    before = {name: value(name, tmp_path) for name in NAMES}
    assert not make(tmp_path)
    (folder(tmp_path) / NAMES[0]).write_text("")
    assert make(tmp_path)
    after = {name: value(name, tmp_path) for name in NAMES}
    assert [name for name in NAMES if after[name] != before[name]] == [NAMES[0]]


def test_secrets_that_others_could_read_are_made_anew(tmp_path: Path):
    make(tmp_path)
    before = value(NAMES[1], tmp_path)
    folder(tmp_path).chmod(0o755)
    assert make(tmp_path)
    assert stat.S_IMODE(folder(tmp_path).stat().st_mode) == 0o700
    assert value(NAMES[1], tmp_path) != before


def test_a_folder_of_secrets_that_is_a_link_is_refused(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "lake").mkdir()
    folder(tmp_path / "lake").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FinanceLakeError, match="is a link"):
        make(tmp_path / "lake")


@AS_ROOT
def test_a_folder_of_secrets_of_another_user_is_refused(tmp_path: Path):
    folder(tmp_path).mkdir(mode=0o700)
    os.chown(folder(tmp_path), 65534, -1)
    with pytest.raises(FinanceLakeError, match="another user"):
        make(tmp_path)


def test_every_process_of_the_lake_takes_them_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make(tmp_path)
    monkeypatch.setenv("FINANCELAKE_DATA_DIR", str(tmp_path))
    for lake in (Settings(), Settings(data_dir=tmp_path), Settings.sent(Settings().without_secrets())):
        assert lake.web_token is not None
        assert lake.web_token.get_secret_value() == value("FINANCELAKE_WEB_TOKEN", tmp_path)
        assert lake.spark.token is not None
        assert lake.spark.token.get_secret_value() == value("FINANCELAKE_SPARK__TOKEN", tmp_path)
        assert lake.spark.cluster_secret is not None
        assert lake.kafka.security == "SASL_PLAINTEXT"
        assert lake.kafka.sasl_mechanism == "PLAIN"
        assert lake.kafka.username == "lake"
        assert lake.kafka.password is not None
        assert lake.kafka.password.get_secret_value() == value("FINANCELAKE_KAFKA__PASSWORD", tmp_path)
        assert lake.kafka.admin_password is not None


def test_settings_that_were_read_before_learn_them(tmp_path: Path):
    before = Settings.model_validate({"data_dir": tmp_path, "kafka": {"port": 19092}, "spark": {"port": 15999}})
    make(tmp_path)
    after = before.with_own_secrets()
    assert after.kafka.security == "SASL_PLAINTEXT"
    assert (after.kafka.port, after.spark.port) == (19092, 15999)
    assert after.spark.token is not None
    assert after.with_own_secrets() == after


def test_a_lake_without_them_is_as_it_was(tmp_path: Path):
    lake = Settings(data_dir=tmp_path)
    assert lake.web_token is None
    assert lake.spark.token is None
    assert lake.kafka.security == "PLAINTEXT"


def test_nothing_is_taken_for_servers_of_others(tmp_path: Path):
    make(tmp_path)
    lake = Settings.model_validate(
        {"data_dir": tmp_path, "kafka": {"bootstrap": "broker:9092"}, "spark": {"remote": "sc://spark:15002"}}
    )
    assert lake.spark.token is None
    assert lake.spark.cluster_secret is None
    assert lake.kafka.password is None
    assert lake.kafka.security == "PLAINTEXT"


def test_a_cluster_without_a_secret_of_its_own_gets_none(tmp_path: Path):
    make(tmp_path)
    lake = Settings.model_validate({"data_dir": tmp_path, "spark": {"master": "spark://master:7077"}})
    assert lake.spark.cluster_secret is None
    assert lake.spark.token is not None


def test_what_the_user_sets_comes_first_also_to_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make(tmp_path)
    monkeypatch.setenv("FINANCELAKE_SPARK__TOKEN", "")
    monkeypatch.setenv("FINANCELAKE_WEB_TOKEN", "chosen by the user")
    monkeypatch.setenv("FINANCELAKE_KAFKA__SECURITY", "PLAINTEXT")
    lake = Settings(data_dir=tmp_path)
    assert lake.spark.token is None
    assert lake.web_token is not None
    assert lake.web_token.get_secret_value() == "chosen by the user"
    assert lake.kafka.password is None
    monkeypatch.setenv("FINANCELAKE_KAFKA__SECURITY", "SASL_PLAINTEXT")
    assert Settings(data_dir=tmp_path).kafka.username == "lake"


def test_no_secret_is_shown(tmp_path: Path):
    make(tmp_path)
    lake = Settings(data_dir=tmp_path)
    shown = f"{lake!r} {lake.model_dump_json()} {lake.without_secrets()}"
    assert not [name for name in NAMES if value(name, tmp_path) in shown]


def test_the_streams_session_is_every_clients_who_knows_the_token_and_nobody_elses(tmp_path: Path):
    stranger = Settings(data_dir=tmp_path)
    assert stranger.streams_session_id == STREAMS_SESSION_ID
    make(tmp_path)
    first, second = Settings(data_dir=tmp_path), Settings(data_dir=tmp_path)
    assert first.streams_session_id == second.streams_session_id != STREAMS_SESSION_ID
    assert first.spark.token is not None
    assert first.spark.token.get_secret_value() not in first.streams_session_id
    assert f"session_id={first.streams_session_id}" in first.streams_remote


@AS_ROOT
def test_another_user_reads_none_even_of_an_open_data_folder(tmp_path: Path):
    """The settings go without them, and the servers then refuse that user."""
    data_dir = Path("/tmp") / f"financelake-open-{os.getpid()}"  # noqa: S108  # pytest's folders are closed to others
    data_dir.mkdir(mode=0o755)
    try:
        make(data_dir)
        assert own_secrets.read(folder(data_dir) / NAMES[0])
        seen = subprocess.run(
            ["/bin/sh", "-c", f"cat {folder(data_dir)}/* ; ls {folder(data_dir)}"],
            user=65534,
            group=65534,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
        )
        assert seen.returncode != 0
        assert not seen.stdout
        pid = os.fork()
        if pid == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            lake = Settings(data_dir=data_dir)
            os._exit(0 if (lake.web_token, lake.spark.token, lake.kafka.security) == (None, None, "PLAINTEXT") else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        for file in [*folder(data_dir).glob("*")]:
            file.unlink()
        folder(data_dir).rmdir()
        data_dir.rmdir()
