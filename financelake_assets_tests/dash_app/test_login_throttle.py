"""Guessing the page's login is slow."""

import base64

from flask import Flask

from dash_app.login import require_login
from financelake_assets.config import Settings
from financelake_assets.servers.attempts import Attempts


def test_an_address_waits_after_ten_wrong_logins_and_another_does_not() -> None:
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    for _ in range(9):
        attempts.note_failure("a")
    assert attempts.wait_seconds("a") == 0
    attempts.note_failure("a")
    assert attempts.wait_seconds("a") == 60
    assert attempts.wait_seconds("b") == 0
    now[0] = 60.0
    assert attempts.wait_seconds("a") == 0


def test_a_guesser_is_stopped_even_when_the_right_login_comes() -> None:
    server = Flask("page")
    server.add_url_rule("/", "page", lambda: "page")
    server.add_url_rule("/health", "health", lambda: "well")
    require_login(server, Settings.model_validate({"dashboard": {"login": "reader:a-long-password"}}))
    client = server.test_client()

    def ask(login: str) -> int:
        header = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if login else {}
        return client.get("/", headers=header).status_code

    assert [ask("") for _ in range(20)] == [401] * 20, "a browser asks without a login first"
    assert ask("reader:a-long-password") == 200
    assert [ask(f"reader:{guess}") for guess in range(10)] == [401] * 10
    assert ask("reader:a-long-password") == 429
    assert client.get("/health").status_code == 200
