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
from financelake_assets.operations.alerts import Alert, LakeFacts, StreamFacts, conditions, outbox, read_cursor
from financelake_assets.operations.notifier import Told, channels, tell
from financelake_assets_tests.shared_servers import free_ports

SETTINGS = AlertSettings(repeat_hours=1, stale_seconds=60)
WELL = LakeFacts(
    streams={"silver": StreamFacts(0, None), "gold": StreamFacts(1, "restarted")},
    lag=0,
    silver_idle_seconds=1e6,
    unbalanced=0,
    champion_age_days={"1d": 3.0, "5m": 89.0},
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
        ({"champion_age_days": {"1d": 3.0, "5m": 91.0}}, "model/expired/5m", "91 days old"),
        ({"drift": {"5m": "14 % of the features drifted"}}, "model/drift/5m", "14 %"),
        ({"failed_checks": {"gold/signals/values": "a signal"}}, "check/gold/signals/values", "a signal"),
        ({"failed_runs": {"ab12": "train_model"}}, "run/ab12", "ab12"),
        ({"kill_switch": "drawdown 21 %"}, "portfolio/kill_switch", "21 %"),
        ({"clock": "It was moved by -86400 s"}, "machine/clock", "-86400 s"),
        ({"unknown": {"ledger": "DeltaError: a log that is cut"}}, "unknown/ledger", "cut"),
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


ACTIVE = [Alert("silver/stale", "Silver does not commit", "7 messages wait")]
OVER = {"stream/gold": 1_000.0}


def say(urls: list[str], cursor: dict[str, dict[str, float]] | None = None, now: float = 2_000.0) -> Told:
    """Tell of one condition, and that another is over, which every channel has told of."""
    settings = AlertSettings.model_validate({"urls": urls, "repeat_hours": 1})
    before = dict.fromkeys(channels(settings), OVER) if cursor is None else cursor
    return tell(ACTIVE, before, now, settings, lambda _: None)


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
    settings = AlertSettings.model_validate({"urls": [f"{address}/hook"]})
    tell(ACTIVE, dict.fromkeys(channels(settings), OVER), 2_000.0, settings, logged.append)
    assert [(item["title"], item["message"], item["type"]) for item in received] == [
        ("FinanceLake: Silver does not commit", "7 messages wait", "failure"),
        ("FinanceLake: Over", "stream/gold", "success"),
    ]
    assert logged == ["Silver does not commit: 7 messages wait", "Over: stream/gold"]


@pytest.mark.parametrize("dead", ["{address}/broken", "json://127.0.0.1:{closed}/hook", "nonsense-with-a-password"])
def test_an_address_that_does_not_hear_keeps_no_other_from_hearing_and_hears_later(webhook, dead: str):
    address, received = webhook
    dead = dead.format(address=address, closed=free_ports(1)[0])
    told = say([dead, f"{address}/hook"])
    assert [item["title"] for item in received if "Over" in item["title"]] == ["FinanceLake: Over"]
    assert list(told.deaf) == ["1"]
    assert (told.said["1"], told.said["2"]) == (OVER, {"silver/stale": 2_000.0})
    assert "password" not in str(told)
    assert "127.0.0.1" not in str(told)
    # mended, it is told what it missed, and the other is not told again
    received.clear()
    told = say([f"{address}/hook", f"{address}/other"], told.said, 2_030.0)
    assert [item["title"] for item in received] == ["FinanceLake: Silver does not commit", "FinanceLake: Over"]
    assert (told.deaf, told.said["1"]) == ({}, {"silver/stale": 2_030.0})


def test_a_new_address_is_told_of_what_lasts(webhook):
    address, received = webhook
    told = say([], {"log": {"silver/stale": 1_990.0}})
    told = say([f"{address}/hook"], told.said)
    assert [item["message"] for item in received] == ["7 messages wait"]
    assert told.logged.alerts == ()


def test_the_cursor_of_an_earlier_release_holds_for_every_channel():
    assert read_cursor({"run/1": 5.0}, ["log", "1"]) == {"log": {"run/1": 5.0}, "1": {"run/1": 5.0}}
    assert read_cursor({"log": {"a": 1.0}}, ["log", "1"]) == {"log": {"a": 1.0}, "1": {}}
    assert read_cursor({}, ["log"]) == {"log": {}}


def test_a_clock_that_was_set_back_silences_nothing():
    said = outbox(ACTIVE, {}, 1_000_000.0, SETTINGS).said
    again = outbox(ACTIVE, said, 1_000_000.0 - 86_400, SETTINGS)
    assert again.alerts == tuple(ACTIVE)
    assert outbox(ACTIVE, again.said, 1_000_030.0 - 86_400, SETTINGS).alerts == ()


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
        say([address])
    finally:
        server.stop()
    assert len(received) == 2
    assert "Silver does not commit" in received[0]


def test_without_addresses_the_log_is_told():
    assert say([]).logged.alerts == tuple(ACTIVE)


def test_the_runbook_has_a_section_for_every_alert():
    keys = {
        alert.key
        for change in (
            {"streams": {"silver": StreamFacts(2, "x"), "gold": StreamFacts(2, "x")}},
            {"broker": "x", "lag": 1, "unbalanced": 1, "champion_age_days": {"…": 91.0}, "kill_switch": "x"},
            {"failed_runs": {"…": "train_model"}, "failed_checks": {"…": "x"}, "drift": {"…": "x"}},
            {"clock": "x", "unknown": {"…": "x"}},
        )
        for alert in conditions(replace(WELL, **change), SETTINGS, 90)
    }
    runbook = Path(__file__).parents[2] / "docs" / "runbook.md"
    titles = {line.removeprefix("## ") for line in runbook.read_text().splitlines() if line.startswith("## ")}
    assert {*keys, "alerts/…"} == {key for title in titles for key in title.split(", ") if "/" in key}
