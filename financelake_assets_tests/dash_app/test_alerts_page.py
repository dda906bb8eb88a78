"""Rules that are made on the page: the same file, the same checks, and no address is ever shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Browser, expect
from pydantic import SecretStr

from dash_app.alert_callbacks import fields
from dash_app.data import alert_addresses, alert_rules
from dash_app.data.lake_reader import LakeReader
from dash_app.foreign_pages import is_foreign
from dash_app.server import create_app
from financelake_assets.alerting.address_book import AddressError
from financelake_assets.alerting.addresses import address
from financelake_assets.alerting.rules_file import RulesFileError, read_rules
from financelake_assets.config import AlertSettings, Settings, own_secrets
from financelake_assets.files import write_whole
from financelake_assets.gold.alerter_state import state_file
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets_tests.alerting.webhook import Webhook, webhook
from financelake_assets_tests.browser import open_page
from financelake_assets_tests.dash_app.conftest import Dashboard
from financelake_assets_tests.query import rows

RULE = {"name": "high", "rule": "close crosses 100", "to": ("OPS_HOOK",)}
FORM = {"name": "high", "rule": "close crosses 100", "to": ["OPS_HOOK"], "symbols": None, "interval": ""}
QUIET = {"from": "22:00", "until": "07:00", "zone": "Europe/Berlin"}


@pytest.fixture
def lake(offline_lake: Settings) -> Settings:
    return offline_lake.model_copy(update={"web_token": SecretStr("a-token")})


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with webhook() as found:
        monkeypatch.setenv("OPS_HOOK", found.address("a-secret-path"))
        yield found


def test_a_form_becomes_the_fields_of_a_rule() -> None:
    plain = fields({**FORM, "from": "", "until": None, "zone": ""})
    assert plain == {"name": "high", "rule": "close crosses 100", "symbols": (), "interval": None, "to": ("OPS_HOOK",)}
    assert fields({**FORM, **QUIET})["quiet"] == {"start": "22:00", "end": "07:00", "zone": "Europe/Berlin"}


def test_a_rule_of_the_page_is_that_of_the_command(lake: Settings, hook: Webhook) -> None:
    said = alert_rules.add(lake, RULE)
    assert "first rule" in said
    assert [rule.name for rule in read_rules(lake.rules_path)] == ["high"]
    with pytest.raises(RulesFileError, match="already"):
        alert_rules.add(lake, RULE)
    assert alert_rules.remove(lake, "high").rule == "close crosses 100"
    assert read_rules(lake.rules_path) == []


def test_the_first_rule_needs_a_start_only_where_no_alerter_runs(lake: Settings, hook: Webhook) -> None:
    now = datetime.now(UTC).isoformat()
    write_whole(state_file(lake), json.dumps({"updated_at": now, "pid": 1}))
    assert "first rule" not in alert_rules.add(lake, RULE)
    alert_rules.remove(lake, "high")
    state_file(lake).unlink()
    assert "first rule" in alert_rules.add(lake, RULE)


def test_a_try_out_reaches_the_address_and_names_it_only(lake: Settings, hook: Webhook) -> None:
    alert_rules.add(lake, RULE)
    assert alert_rules.try_addresses(lake, "high") == ["OPS_HOOK took the try-out"]
    (told,) = hook.received["a-secret-path"]
    assert "TRY-OUT" in told["title"]
    hook.status["a-secret-path"] = [500]
    failed, why = alert_rules.try_addresses(lake, "high")
    assert failed == "OPS_HOOK took no alert"
    assert "no way out" in why


def test_names_of_addresses_can_be_chosen_and_the_lakes_own_secrets_cannot(lake: Settings, hook: Webhook) -> None:
    folder = own_secrets.folder(lake.data_dir)
    folder.mkdir(parents=True)
    for name in ("OPS_MAIL", "FINANCELAKE_WEB_TOKEN", "kafka-java.properties"):
        (folder / name).write_text("mailto://a:b@example.org")
    alert_rules.add(lake, RULE)
    assert alert_rules.names(lake, alert_rules.declared(lake)) == ["OPS_HOOK", "OPS_MAIL"]


def test_a_page_without_a_token_or_a_login_changes_nothing(offline_lake: Settings) -> None:
    with pytest.raises(alert_rules.AlertsError, match="token or a login"):
        alert_rules.add(offline_lake, RULE)
    assert not offline_lake.rules_path.exists()


def test_only_one_check_runs_at_a_time(lake: Settings, hook: Webhook) -> None:
    alert_rules.add(lake, RULE)
    with alert_rules.alone(), pytest.raises(alert_rules.AlertsError, match="Another rule"):
        alert_rules.try_addresses(lake, "high")


@pytest.mark.parametrize(
    ("site", "origin", "expected"),
    [
        (None, None, False),  # a program
        ("same-origin", "https://lake.example.org", False),
        ("same-site", "https://evil.example.org", True),
        ("cross-site", None, True),
        (None, "http://127.0.0.1:8050", False),
        (None, "http://127.0.0.1:8051", True),
        (None, "null", True),
    ],
)
def test_a_foreign_page_is_known(site: str | None, origin: str | None, expected: bool) -> None:
    assert is_foreign(site, origin, "127.0.0.1:8050") is expected


def client_of(lake: Settings) -> FlaskClient:
    return create_app(lake, LakeReader(lake)).server.test_client()


def clicked(client: FlaskClient, typed: dict[str, Any], **headers: str) -> Any:
    """Click Add, as the page does it."""
    values = {"alert-add": 1, "alert-check": None, **{f"alert-{name}": value for name, value in typed.items()}}
    return sent(client, "alert-said.children", "alert-add", values, **headers)


def address_clicked(client: FlaskClient, typed: dict[str, Any], **headers: str) -> Any:
    """Click Set up, as the page does it."""
    values = {"address-add": 1, **{f"address-{name}": value for name, value in typed.items()}}
    return sent(client, "address-said.children", "address-add", values, **headers)


def sent(client: FlaskClient, output: str, button: str, values: dict[str, Any], **headers: str) -> Any:
    """What the page posts when a button is clicked, and the answer."""
    client.set_cookie("none", "0")
    headers.setdefault("Authorization", "Bearer a-token")
    dependencies = client.get("/_dash-dependencies", headers={"Authorization": "Bearer a-token"}).json or []
    one = next(entry for entry in dependencies if output in entry["output"])
    names = [part.split("@")[0] for part in one["output"].strip(".").split("...")]
    inputs: list[Any] = [
        [] if entry["id"].startswith("{") else {**entry, "value": values[entry["id"]]} for entry in one["inputs"]
    ]
    body = {
        "output": one["output"],
        "outputs": [dict(zip(("id", "property"), name.rsplit(".", 1), strict=True)) for name in names],
        "inputs": inputs,
        "state": [{**entry, "value": values.get(entry["id"])} for entry in one["state"]],
        "changedPropIds": [f"{button}.n_clicks"],
    }
    return client.post(
        "/_dash-update-component", data=json.dumps(body), content_type="application/json", headers=headers
    )


def test_add_declares_a_rule_and_a_foreign_page_cannot(lake: Settings, hook: Webhook) -> None:
    client = client_of(lake)
    assert clicked(client, FORM, Authorization="Bearer wrong").status_code == 401
    assert clicked(client, FORM, Origin="https://evil.example.org").status_code == 403
    assert clicked(client, FORM, **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert (
        client.post("/_dash-update-component", data="{}", headers={"Authorization": "Bearer a-token"}).status_code
        == 415
    )
    assert read_rules(lake.rules_path) == []
    answer = clicked(client, FORM)
    assert answer.status_code == 200, answer.text
    assert "high is declared" in answer.text
    assert [rule.name for rule in read_rules(lake.rules_path)] == ["high"]


def test_what_is_wrong_with_a_rule_is_said_at_its_column(lake: Settings) -> None:
    answer = clicked(client_of(lake), {**FORM, "rule": "clsoe > 1"})
    assert "close" in answer.text
    assert read_rules(lake.rules_path) == []


def test_set_up_keeps_an_address_and_answers_without_it(lake: Settings, hook: Webhook) -> None:
    client, secret = client_of(lake), hook.address("another-secret-path")
    typed = {"name": "OPS_MINE", "url": secret, "replace": False}
    assert address_clicked(client, typed, Authorization="Bearer wrong").status_code == 401
    assert address_clicked(client, typed, Origin="https://evil.example.org").status_code == 403
    assert address_clicked(client, typed, **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert alert_addresses.listed(lake) == []
    answer = address_clicked(client, typed)
    assert "OPS_MINE is set up: webhook" in answer.text
    assert answer.json["response"]["address-url"] == {"value": ""}
    assert address("OPS_MINE", lake) == SecretStr(secret)
    again = address_clicked(client, typed)
    assert "already" in again.text
    unknown = address_clicked(client, {**typed, "name": "OTHER", "url": "jsn://another-secret-path"})
    assert "Did you mean json" in unknown.text
    shown = sent(client, "alert-addresses.children", "alerts-changed", {"alerts-changed": 1})
    assert "webhook, set up 20" in shown.text
    for said in (answer, again, unknown, shown):
        assert "another-secret-path" not in said.text
        assert str(hook.port) not in said.text


def test_an_address_is_tried_out_and_removed_when_no_rule_uses_it(lake: Settings, hook: Webhook) -> None:
    alert_addresses.add(lake, "OPS_MINE", SecretStr(hook.address("mine")), replace=False)
    assert alert_addresses.try_out(lake, "OPS_MINE") == "OPS_MINE took the try-out"
    (told,) = hook.received["mine"]
    assert "TRY-OUT of OPS_MINE" in told["title"]
    hook.status["mine"] = [500]
    assert "took no alert" in alert_addresses.try_out(lake, "OPS_MINE")
    alert_rules.add(lake, {**RULE, "to": ("OPS_MINE",)})
    assert alert_rules.names(lake, []) == ["OPS_MINE"]
    with pytest.raises(AddressError, match="still used by a rule: high"):
        alert_addresses.remove(lake, "OPS_MINE")
    alert_rules.remove(lake, "high")
    assert alert_addresses.remove(lake, "OPS_MINE") == "OPS_MINE is removed."
    assert alert_addresses.listed(lake) == []


def test_a_page_without_a_token_or_a_login_takes_no_address(offline_lake: Settings, hook: Webhook) -> None:
    with pytest.raises(alert_rules.AlertsError, match="token or a login"):
        alert_addresses.add(offline_lake, "OPS_MINE", SecretStr(hook.address("mine")), replace=False)
    with pytest.raises(alert_rules.AlertsError, match="token or a login"):
        alert_addresses.try_out(offline_lake, "OPS_HOOK")
    with pytest.raises(alert_rules.AlertsError, match="token or a login"):
        alert_addresses.remove(offline_lake, "OPS_HOOK")
    assert not offline_lake.addresses_dir.exists()


def test_a_folder_that_the_page_cannot_write_is_named_with_what_to_do(lake: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    closed = lake.model_copy(update={"alerts": AlertSettings(addresses_dir=tmp_path / "file" / "book")})
    with pytest.raises(alert_rules.AlertsError, match="cannot write") as error:
        alert_addresses.add(closed, "OPS_MINE", SecretStr("json://127.0.0.1/hunter2"), replace=False)
    assert "address add" in error.value.remedy
    assert "hunter2" not in str(error.value)


@pytest.mark.browser
def test_a_person_makes_checks_tries_and_removes_a_rule(
    dashboard_with_token: Dashboard, browser: Browser, hook: Webhook
) -> None:
    lake = dashboard_with_token.lake
    for day, close in enumerate((90.0, 110.0, 95.0)):
        OpenTables(lake).insert(BARS, rows.bar(day, close))
    with open_page(browser) as (page, problems):
        page.goto(f"{dashboard_with_token.url}/?token=a-token&symbol=BTC-USD")
        page.get_by_role("link", name="Alert me").click()
        expect(page.get_by_role("heading", name="Alerts")).to_be_visible()
        page.get_by_label("Name of the address").fill("OPS_MINE")
        page.locator("#address-url").fill(hook.address("a-secret-path-of-mine"))
        page.get_by_role("button", name="Set up", exact=True).click()
        expect(page.locator("#alert-addresses")).to_contain_text("webhook, set up")
        expect(page.locator("#address-url")).to_have_value("")
        page.get_by_role("button", name="Try it OPS_MINE").click()
        expect(page.locator("#address-said")).to_contain_text("took the try-out")
        page.get_by_role("button", name="Remove OPS_MINE").click()
        expect(page.locator("#alert-addresses")).to_contain_text("No address yet")
        page.get_by_label("Name", exact=True).fill("high")
        page.get_by_label("Rule", exact=True).fill("close crosses 100")
        page.locator("#alert-to").fill("OPS_HOOK")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Check", exact=True).click()
        expect(page.locator("#alert-said")).to_contain_text("fired 2 times")
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.locator("#alert-rules")).to_contain_text("OPS_HOOK")
        page.get_by_role("button", name="Try it high").click()
        expect(page.locator("#alert-said")).to_contain_text("took the try-out")
        page.get_by_role("button", name="Remove high").click()
        expect(page.locator("#alert-rules")).to_contain_text("No rule yet")
        assert "a-secret-path" not in page.content()
        assert problems == []
    assert read_rules(lake.rules_path) == []
