"""The token of a lake's pages: shown once in an address, a cookie from then on, and nothing without either."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from dash_app.login import require_login
from financelake_assets.config import Settings
from financelake_assets.servers import web_token
from financelake_assets.servers.web_guard import WebGuard
from financelake_assets.servers.web_token import WebToken

TOKEN = "-".join(["the", "lakes", "own"])
KEY = WebToken(TOKEN)
COOKIE = KEY.exchange("/", "")["Set-Cookie"].partition(";")[0]


def guarded(
    path: str, *more: tuple[str, str], kind: str = "http", method: str = "GET"
) -> tuple[int | str, dict[str, str]]:
    """Status (or the kind of the first message) and headers that a guarded application answers with."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        opened = {"type": "websocket.accept"}
        await send({"type": "http.response.start", "status": 200, "headers": []} if kind == "http" else opened)

    async def send(message: Any) -> None:
        sent.append(message)

    place, _, query = path.partition("?")
    headers = [(name.encode(), value.encode()) for name, value in (("host", "127.0.0.1:3000"), *more)]
    scope = {"type": kind, "path": place, "query_string": query.encode(), "headers": headers, "method": method}
    asyncio.run(WebGuard(app, key=KEY)(scope, None, send))  # type: ignore[arg-type]
    first = sent[0]
    answered = {name.decode(): value.decode() for name, value in first.get("headers", [])}
    return first.get("status", first["type"]), answered


@pytest.mark.parametrize("path", ["/", "/graphql?query=%7Bversion%7D", "/runs", "/?token=", "/?token=wrong", "//"])
def test_dagsters_page_answers_nobody_without_the_token(path: str):
    assert guarded(path)[0] == 401
    assert guarded(path, ("cookie", COOKIE[:-1]))[0] == 401
    assert guarded(path, ("authorization", "Bearer wrong"))[0] == 401
    assert guarded(path, ("authorization", f"Basic {TOKEN}"))[0] == 401


def test_a_mutation_needs_the_token():
    asked = ("content-type", "application/json")
    assert guarded("/graphql", asked, method="POST")[0] == 401
    assert guarded(f"/graphql?token={TOKEN}", asked, method="POST")[0] == 401, "an address is for people"
    assert guarded("/graphql", asked, ("authorization", f"Bearer {TOKEN}"), method="POST")[0] == 200
    assert guarded("/graphql", asked, ("cookie", COOKIE), method="POST")[0] == 200


def test_a_websocket_needs_the_cookie():
    assert guarded("/graphql", kind="websocket")[0] == "websocket.close"
    assert guarded(f"/graphql?token={TOKEN}", kind="websocket")[0] == "websocket.close"
    assert guarded("/graphql", ("cookie", f"a=b; {COOKIE}"), kind="websocket")[0] == "websocket.accept"


def test_the_token_in_an_address_becomes_a_cookie_and_leaves_the_address():
    status, headers = guarded(f"/runs?a=1&token={TOKEN}&b=x%20y")
    assert status == 303
    assert headers["location"] == "/runs?a=1&b=x+y"
    parts = {part.strip() for part in headers["set-cookie"].split(";")}
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= parts
    assert TOKEN not in headers["set-cookie"]
    assert headers["referrer-policy"] == "no-referrer"
    assert guarded(headers["location"], ("cookie", headers["set-cookie"].partition(";")[0]))[0] == 200


def test_a_token_for_another_page_does_not_pass_by_the_guard():
    assert guarded(f"/?token={TOKEN}", ("host", "evil.example"))[0] == 403
    assert guarded(f"/?token={TOKEN}", ("origin", "http://evil.example"))[0] == 403


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "///evil.example", "/%0d%0aX: y", "/\r\nX: y"])
def test_the_redirect_stays_on_this_server(path: str):
    location = KEY.exchange(path, f"token={TOKEN}")["Location"]
    assert urlsplit(location).netloc == ""
    assert not location.startswith(("//", "/\\"))
    assert "\r" not in location
    assert "\n" not in location


def test_probes_are_answered_without_it():
    assert guarded("/server_info")[0] == 200


def test_two_lakes_of_one_machine_keep_each_others_cookies():
    other = WebToken("another token")
    assert other.cookie_name != KEY.cookie_name
    theirs = other.exchange("/", "")["Set-Cookie"].partition(";")[0]
    assert KEY.admits(f"{theirs}; {COOKIE}", None)
    assert not KEY.admits(theirs, None)
    assert not KEY.admits(f"{KEY.cookie_name}={theirs.partition('=')[2]}", None)


def test_a_broken_cookie_of_another_program_hides_nothing():
    assert KEY.admits(f'odd="; b@d=[]; =; {COOKIE}', None)


@given(st.text(), st.text(), st.text())
def test_nothing_that_is_sent_breaks_it_or_gets_in(cookies: str, authorization: str, query: str):
    assert not KEY.admits(cookies, authorization)
    assert not KEY.offered(query)


@pytest.fixture
def page() -> FlaskClient:
    server = Flask("page")
    server.add_url_rule("/", "page", lambda: "page")
    server.add_url_rule("/signals.csv", "csv", lambda: "csv")
    server.add_url_rule("/health", "health", lambda: "well")
    require_login(server, Settings.model_validate({"web_token": TOKEN}))
    return server.test_client()


def test_finance_lake_pro_answers_nobody_without_the_token(page: FlaskClient):
    for path in ("/", "/signals.csv", "/no/such", "/?token=wrong"):
        answer = page.get(path)
        assert answer.status_code == 401, path
        assert "financelake up" in answer.text
    assert page.post(f"/?token={TOKEN}").status_code == 401
    assert page.get("/health").status_code == 200
    assert page.get("/signals.csv", headers={"Authorization": f"Bearer {TOKEN}"}).text == "csv"


def test_finance_lake_pro_takes_the_token_once(page: FlaskClient):
    first = page.get(f"/?symbol=BTC-USD&token={TOKEN}")
    assert (first.status_code, first.headers["Location"]) == (303, "/?symbol=BTC-USD")
    assert page.get(first.headers["Location"]).text == "page"  # the client keeps cookies as a browser does


def test_a_login_of_the_users_own_stays_the_only_way_in():
    server = Flask("page")
    server.add_url_rule("/", "page", lambda: "page")
    given = {"web_token": TOKEN, "dashboard": {"login": "reader:a-long-password"}}
    require_login(server, Settings.model_validate(given))
    assert server.test_client().get(f"/?token={TOKEN}").status_code == 401
    assert server.test_client().get("/", auth=("reader", "a-long-password")).status_code == 200


def test_the_printed_address_opens_and_a_lake_without_a_token_prints_a_plain_one():
    lake = Settings.model_validate({"web_token": TOKEN})
    assert parse_qs(urlsplit(web_token.opening(lake.dagster_url, lake)).query) == {"token": [TOKEN]}
    assert web_token.headers(lake) == {"Authorization": f"Bearer {TOKEN}"}
    assert web_token.opening(lake.dagster_url, Settings()) == lake.dagster_url
    assert web_token.headers(Settings()) == {}
