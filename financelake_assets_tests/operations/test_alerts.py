"""Alerts: what counts as wrong, how often it is said, and that it arrives: at a real HTTP and a real SMTP server."""

import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.config import AlertSettings
from financelake_assets.operations.alerts import Alert, LakeFacts, Outbox, StreamFacts, conditions, outbox
from financelake_assets.operations.notifier import DeliveryFailedError, send
from financelake_assets_tests.shared_servers import free_ports

SETTINGS = AlertSettings(repeat_hours=1, stale_seconds=60)
WELL = LakeFacts(
    streams={"silver": StreamFacts(0, None), "gold": StreamFacts(1, "restarted")},
    lag=0,
    silver_idle_seconds=1e6,
    unbalanced=0,
    champion_age_days=3.0,
    failed_runs={},
)


def test_nothing_is_wrong_with_a_lake_that_is_well_and_idle():
    assert conditions(WELL, SETTINGS, 90) == []


@pytest.mark.parametrize(
    ("change", "key", "words"),
    [
        ({"streams": {"gold": StreamFacts(2, "out of memory")}}, "stream/gold", "out of memory"),
        ({"lag": 7, "silver_idle_seconds": 61.0}, "silver/stale", "7 messages wait"),
        ({"broker": "127.0.0.1:9092 does not answer"}, "bronze/broker", "127.0.0.1:9092"),
        ({"unbalanced": 3}, "silver/ledger", "3 messages"),
        ({"champion_age_days": 91.0}, "model/expired", "91 days old"),
        ({"drift": "14 % of the features drifted"}, "model/drift", "14 %"),
        ({"failed_checks": {"gold/signals/values": "a signal"}}, "check/gold/signals/values", "a signal"),
        ({"failed_runs": {"ab12": "train_model"}}, "run/ab12", "ab12"),
        ({"kill_switch": "drawdown 21 %"}, "portfolio/kill_switch", "21 %"),
    ],
)
def test_each_condition_has_a_key_and_says_what_it_is(change, key, words):
    (alert,) = conditions(replace(WELL, **change), SETTINGS, 90)
    assert alert.key == key
    assert words in alert.text


def test_a_condition_is_said_once_then_again_after_a_while_then_that_it_is_over():
    alert = Alert("silver/stale", "t", "x")
    first = outbox([alert], {}, 1_000.0, SETTINGS)
    assert first.alerts == (alert,)
    assert outbox([alert], first.said, 1_000.0 + 3_599, SETTINGS).alerts == ()
    again = outbox([alert], first.said, 1_000.0 + 3_600, SETTINGS)
    assert again.alerts == (alert,)
    over = outbox([], again.said, 5_000.0, SETTINGS)
    assert (over.alerts, over.over, over.said) == ((), ("silver/stale",), {})


def test_a_failed_run_is_never_over():
    said = outbox([Alert("run/1", "t", "x")], {}, 0.0, SETTINGS).said
    assert outbox([], said, 1.0, SETTINGS).over == ()


keys = st.sets(st.sampled_from(["a", "b", "c", "run/1"]))


@given(st.lists(keys, max_size=20), st.integers(60, 4_000))
def test_whatever_happens_nothing_is_said_twice_within_the_hour(looks: list[set[str]], pause: int):
    said: dict[str, float] = {}
    last: dict[str, float] = {}
    active: set[str] = set()
    for number, present in enumerate(looks):
        now = float(number * pause)
        out = outbox([Alert(key, "t", "x") for key in present], said, now, SETTINGS)
        for alert in out.alerts:
            assert alert.key not in last or alert.key not in active or now - last[alert.key] >= 3_600
            last[alert.key] = now
        active, said = present, dict(out.said)
        assert set(said) == present


OUT = Outbox((Alert("silver/stale", "Silver does not commit", "7 messages wait"),), ("stream/gold",), {})


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, str]]]]:
    received: list[dict[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(500 if self.path == "/broken" else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"json://127.0.0.1:{server.server_port}", received
        server.shutdown()


def test_a_webhook_gets_the_alert_and_its_end(webhook):
    address, received = webhook
    logged: list[str] = []
    send(OUT, AlertSettings.model_validate({"urls": [f"{address}/hook"]}), logged.append)
    assert [(item["title"], item["message"], item["type"]) for item in received] == [
        ("FinanceLake: Silver does not commit", "7 messages wait", "failure"),
        ("FinanceLake: Over", "stream/gold", "success"),
    ]
    assert logged == ["Silver does not commit: 7 messages wait", "Over: stream/gold"]


def test_a_webhook_that_fails_is_an_error_that_does_not_name_its_address(webhook):
    address, _ = webhook
    with pytest.raises(DeliveryFailedError) as raised:
        send(OUT, AlertSettings.model_validate({"urls": [f"{address}/broken"]}), lambda _: None)
    assert "127.0.0.1" not in str(raised.value)


def test_a_wrong_address_is_an_error_and_stays_secret():
    settings = AlertSettings.model_validate({"urls": ["nonsense-with-a-password"]})
    with pytest.raises(DeliveryFailedError, match="alert address 1"):
        send(OUT, settings, lambda _: None)
    assert "password" not in str(settings)


def test_a_mail_arrives():
    received: list[str] = []

    class Handler(Message):
        def handle_message(self, message: object) -> None:
            received.append(str(message))

    (port,) = free_ports(1)
    server = Controller(Handler(), hostname="127.0.0.1", port=port)
    server.start()
    try:
        address = f"mailto://127.0.0.1:{port}/?from=lake@example.org&to=ops@example.org&mode=insecure"
        send(OUT, AlertSettings.model_validate({"urls": [address]}), lambda _: None)
    finally:
        server.stop()
    assert len(received) == 2
    assert "Silver does not commit" in received[0]


def test_without_addresses_the_log_is_told():
    logged: list[str] = []
    send(OUT, AlertSettings(), logged.append)
    assert len(logged) == 2


def test_the_runbook_has_a_section_for_every_alert():
    keys = {
        alert.key
        for change in (
            {"streams": {"silver": StreamFacts(2, "x"), "gold": StreamFacts(2, "x")}},
            {"broker": "x", "lag": 1, "unbalanced": 1, "champion_age_days": 91.0, "kill_switch": "x"},
            {"failed_runs": {"…": "train_model"}, "failed_checks": {"…": "x"}, "drift": "x"},
        )
        for alert in conditions(replace(WELL, **change), SETTINGS, 90)
    }
    runbook = Path(__file__).parents[2] / "docs" / "runbook.md"
    titles = {line.removeprefix("## ") for line in runbook.read_text().splitlines() if line.startswith("## ")}
    assert keys == {key for title in titles for key in title.split(", ") if "/" in key}
