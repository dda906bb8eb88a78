"""The alerter on real tables and a real webhook: who is told what; dead addresses, quiet hours, and kills."""

from __future__ import annotations

import base64
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from financelake_assets.alerting import alerter, outbox, picture, postman
from financelake_assets.alerting.alerter import Alerter
from financelake_assets.alerting.postman import Postman
from financelake_assets.alerting.rules_file import read_rules
from financelake_assets.config import Settings
from financelake_assets.gold.alerter_state import read_state
from financelake_assets.gold.paper.schema import EQUITY
from financelake_assets.gold.schema import SIGNALS
from financelake_assets.operations.status import alerts_status
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets.supervision import clock, health, processes
from financelake_assets_tests.alerting import mortal
from financelake_assets_tests.alerting.webhook import Webhook, webhook
from financelake_assets_tests.query import rows

CROSSING = {"name": "crossing", "rule": "close crosses 100", "to": ["GOOD"]}


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with webhook() as found:
        for name in ("GOOD", "OTHER", "DEAD"):
            monkeypatch.setenv(name, found.address(name.lower()))
        yield found


@pytest.fixture
def lake(tmp_path: Path) -> Settings:
    alerts = {"page_url": "https://lake.example.org/", "picture": False}
    return Settings.model_validate({"data_dir": tmp_path / "lake", "alerts": alerts})


def declare(lake: Settings, *rules: dict[str, Any]) -> None:
    lake.rules_path.parent.mkdir(parents=True, exist_ok=True)
    lake.rules_path.write_text(yaml.safe_dump({"alerts": list(rules)}))


def bars(lake: Settings, first: int, *closes: float, **fields: object) -> None:
    """A commit for each bar."""
    for day, close in enumerate(closes, first):
        OpenTables(lake).insert(BARS, rows.bar(day, close, **fields))


class Served:
    """An alerter whose addresses are served when a test says so."""

    def __init__(self, lake: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Postman, "start", lambda _: None)
        self.alerter = Alerter(lake)

    def round(self) -> None:
        """Evaluate, and send what can be sent."""
        assert self.alerter.round()
        self.send()

    def send(self) -> list[float | None]:
        """Each address until it has nothing or takes nothing."""
        answers = []
        for one in self.alerter._postmen.values():
            while (again := one.round()) == 0:
                pass
            answers.append(again)
        return answers


def test_an_alert_has_the_reason_the_bar_and_a_link(lake: Settings, hook: Webhook, monkeypatch: Any) -> None:
    declare(lake, CROSSING)
    bars(lake, 0, 90, 110, 90)
    served = Served(lake, monkeypatch)
    served.round()
    assert hook.received["good"] == [], "a rule begins now"
    bars(lake, 3, 95, 100.5, 101)
    served.round()
    (told,) = hook.received["good"]
    assert told["title"] == "FinanceLake: crossing: BTC-USD 1d"
    assert told["message"].splitlines()[:4] == [
        "BTC-USD 1d: close crosses 100",
        "close 100.5 (bar before: 95)",
        "Bar of 2024-03-05 00:00 UTC",
        "https://lake.example.org/?symbol=BTC-USD&interval=1d",
    ]
    served.round()
    assert len(hook.received["good"]) == 1


def test_signals_and_the_portfolio_are_followed_from_their_first_commit(
    lake: Settings, hook: Webhook, monkeypatch: Any
) -> None:
    declare(
        lake,
        {"name": "strong", "rule": "signal is BUY and confidence > 0.6", "to": ["GOOD"]},
        {"name": "loss", "rule": "portfolio drawdown > 10 %", "to": ["OTHER"]},
    )
    served = Served(lake, monkeypatch)
    served.round()
    for day, sure in enumerate((0.5, 0.7, 0.8)):
        OpenTables(lake).insert(SIGNALS, rows.signal(day, confidence=sure))
    account = {"asset_class": "crypto", "interval": "1d", "currency": "EUR"}
    for day, drawdown in enumerate((0.05, 0.12)):
        at = rows.DAY.replace(day=1 + day)
        OpenTables(lake).insert(EQUITY, rows.as_rows(EQUITY, {**account, "event_time": at, "drawdown": drawdown}))
    served.round()
    assert [told["title"] for told in hook.received["good"]] == ["FinanceLake: strong: BTC-USD 1d"]
    (loss,) = hook.received["other"]
    assert "drawdown 0.12 (bar before: 0.05)" in loss["message"]
    assert loss["title"] == "FinanceLake: loss: crypto 1d EUR"
    assert "/portfolio?interval=1d&class=crypto&currency=EUR" in loss["message"]


