from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from dash_app import callbacks
from dash_app.data.lake_reader import LakeReader
from dash_app.login import OpenHostError
from dash_app.preferences import Preferences, choose
from dash_app.server import create_app
from financelake_assets.config import Settings
from financelake_assets.servers.loopback import is_loopback
from financelake_assets_tests.dash_app import written
from financelake_assets_tests.shared_servers import free_ports


def _client(lake: Settings) -> tuple[FlaskClient, LakeReader]:
    reader = LakeReader(lake)
    return create_app(lake, reader).server.test_client(), reader


def _open(lake: Settings, host: str, login: str | None = None) -> Settings:
    return Settings.model_validate({"data_dir": lake.data_dir, "host": host, "dashboard": {"login": login}})


def test_health_and_pulse_answer_before_any_table_exists(offline_lake: Settings) -> None:
    client, reader = _client(offline_lake)
    assert client.get("/health").json == {"status": "ok", "loaded": False, "tables": {}, "problems": []}
    reader.refresh()
    health = client.get("/health").json
    assert health is not None
    assert health["tables"]["silver/bars"] == {"state": "absent", "version": None}
    assert (client.get("/pulse").json or {})["newest"] is None


def test_the_pulse_changes_with_the_data_only(offline_lake: Settings) -> None:
    client, reader = _client(offline_lake)
    stamps = []
    for step in (None, lambda: written.write_bars(offline_lake, written.bars(("AAPL",), count=3)), None):
        if step:
            step()
        reader.refresh()
        stamps.append((client.get("/pulse").json or {})["stamp"])
    assert stamps[0] != stamps[1]
    assert stamps[1] == stamps[2]


