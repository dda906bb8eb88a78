"""``financelake alerts``: declare, try out, look back; no address is ever shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from financelake_assets.cli import app as cli
from financelake_assets.config import Settings, get_settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.operations.status import process_status
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets.supervision.processes import ProcessState
from financelake_assets.supervision.supervisor import Supervisor
from financelake_assets_tests.alerting.webhook import Webhook, webhook
from financelake_assets_tests.query import rows

Run = Callable[..., Result]


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.setenv("FINANCELAKE_DATA_DIR", str(tmp_path / "lake"))
    get_settings.cache_clear()
    yield get_settings()
    get_settings.cache_clear()


@pytest.fixture
def run(lake: Settings) -> Run:
    def invoke(*arguments: str, typed: str | None = None) -> Result:
        result = CliRunner().invoke(cli.app, ["alerts", *arguments], input=typed)
        if isinstance(result.exception, FinanceLakeError):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def hook(lake: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    """``ENVIRONMENT`` and ``FILE`` have addresses."""
    with webhook() as found:
        monkeypatch.setenv("ENVIRONMENT", found.address("environment"))
        secrets = lake.data_dir / "secrets"
        secrets.mkdir(mode=0o700, parents=True)
        (secrets / "FILE").write_text(found.address("file") + "\n")
        yield found


def test_a_rule_is_added_shown_tried_and_removed(run: Run, hook: Webhook, lake: Settings) -> None:
    added = run("add", "big", "close crosses 100", "--to", "ENVIRONMENT", "--to", "FILE", "--to", "NOBODY")
    assert added.exit_code == 0
    assert "no address NOBODY" in added.output
    assert "financelake up" in added.output
    (shown,) = json.loads(run("list", "--json").stdout)
    assert shown["to"] == {"ENVIRONMENT": "known", "FILE": "known", "NOBODY": "no address"}
    assert (shown["reads"], shown["seen_version"]) == ("bars", None)
    tried = run("test", "big")
    assert tried.exit_code == 1
    assert [line.split()[:2] for line in tried.stdout.splitlines()] == [
        ["✓", "ENVIRONMENT"],
        ["✓", "FILE"],
        ["✗", "NOBODY"],
    ]
    for path in ("environment", "file"):
        (told,) = hook.received[path]
        assert "TRY-OUT" in told["title"]
        assert "has not fired" in told["message"]
    hook.status["file"] = [500]
    assert "✗ FILE took no alert" in run("test", "big").stdout
    for said in (added, tried, run("list")):
        assert str(hook.port) not in said.output
    assert str(hook.port) not in lake.rules_path.read_text()
    assert run("remove", "big").exit_code == 0
    assert json.loads(run("list", "--json").stdout) == []
    with pytest.raises(FinanceLakeError, match="no rule alert"):
        run("test", "big")


def test_an_address_is_read_from_standard_input_tried_and_removed(run: Run, hook: Webhook, lake: Settings) -> None:
    added = run("address", "add", "OPS", typed=hook.address("ops") + "\n")
    assert "OPS is set up: webhook" in added.stdout
    assert (lake.addresses_dir / "OPS").stat().st_mode & 0o777 == 0o600
    listed = run("address", "list")
    assert "OPS: webhook, set up 20" in listed.stdout
    assert {one["name"] for one in json.loads(run("address", "list", "--json").stdout)} == {"FILE", "OPS"}
    tried = run("address", "test", "OPS")
    assert (tried.exit_code, len(hook.received["ops"])) == (0, 1)
    hook.status["ops"] = [500]
    assert run("address", "test", "OPS").exit_code == 1
    replaced = run("address", "add", "OPS", "--replace", typed=hook.address("other"))
    removed = run("address", "remove", "OPS")
    for said in (added, listed, tried, replaced, removed):
        assert said.exit_code == 0
        assert str(hook.port) not in said.output
    with pytest.raises(FinanceLakeError, match="no address of that name"):
        run("address", "remove", "OPS")


def test_a_fault_names_its_column(run: Run) -> None:
    with pytest.raises(FinanceLakeError, match=r"column 11: .*Did you mean BUY"):
        run("add", "x", "signal is BUZ", "--to", "A")
    with pytest.raises(FinanceLakeError, match="An address is a secret") as error:
        run("add", "x", "signal is BUY", "--to", "json://user:hunter2@host")
    assert "hunter2" not in str(error.value)
    with pytest.raises(FinanceLakeError, match="time zone"):
        run("add", "x", "signal is BUY", "--to", "A", "--quiet", "22:00-07:00")


def test_check_tells_when_a_rule_would_have_fired_and_sends_nothing(run: Run, hook: Webhook, lake: Settings) -> None:
    for day, close in enumerate((90.0, 110.0, 90.0, 120.0)):
        OpenTables(lake).insert(BARS, rows.bar(day, close))
    run("add", "big", "close crosses above 100", "--to", "FILE", "--symbols", "BTC-USD", "--interval", "1d")
    told = run("check", "big")
    assert "It would have fired 2 times on 4 rows of silver/bars" in told.stdout
    assert "2024-03-02 00:00" in told.stdout
    found = json.loads(run("check", "--rule", "close > 100", "--since", "2024-03-03", "--json").stdout)
    assert [one["event_time"][:10] for one in found["fired"]] == ["2024-03-04"]
    assert [one["symbol"] for one in found["holds_now"]] == ["BTC-USD"]
    assert "It would have fired 0 times" in run("check", "--rule", "close > 100", "--symbols", "ETH-USD").stdout
    assert run("check").exit_code == 2
    assert not hook.received


def test_the_first_rule_of_a_lake_that_runs_is_told_to_need_a_start(
    run: Run, lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = ProcessState("broker", "RUNNING", 1, 0.0, "")
    monkeypatch.setattr(Supervisor, "states", lambda _: {"broker": running})
    assert "alerter" not in process_status(lake)
    assert run("add", "big", "close crosses 100", "--to", "NOBODY").exit_code == 0
    told = process_status(lake)["alerter"]
    assert (told["state"], told["healthy"]) == ("stopped", False)
    assert told["problem"] == "was asked for after the start: `financelake up` starts it"