def test_many_bars_of_one_commit_are_one_alert_for_each_series(lake: Settings, hook: Webhook, monkeypatch: Any) -> None:
    declare(lake, CROSSING)
    bars(lake, 0, 90)
    served = Served(lake, monkeypatch)
    served.round()
    table = OpenTables(lake)
    table.insert(BARS, pl.concat([rows.bar(day, 90 + 20 * (day % 2)) for day in range(1, 6)]))
    served.round()
    (told,) = hook.received["good"]
    assert "It also fired at 4 earlier bars" in told["message"]


def test_a_dead_address_is_tried_again_later_and_later_and_gets_everything_in_the_end(
    lake: Settings, hook: Webhook, monkeypatch: Any
) -> None:
    declare(lake, {**CROSSING, "to": ["DEAD", "GOOD", "NOWHERE"]})
    bars(lake, 0, 90)
    served = Served(lake, monkeypatch)
    served.round()
    hook.status["dead"] = [500, 500, 0, 500]
    bars(lake, 1, 110)
    served.round()
    assert len(hook.received["good"]) == 1
    waits = [served.alerter._postmen["DEAD"].round() for _ in range(3)]
    assert waits == [4.0, 8.0, 16.0], "the second one hangs, and is given up"
    served.alerter.say()
    state = alerts_status(lake)
    assert state["waiting"] == {"DEAD": 1, "NOWHERE": 1}
    assert state["problems"]["DEAD"] == "took no alert"
    assert "no environment variable" in state["problems"]["NOWHERE"]
    assert str(hook.port) not in str(state)
    bars(lake, 2, 90, 110, 90, 110, 90)
    served.round()
    assert len(hook.received["good"]) == 6
    (told,) = hook.received["dead"]
    assert told["title"] == "FinanceLake: 6 alerts at once"
    assert told["message"].count("crossing: BTC-USD 1d: close crosses 100") == 6
    served.alerter.say()
    assert alerts_status(lake)["problems"].keys() == {"NOWHERE"}


def test_a_webhook_that_answers_500_for_a_day_is_asked_seldom_and_loses_nothing(
    lake: Settings, hook: Webhook, monkeypatch: Any
) -> None:
    declare(lake, {**CROSSING, "to": ["DEAD", "GOOD"]})
    bars(lake, 0, 90)
    served = Served(lake, monkeypatch)
    served.round()
    hook.status["dead"] = [500] * 10_000
    bars(lake, 1, 110)
    served.round()
    waited, waits = 0.0, list[float]()
    while waited < 86_400:
        again = served.alerter._postmen["DEAD"].round()
        assert again, "it is tried again"
        waits.append(again)
        waited += again
    assert waits == sorted(waits), "it is asked more and more seldom"
    assert waits[-1] == 300.0, "and at least every five minutes"
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + waited)
    bars(lake, 2, 90)
    served.round()
    assert len(hook.received["good"]) == 2
    hook.status["dead"] = []
    served.round()
    assert [one["title"] for one in hook.received["dead"]] == [one["title"] for one in hook.received["good"]]
    served.alerter.say()
    assert alerts_status(lake)["waiting"] == {}


def test_an_address_that_hangs_delays_no_other(lake: Settings, hook: Webhook, monkeypatch: Any) -> None:
    """Each has a thread; the one that hangs is let go only after the others have all theirs."""
    monkeypatch.setenv("DEAD", hook.address("dead", "rto=300"))
    declare(lake, {**CROSSING, "to": ["DEAD", "GOOD"]})
    bars(lake, 0, 90)
    hook.status["dead"] = [0] * 100
    alerter = Alerter(lake)
    alerter.round()
    running = threading.Thread(target=alerter.run)
    running.start()
    try:
        for count, close in enumerate((110.0, 90.0, 110.0), 1):
            bars(lake, count, close)
            hook.wait("good", count)
    finally:
        hook.released.set()
        alerter.stop()
        running.join(60)
    assert not running.is_alive()
    assert hook.received["dead"] == []
    assert health.alerter(lake) is None