@pytest.mark.parametrize("path", ["/", "/health", "/pulse", "/nowhere", "/assets/style.css", "/assets/absent"])
def test_every_answer_is_hardened(offline_lake: Settings, path: str) -> None:
    client, _ = _client(offline_lake)
    headers = client.get(path).headers
    policy = headers["Content-Security-Policy"]
    scripts = next(rule for rule in policy.split("; ") if rule.startswith("script-src"))
    assert "unsafe" not in scripts
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_big_answers_are_compressed(offline_lake: Settings) -> None:
    client, _ = _client(offline_lake)
    answer = client.get("/_dash-layout", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"


def test_a_foreign_name_for_this_machine_is_refused(offline_lake: Settings) -> None:
    client, _ = _client(offline_lake)
    assert client.get("/pulse", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/pulse", headers={"Host": "127.0.0.1:8050"}).status_code == 200


def test_a_failure_shows_no_stack_trace(offline_lake: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    client, reader = _client(offline_lake)
    monkeypatch.setattr(reader, "snapshot", None)
    answer = client.get("/pulse")
    assert answer.status_code == 500
    assert "NoneType" not in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "body", ["", "{}", "[]", '{"output": "__proto__"}', '{"output": "page.children", "inputs": 1}']
)
def test_a_malformed_callback_is_an_error_without_a_trace(offline_lake: Settings, body: str) -> None:
    client, _ = _client(offline_lake)
    answer = client.post("/_dash-update-component", data=body, content_type="application/json")
    assert answer.status_code >= 400
    assert "Traceback" not in answer.text
    assert "site-packages" not in answer.text


def test_an_open_host_needs_a_login(offline_lake: Settings) -> None:
    with pytest.raises(OpenHostError, match="FINANCELAKE_DASHBOARD__LOGIN"):
        _client(_open(offline_lake, "0.0.0.0"))  # noqa: S104
    client, _ = _client(_open(offline_lake, "0.0.0.0", "ada:correct-horse"))  # noqa: S104
    assert client.get("/").status_code == 401
    assert client.get("/pulse").status_code == 401
    assert client.post("/_dash-update-component", json={}).status_code == 401
    assert client.get("/assets/style.css").status_code == 401
    assert client.get("/", auth=("ada", "wrong-horse")).status_code == 401
    assert client.get("/", auth=("ada", "correct-horse")).status_code == 200
    assert client.get("/health").status_code == 200


def test_a_login_is_kept_secret_and_must_be_long_enough(offline_lake: Settings) -> None:
    assert "correct-horse" not in repr(_open(offline_lake, "127.0.0.1", "ada:correct-horse"))
    for weak in ("ada", "ada:short", ":password1"):
        with pytest.raises(ValueError, match="login"):
            _open(offline_lake, "127.0.0.1", weak)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("10.0.0.4", False), ("lake", False)],  # noqa: S104
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_the_page_needs_neither_spark_nor_kafka() -> None:
    heavy = "{'pyspark', 'confluent_kafka', 'dagster', 'optuna'}"
    code = f"import sys, dash_app.__main__; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_served_as_a_process_it_answers_and_leaves_on_sigterm(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    environment = {
        **os.environ,
        "FINANCELAKE_DATA_DIR": str(tmp_path / "absent"),
        "FINANCELAKE_DASHBOARD__PORT": str(port - 5),
        "FINANCELAKE_PORT_OFFSET": "5",
    }
    process = subprocess.Popen([sys.executable, "-m", "dash_app"], env=environment, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
                    assert answer.status == 200
                    break
            except urllib.error.URLError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.communicate()


def test_served_to_others_without_a_login_it_does_not_start(tmp_path: Path) -> None:
    environment = {**os.environ, "FINANCELAKE_DATA_DIR": str(tmp_path), "FINANCELAKE_HOST": "0.0.0.0"}  # noqa: S104
    done = subprocess.run(
        [sys.executable, "-m", "dash_app"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "FINANCELAKE_DASHBOARD__LOGIN" in done.stderr
    assert "Traceback" not in done.stderr


def test_callbacks_answer_in_every_state(offline_lake: Settings) -> None:
    """The symbol callback as the browser calls it, over HTTP, in a lake that fills step by step."""
    client, reader = _client(offline_lake)
    rows = written.bars(("AAPL",))
    steps = [
        (lambda: None, "No bars yet"),
        (lambda: written.write_bars(offline_lake, rows), "339 of 500 labelled bars"),
        (lambda: written.write_model(offline_lake), "no signal yet"),
        (lambda: written.write_gold(offline_lake, rows), "Predicted next close"),
    ]
    for step, words in steps:
        step()
        reader.refresh()
        assert words in _call(client, "?symbol=AAPL")
    assert "has no bars of NOPE" in _call(client, "?symbol=NOPE")
    assert "financelake symbols add" in _call(client, "?symbol=NOPE")


def test_visitors_of_one_moment_get_their_own_times_and_numbers(offline_lake: Settings) -> None:
    client, reader = _client(offline_lake)
    written.write_lake(offline_lake, ("BTC-USD",))
    reader.refresh()
    price = f"{written.bars(('BTC-USD',), 10)['close'][-1]:,.2f}"
    assert price in _call(client, "?symbol=BTC-USD")
    client.set_cookie("financelake-numbers", "comma")
    try:
        assert price.translate(str.maketrans(".,", ",.")) in _call(client, "?symbol=BTC-USD")
    finally:
        choose(Preferences())  # the test client answers in this thread, which keeps the visitor's choice


def _call(client: FlaskClient, search: str) -> str:
    dependencies = client.get("/_dash-dependencies").json or []
    one = next(entry for entry in dependencies if "symbol-head.children" in entry["output"])
    names = [part.split("@")[0] for part in one["output"].strip(".").split("...")]
    values = {"search": search, "pathname": "/", "checked": True, "data": None}
    body = {
        "output": one["output"],
        "outputs": [dict(zip(("id", "property"), name.rsplit(".", 1), strict=True)) for name in names],
        "inputs": [{**entry, "value": values[entry["property"]]} for entry in one["inputs"]],
        "state": [{**entry, "value": values[entry["property"]]} for entry in one["state"]],
        "changedPropIds": [],
    }
    answer = client.post("/_dash-update-component", json=body)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_every_reason_to_hold_has_words() -> None:
    from financelake_assets.gold.signals import HoldReason

    assert set(callbacks.wording.HOLD_REASONS) == {reason.value for reason in HoldReason}
