"""What a foreign page can send to a server on this machine, and what must go on working."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import pytest
from starlette.datastructures import Headers

from financelake_assets.servers.web_guard import WebGuard

HOST = "127.0.0.1:3000"
MUTATION = "mutation { launchRun }"
Pairs = list[tuple[str, str]]


def answered(kind: str, method: str, path: str, headers: Pairs) -> list[dict[str, Any]]:
    """What a guarded application sends, over ASGI itself."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    place, _, query = path.partition("?")
    raw = [(name.encode(), value.encode()) for name, value in headers]
    scope = {"type": kind, "path": place, "query_string": query.encode(), "headers": raw}
    if kind == "http":
        scope["method"] = method
    asyncio.run(WebGuard(app, ["lake.example.org"])(scope, receive, send))  # type: ignore[arg-type]
    return sent


def status(method: str, path: str = "/graphql", *more: tuple[str, str], host: str = HOST, **headers: str) -> int:
    pairs = [("host", host), *((name.replace("_", "-"), value) for name, value in headers.items()), *more]
    return int(answered("http", method, path, pairs)[0]["status"])


def opens(*headers: tuple[str, str], host: str = HOST) -> bool:
    """Whether a WebSocket is accepted."""
    (first,) = answered("websocket", "", "/graphql", [("host", host), *headers])
    return bool(first["type"] == "websocket.accept")


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:3000", "127.0.0.1.nip.io:3000", "localhost.evil.example", "127.0.0.1@evil", ""),
        *("evil.example#127.0.0.1", "127.0.0.1/evil.example", "localhost:port", "[::1", "127.0.0.2", "localhost."),
    ],
)
def test_a_name_that_was_rebound_to_this_address_is_refused(host: str) -> None:
    assert status("GET", "/", host=host) == 403


@pytest.mark.parametrize(
    "host", ["127.0.0.1:3000", "localhost:3100", "LOCALHOST", "[::1]:3000", "lake.example.org", "lake.example.org:8444"]
)
def test_names_of_this_server_pass_at_any_port_for_the_sake_of_tunnels(host: str) -> None:
    assert status("GET", "/", host=host) == 200


def test_two_host_headers_are_refused() -> None:
    assert status("GET", "/", ("host", "evil.example")) == 403


FOREIGN = ["http://evil.example", "https://evil.example", "null", "http://127.0.0.1:8888", "http://localhost:3000"]
FOREIGN += ["file://", "", "http://127.0.0.1:3000.evil.example", "chrome-extension://127.0.0.1:3000", HOST]


@pytest.mark.parametrize("origin", FOREIGN)
def test_another_origin_is_refused(origin: str) -> None:
    assert status("POST", content_type="application/json", origin=origin) == 403
    assert status("GET", "/logs/run.err", origin=origin) == 403


@pytest.mark.parametrize("origin", [f"http://{HOST}", f"https://{HOST}"])
def test_its_own_page_passes(origin: str) -> None:
    assert status("POST", content_type="application/json", origin=origin, sec_fetch_site="same-origin") == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "odd"])
def test_scripts_images_and_frames_of_another_page_are_refused(site: str) -> None:
    assert status("GET", "/", sec_fetch_site=site, sec_fetch_mode="no-cors", sec_fetch_dest="image") == 403
    assert status("GET", "/", sec_fetch_site=site, sec_fetch_mode="navigate", sec_fetch_dest="iframe") == 403
    assert status("POST", content_type="application/json", sec_fetch_site=site, sec_fetch_mode="navigate") == 403


def test_a_link_of_another_page_opens_the_page() -> None:
    """FinanceLake Pro links to Dagster's runs, and its port makes it another origin."""
    link = {"sec_fetch_site": "same-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    assert status("GET", "/runs/1", **link) == 200
    assert status("GET", f"/graphql?query={quote(MUTATION)}", **link) == 405


@pytest.mark.parametrize(
    "query",
    [
        *(MUTATION, "# harmless\nmutation M($a: Int) { launchRun(a: $a) }", "query A { version } mutation B { x }"),
        *("fragment F on Mutation { x } mutation { ...F }", "\ufeffmutation { x }", "{ a }" + "{" * 100_000),
    ],
)
def test_a_mutation_by_get_is_refused(query: str) -> None:
    for path in ("/graphql", "/graphql/", "//graphql", "/"):
        assert status("GET", f"{path}?query={quote(query)}") == 405
    assert status("GET", f"/graphql?query=%7Bversion%7D&query={quote(query)}") == 405
    assert status("GET", f"/graphql?query={quote(query)}&query=%7Bversion%7D") == 405


def test_a_query_by_get_passes() -> None:
    assert status("GET", "/graphql?query=%7Bversion%7D") == 200
    assert status("GET", "/runs?q=mutation&query=key:%22mutation%20%7B%22") == 200


@pytest.mark.parametrize(
    "kind",
    [
        *("text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded"),
        *(
            "multipart/form-data; boundary=a",
            "text/plain; application/json",
            "application/graphql",
            "application/jsonp",
            "",
        ),
    ],
)
def test_what_a_form_can_post_is_refused(kind: str) -> None:
    for path in ("/graphql", "/report_asset_materialization/silver/bars"):
        assert status("POST", path, content_type=kind) == 415
    assert status("POST", "/graphql", ("content-type", "application/json"), content_type=kind) == 415


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_a_program_without_an_origin_passes(kind: str) -> None:
    assert status("POST", content_type=kind) == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_are_refused(method: str) -> None:
    assert status(method, "/") == 405


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_foreign_websocket_is_refused_before_it_opens(origin: str) -> None:
    assert not opens(("origin", origin))


def test_a_websocket_of_a_rebound_name_is_refused() -> None:
    assert not opens(("origin", "http://evil.example"), host="evil.example")
    assert not opens(("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"))


def test_its_own_websocket_opens() -> None:
    assert opens()
    assert opens(("origin", f"http://{HOST}"), ("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "websocket"))


def test_no_page_can_frame_it() -> None:
    (start,) = answered("http", "GET", "/", [("host", HOST)])
    assert Headers(raw=start["headers"])["x-frame-options"] == "DENY"


def test_lifespan_reaches_the_application() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    asyncio.run(WebGuard(app)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert seen == ["lifespan"]