def test_quiet_hours_hold_and_then_one_message_comes(lake: Settings, hook: Webhook, monkeypatch: Any) -> None:
    quiet = {"start": "22:00", "end": "07:00", "zone": "UTC"}
    declare(lake, {**CROSSING, "quiet": quiet}, {"name": "loud", "rule": "close > 105", "to": ["GOOD"]})
    bars(lake, 0, 90)
    served = Served(lake, monkeypatch)
    served.round()
    monkeypatch.setattr(postman, "now", lambda: datetime(2026, 1, 1, 23, tzinfo=UTC))
    bars(lake, 1, 110, 90)
    served.round()
    assert [told["title"] for told in hook.received["good"]] == ["FinanceLake: loud: BTC-USD 1d"]
    served = Served(lake, monkeypatch)  # the process was started again meanwhile
    served.round()
    assert len(hook.received["good"]) == 1
    monkeypatch.setattr(postman, "now", lambda: datetime(2026, 1, 2, 7, tzinfo=UTC))
    served.round()
    assert hook.received["good"][1]["title"] == "FinanceLake: 2 alerts in the quiet hours"
    assert len(hook.received["good"]) == 2


def test_a_file_that_is_wrong_leaves_the_rules_and_one_that_changes_is_read(
    lake: Settings, hook: Webhook, monkeypatch: Any
) -> None:
    declare(lake, CROSSING)
    bars(lake, 0, 90)
    served = Served(lake, monkeypatch)
    served.round()
    lake.rules_path.write_text("alerts: [{name: crossing, rule: clothe > 1, to: GOOD}]")
    bars(lake, 1, 110)
    served.round()
    assert len(hook.received["good"]) == 1
    served.alerter.say()
    assert "line 1, rule" in alerts_status(lake)["problems"]["rules"]
    declare(lake, {**CROSSING, "rule": "close crosses 200"})
    served.round()
    bars(lake, 2, 90, 210)
    served.round()
    assert [told["message"].splitlines()[0] for told in hook.received["good"]][1:] == ["BTC-USD 1d: close crosses 200"]
    bars(lake, 4, 90)
    lake.rules_path.unlink()
    served.round()
    served.alerter.say()
    assert len(hook.received["good"]) == 2
    assert alerts_status(lake)["waiting"] == alerts_status(lake)["problems"] == {}


def test_an_alert_that_no_address_took_for_a_week_is_dropped_unless_the_clock_was_set(
    lake: Settings, hook: Webhook, monkeypatch: Any
) -> None:
    declare(lake, {**CROSSING, "to": ["NOWHERE"]})
    bars(lake, 0, 90)
    served = Served(lake, monkeypatch)
    served.round()
    bars(lake, 1, 110)
    served.round()
    real, moved = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + moved[0])
    moved[0] = 6 * 86_400.0
    served.round()
    assert served.alerter._outbox.counts() == {"NOWHERE": 1}
    moved[0] = 8 * 86_400.0
    monkeypatch.setattr(clock, "look", lambda _: clock.Clock("", 0.0, 10.0, 3600.0, 5.0))
    served.round()
    assert served.alerter._outbox.counts() == {"NOWHERE": 1}
    monkeypatch.setattr(clock, "look", lambda _: clock.Clock("", 0.0, 10.0))
    served.round()
    assert served.alerter._outbox.counts() == {}


def test_commits_that_are_no_longer_kept_are_told(lake: Settings, hook: Webhook, monkeypatch: Any) -> None:
    declare(lake, CROSSING)
    bars(lake, 0, 90)
    Served(lake, monkeypatch).round()
    bars(lake, 1, 110, 120, 130, 140)
    BARS.ensure(lake).create_checkpoint()
    for log in sorted(Path(BARS.path(lake), "_delta_log").glob("0*.json"))[:-1]:
        log.unlink()
    served = Served(lake, monkeypatch)
    served.round()
    (told,) = hook.received["good"]
    assert told["title"] == "FinanceLake: crossing has missed data"
    assert "are no longer kept" in told["message"]
    bars(lake, 5, 90)
    served.round()
    assert "close 90 (bar before: 140)" in hook.received["good"][1]["message"]


