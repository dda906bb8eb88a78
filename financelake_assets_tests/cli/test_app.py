"""The command line without a lake: help, settings, problems and exit codes."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from financelake_assets.cli import app as cli
from financelake_assets.cli import benches
from financelake_assets.config import get_settings
from financelake_assets_tests.shared_servers import free_ports

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    def invoke(*arguments: str, **variables: str) -> Result:
        monkeypatch.setenv("FINANCELAKE_DATA_DIR", str(tmp_path / "lake"))
        for name, value in variables.items():
            monkeypatch.setenv(f"FINANCELAKE_{name}", value)
        get_settings.cache_clear()
        return CliRunner().invoke(cli.app, list(arguments))

    yield invoke
    get_settings.cache_clear()


COMMANDS = [command.name or command.callback.__name__ for command in cli.app.registered_commands]
COMMANDS += [str(group.name) for group in cli.app.registered_groups]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(run: Run, name: str):
    result = run(name, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_all_that_the_readme_names_is_there():
    named = {"up", "down", "status", "config", "doctor", "ingest", "train", "quarantine", "bench", "reset"}
    assert named <= set(COMMANDS)


def test_config_shows_what_the_environment_overrides(run: Run):
    values = json.loads(run("config", "--json", KAFKA__PORT="19092", PORT_OFFSET="7").output)
    assert values["kafka"]["port"] == 19092
    assert values["port_offset"] == 7


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_config_masks_secrets(run: Run, options: tuple[str, ...]):
    result = run("config", *options, ALERTS__URLS='["mailto://me:hunter2@example.org"]')
    assert result.exit_code == 0
    assert "hunter2" not in result.output
    assert "****" in result.output


def test_config_names_the_variable_of_every_setting(run: Run):
    output = run("config").output
    for name in ("FINANCELAKE_DATA_DIR", "FINANCELAKE_KAFKA__PORT", "FINANCELAKE_MODEL__TREES"):
        assert name in output


def test_a_wrong_setting_names_its_variable(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("FINANCELAKE_KAFKA__PORT", "99999")
    monkeypatch.setattr(sys, "argv", ["financelake", "config"])
    get_settings.cache_clear()
    with pytest.raises(SystemExit) as exited:
        cli.main()
    get_settings.cache_clear()
    assert exited.value.code == 1
    assert "FINANCELAKE_KAFKA__PORT" in capsys.readouterr().err


def test_a_lake_that_does_not_run_is_not_healthy_and_says_so(run: Run):
    broker, spark = free_ports(2)
    result = run("status", "--json", KAFKA__PORT=str(broker), SPARK__PORT=str(spark))
    assert result.exit_code == cli.UNHEALTHY
    found = json.loads(result.stdout)
    assert found["healthy"] is False
    assert {process["state"] for process in found["processes"].values()} == {"stopped"}
    assert "error" in found["topics"]
    assert found["tables"]["silver/bars"] == {"rows": 0, "version": None, "newest_event_time": None}


def test_down_without_a_lake_is_harmless(run: Run, tmp_path: Path):
    assert run("down").exit_code == 0
    assert not (tmp_path / "lake").exists()


def test_reset_asks_first(run: Run, tmp_path: Path):
    table = tmp_path / "lake" / "delta"
    table.mkdir(parents=True)
    assert run("reset").exit_code == 1  # no answer is no
    assert table.exists()
    assert run("reset", "--yes").exit_code == 0
    assert not table.exists()


def test_benchmarks_are_listed_with_their_purpose(run: Run):
    output = run("bench").output
    assert "first_signal" in output
    assert "first live signal" in output


def test_a_benchmark_gets_the_options_that_are_given_to_it(run: Run, monkeypatch: pytest.MonkeyPatch):
    started: list[tuple[object, ...]] = []
    monkeypatch.setattr(benches, "run", lambda *given: started.append(given) or 0)
    assert run("bench", "silver", "--rows", "10", "--rounds", "2").exit_code == 0
    assert started == [("silver", ["--rows", "10", "--rounds", "2"])]


def test_doctor_names_the_port_in_use(run: Run, tmp_path: Path):
    import socket

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        result = run("doctor", "--json", DASHBOARD__PORT=str(holder.getsockname()[1]), PORT_OFFSET="0")
    assert result.exit_code == 1
    checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    assert not checks["Ports"]["well"]
    assert "FinanceLake Pro" in checks["Ports"]["detail"]
    assert checks["Java"]["well"]


@pytest.mark.parametrize("words", [("close",), ("=price",), ("close=",)])
def test_a_column_mapping_that_is_none_is_wrong_usage(run: Run, words: tuple[str, ...]):
    result = run("ingest", "--path", "x.csv", "--map", *words)
    assert result.exit_code == 2
    assert "FIELD=COLUMN" in result.output
