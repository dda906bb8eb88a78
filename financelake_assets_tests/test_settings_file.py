"""Settings in ``financelake.toml``."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from financelake_assets.config import Settings, get_settings, settings_file
from financelake_assets.config.settings_file import SettingsFileError
from financelake_assets.servers.command import lake_environment
from financelake_assets_tests.cli.main_command import run


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(settings_file.VARIABLE, raising=False)
    get_settings.cache_clear()
    yield tmp_path
    get_settings.cache_clear()


def write(folder: Path, text: str, name: str = settings_file.NAME) -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_the_file_in_the_working_folder_is_read(here: Path) -> None:
    write(here, 'port_offset = 100\n[feed]\nprovider = "none"\n')
    found = Settings()
    assert (found.port_offset, found.feed.provider) == (100, "none")
    assert found.feed.live_days == Settings.model_fields["feed"].default.live_days


def test_the_environment_overrides_single_settings_of_the_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(here, '[feed]\nprovider = "none"\nlive_days = 3\n')
    monkeypatch.setenv("FINANCELAKE_FEED__LIVE_DAYS", "4")
    assert (Settings().feed.live_days, Settings().feed.provider) == (4, "none")


def test_a_file_can_be_named_and_paths_in_it_are_relative_to_it(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "elsewhere").mkdir()
    file = write(here / "elsewhere", 'data_dir = "lake"\nuniverse_file = "symbols.yaml"\n', "mine.toml")
    monkeypatch.setenv(settings_file.VARIABLE, "")
    assert run(monkeypatch, "--config", "elsewhere/mine.toml", "config", "--json") in (0, None)
    assert str(here / "elsewhere" / "lake") in capsys.readouterr().out
    assert os.environ[settings_file.VARIABLE] == str(file)
    assert Settings().universe_file == here / "elsewhere" / "symbols.yaml"


def test_the_processes_of_a_lake_read_the_same_file(here: Path) -> None:
    file = write(here, "port_offset = 5\n")
    assert lake_environment(Settings())[settings_file.VARIABLE] == str(file)


@pytest.mark.parametrize(
    ("text", "says", "remedy"),
    [
        ("prot_offset = 1", "there is no setting prot_offset", "Do you mean port_offset?"),
        ("[kafka]\nprt = 1", "there is no setting kafka.prt", "Do you mean kafka.port?"),
        ("[kafak]\nport = 1", "there is no setting kafak", "Do you mean kafka?"),
        ("zzz = 1", "there is no setting zzz", "financelake config"),
        ("kafka = 1", "kafka is a group of settings", r"\[kafka\]"),
        ("kafka = ", "is no TOML", "Correct it"),
    ],
)
def test_what_is_no_setting_is_an_error_with_the_nearest_name(here: Path, text: str, says: str, remedy: str) -> None:
    write(here, text)
    with pytest.raises(SettingsFileError, match=says) as refused:
        Settings()
    assert re.search(remedy, refused.value.remedy)


def test_a_wrong_value_names_its_setting(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(here, '[kafka]\nport = "many"\n')
    assert run(monkeypatch, "config") == 1
    assert "FINANCELAKE_KAFKA__PORT" in capsys.readouterr().err


def test_a_named_file_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings_file.VARIABLE, "nowhere.toml")
    with pytest.raises(SettingsFileError, match="no settings file"):
        Settings()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_file_is_refused(here: Path) -> None:
    os.chown(write(here, "port_offset = 1\n"), 65534, 65534)
    with pytest.raises(SettingsFileError, match="belongs to another user"):
        Settings()


def test_the_template_holds_every_setting_with_its_default(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "config", "--init") in (0, None)
    file = here / settings_file.NAME
    assert Settings() == Settings(), "commented, it changes nothing"
    plain = Settings()
    uncommented = re.sub(r"^# (\w+ = .+)$", r"\1", file.read_text(), flags=re.MULTILINE)
    assert len(tomllib.loads(uncommented)["kafka"]) > 5
    file.write_text(uncommented)
    assert Settings() == plain
    assert run(monkeypatch, "config", "--init") == 1
    assert "is there already" in capsys.readouterr().err


def test_the_template_holds_no_secret() -> None:
    names = re.findall(r"^# (\w+) =", settings_file.template(Settings), re.MULTILINE)
    assert "username" in names
    assert not {"password", "admin_password", "token", "web_token", "secret_key", "cluster_secret"} & set(names)