def test_the_process_is_one_of_the_lake_where_a_rule_is_declared(lake: Settings) -> None:
    assert "alerter" not in processes.of_lake(lake)
    assert (alerts_status(lake), health.alerter(lake)) == ({}, "has not started")
    declare(lake, CROSSING)
    assert "alerter" in processes.of_lake(lake)


def test_a_kill_between_any_two_steps_loses_no_alert_and_repeats_only_what_was_not_noted(
    lake: Settings, hook: Webhook
) -> None:
    """Only a kill between an address's answer and the note of it sends an alert again, with the same id."""
    declare(lake, CROSSING)
    bars(lake, 0, 90)

    def run(step: str) -> int:
        # a process of its own: a fork of one that has threads may wait for ever
        argv = [sys.executable, "-m", mortal.__name__, str(lake.data_dir), step]
        return subprocess.run(argv, timeout=120, check=False).returncode

    assert run("none") == 0
    for number, step in enumerate(mortal.STEPS, 1):
        bars(lake, number, 90 + 20 * (number % 2))
        assert run(step) == mortal.DEAD, step
        assert run("none") == 0
    ids = Counter(told["message"].splitlines()[-1] for told in hook.received["good"])
    assert len(ids) == len(mortal.STEPS)
    assert sorted(ids.values()) == [1, 1, 1, 1, 2]
    assert read_state(lake) is None


def test_a_file_that_stands_still_is_read_once_and_a_change_is_seen(
    lake: Settings, hook: Webhook, monkeypatch: Any
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(alerter, "read_rules", lambda file: read.append(file) or read_rules(file))
    monkeypatch.setattr(alerter, "SETTLED_NS", -(10**18))  # no change counts as just made
    declare(lake, CROSSING)
    bars(lake, 0, 90)
    served = Served(lake, monkeypatch)
    for _ in range(3):
        served.round()
    assert len(read) == 1
    text = lake.rules_path.read_text()
    lake.rules_path.write_text(f"{text}\n# seen\n")
    served.round()
    assert len(read) == 2


def drawing(lake: Settings) -> Settings:
    return lake.model_copy(update={"alerts": lake.alerts.model_copy(update={"picture": True})})


def crossed(lake: Settings, monkeypatch: Any) -> Served:
    """An alerter that has sent the alert of a crossing once."""
    declare(lake, CROSSING)
    bars(lake, 0, 90, 95)
    served = Served(lake, monkeypatch)
    served.round()
    bars(lake, 2, 120)
    served.round()
    return served


def test_an_alert_on_bars_carries_a_picture_of_them(lake: Settings, hook: Webhook, monkeypatch: Any) -> None:
    crossed(drawing(lake), monkeypatch)
    (told,) = hook.received["good"]
    (attached,) = told["attachments"]
    assert attached["filename"] == "chart.png"
    assert base64.b64decode(attached["base64"]).startswith(b"\x89PNG")


def test_an_address_that_refuses_the_picture_gets_the_alert_without_it(
    lake: Settings, hook: Webhook, monkeypatch: Any
) -> None:
    hook.status["good"] = [413]
    served = crossed(drawing(lake), monkeypatch)
    assert hook.received["good"] == []
    served.send()
    (told,) = hook.received["good"]
    assert told["attachments"] == []


@pytest.mark.parametrize("failing", ["setting", "drawing"])
def test_without_a_picture_the_alert_comes_all_the_same(
    lake: Settings, hook: Webhook, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    monkeypatch.setattr(picture, "levels", None)
    crossed(drawing(lake) if failing == "drawing" else lake, monkeypatch)
    (told,) = hook.received["good"]
    assert told["attachments"] == []


def test_the_outbox_of_an_earlier_release_is_used_on(lake: Settings) -> None:
    lake.run_dir.mkdir(parents=True)
    with sqlite3.connect(outbox.place(lake)) as file:
        file.executescript(outbox._SCHEMA.replace(", chart TEXT", ""))
        file.execute(
            "INSERT INTO outbox (address, alert, rule, title, text, since) VALUES ('A', 'i', 'r', 't', 'x', 1)"
        )
    (waiting,) = outbox.Outbox(lake).waiting("A")
    assert (waiting.message.title, waiting.message.chart) == ("t", None)
