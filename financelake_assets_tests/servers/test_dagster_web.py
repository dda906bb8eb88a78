"""Dagster's own webserver behind the guard.

When a release of Dagster breaks a test of this file: look in ``dagster_webserver/cli.py`` for what makes the Starlette
application that uvicorn serves, and have ``servers/dagster_web.py`` add ``WebGuard`` to that. Where Dagster has got a
setting for ASGI middleware, use it and delete the replacement.
"""

from __future__ import annotations

import base64
import inspect
import json
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from dagster_graphql import DagsterGraphQLClient
from dagster_webserver import cli

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.servers import dagster, dagster_web
from financelake_assets.supervision import probes
from financelake_assets_tests import shared_servers
from financelake_assets_tests.browser import chromium

MUTATION = "mutation { setNuxSeen }"


def test_the_private_function_is_still_there_and_still_makes_the_application() -> None:
    assert callable(getattr(cli, dagster_web.PRIVATE))
    assert f"app = {dagster_web.PRIVATE}(" in inspect.getsource(cli.host_dagster_ui_with_workspace_process_context)


def test_without_that_function_nothing_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cli, dagster_web.PRIVATE)
    with pytest.raises(FinanceLakeError, match="cannot be guarded"):
        dagster_web.install(("127.0.0.1",))


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    settings = shared_servers.laptop(tmp_path_factory.mktemp("web"))
    dagster.prepare(settings)
    # the webserver alone: its code location does not run
    log = settings.data_dir / "logs" / "dagster-web.log"
    ready = f"{settings.dagster_url}/server_info"
    with shared_servers.running(dagster.webserver(settings), settings, log, lambda: probes.http(ready)):
        yield settings


def _status(settings: Settings, path: str, data: bytes | None = None, **headers: str) -> int:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"{settings.dagster_url}{path}", data, sent)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=120) as response:  # noqa: S310
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.integration
def test_a_mutation_reaches_dagster_as_its_page_sends_it_and_in_no_other_way(web: Settings) -> None:
    document = json.dumps({"query": MUTATION}).encode()
    assert _status(web, "/graphql", document, content_type="application/json") == 200
    assert _status(web, "/graphql", document, content_type="application/json", origin="http://evil.example") == 403
    assert _status(web, "/graphql", document, content_type="application/json", sec_fetch_site="cross-site") == 403
    assert _status(web, "/graphql", document, content_type="application/json", host="evil.example") == 403
    asked = f"/graphql?query={quote(MUTATION)}"
    assert _status(web, asked) == 405
    assert _status(web, asked, b"", content_type="text/plain") == 415
    assert _status(web, asked, b"a=1", content_type="application/x-www-form-urlencoded") == 415


@pytest.mark.integration
@pytest.mark.parametrize(("origin", "answer"), [("http://evil.example", "403"), (None, "101")])
def test_a_foreign_websocket_is_refused(web: Settings, origin: str | None, answer: str) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    host = web.dagster_url.removeprefix("http://")
    lines = [
        *("GET /graphql HTTP/1.1", f"Host: {host}", "Connection: Upgrade", "Upgrade: websocket"),
        *("Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: graphql-ws", f"Sec-WebSocket-Key: {key}"),
        f"Origin: {origin or web.dagster_url}",
    ]
    with socket.create_connection((web.host, web.dagster.port), timeout=120) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        assert connection.recv(12).decode().split()[1] == answer


@pytest.mark.integration
def test_programs_reach_it(web: Settings) -> None:
    client = DagsterGraphQLClient(web.host, port_number=web.dagster.port)
    assert "version" in client._execute("{ version }")


@pytest.mark.integration
def test_its_page_works_in_a_browser_and_a_foreign_page_does_not(web: Settings, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.html"
    foreign.write_text(f"""<script>
      fetch("{web.dagster_url}/graphql?query={quote("{version}")}", {{mode: "no-cors"}})
    </script>""")
    with chromium() as browser:
        page = browser.new_page()
        refused = []
        page.on(
            "response", lambda response: refused.append(response.url) if response.status in (403, 405, 415) else None
        )
        page.on("websocket", lambda opened: opened.on("socketerror", lambda _: refused.append(opened.url)))
        with page.expect_websocket(lambda opened: opened.url.endswith("/graphql")):
            page.goto(f"{web.dagster_url}/runs")
        page.get_by_text("Runs", exact=True).first.wait_for()
        assert not refused
        page.goto(foreign.as_uri(), wait_until="networkidle")
        assert len(refused) == 1
