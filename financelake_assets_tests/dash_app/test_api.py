"""The HTTP API: the same rows as the tables, pages without a gap, and errors that say what to do."""

from __future__ import annotations

import base64
import json
import threading
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import schemathesis
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode
from werkzeug.test import TestResponse

from dash_app.api import events, routes
from dash_app.data.lake_reader import LakeReader
from dash_app.server import create_app
from financelake_assets import lake as python_lake
from financelake_assets.config import Settings
from financelake_assets.gold.schema import PREDICTIONS, SIGNALS
from financelake_assets.query.rendering import order
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.delta import TableSpec
from financelake_assets_tests.dash_app import written
from financelake_assets_tests.query import rows as few

SPECS = {"bars": BARS, "predictions": PREDICTIONS, "signals": SIGNALS}
TOKEN = "-".join(["the", "lakes", "own", "token"])


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[FlaskClient, LakeReader, Settings]:
    """A client of a lake with three symbols, which no test changes."""
    lake = Settings(data_dir=tmp_path_factory.mktemp("api") / "lake")
    written.write_lake(lake, ("AAPL", "BTC-USD", "WTI"))
    client, reader = opened(lake)
    return client, reader, lake


def opened(lake: Settings) -> tuple[FlaskClient, LakeReader]:
    reader = LakeReader(lake)
    reader.refresh()
    return create_app(lake, reader).server.test_client(), reader


def of_table(lake: Settings, spec: TableSpec, *conditions: pl.Expr) -> list[dict[str, Any]]:
    """The oracle: the table's rows as polars reads them, newest first, as JSON."""
    names = order(spec)
    rows = python_lake.table(f"{spec.layer}.{spec.name}", settings=lake).filter(*conditions).collect()
    rows = rows.sort(names, descending=[True, *[False] * (len(names) - 1)])
    return [
        json.loads(json.dumps(row, default=lambda time: time.isoformat().replace("+00:00", "Z")))
        for row in rows.to_dicts()
    ]


def refused(answer: TestResponse, status: int) -> dict[str, str]:
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/json"
    problem: dict[str, str] = answer.json or {}
    assert set(problem) == {"message", "remedy"}
    assert all(problem.values())
    return problem


@pytest.mark.parametrize("name", SPECS)
def test_it_answers_with_the_tables_rows(told: tuple[FlaskClient, LakeReader, Settings], name: str) -> None:
    client, _, lake = told
    answer = client.get(f"/api/v1/{name}?symbol=AAPL&interval=1d&limit=5000")
    assert answer.json == of_table(lake, SPECS[name], pl.col("symbol") == "AAPL")
    assert "Link" not in answer.headers
    version = SPECS[name].ensure(lake).version()
    assert answer.headers["X-Table-Version"] == str(version)


def test_empty_parameters_are_not_given(told: tuple[FlaskClient, LakeReader, Settings]) -> None:
    client, _, lake = told
    assert client.get("/api/v1/signals?symbol=&interval=&limit=").json == of_table(lake, SIGNALS)[:100]


def test_other_spellings_of_an_interval_are_taken_for_theirs(told: tuple[FlaskClient, LakeReader, Settings]) -> None:
    client, _, _ = told
    assert client.get("/api/v1/bars?interval=1D&limit=3").json == client.get("/api/v1/bars?interval=1d&limit=3").json


def test_times_limit_the_rows(told: tuple[FlaskClient, LakeReader, Settings]) -> None:
    client, _, lake = told
    time = pl.col("event_time")
    rows = of_table(lake, BARS, pl.col("symbol") == "AAPL")
    start, end = rows[10]["event_time"], rows[4]["event_time"]
    assert client.get(f"/api/v1/bars?symbol=AAPL&start={start}&end={end}").json == rows[5:11]
    assert client.get(f"/api/v1/bars?start={end[:10]}&limit=5000").json == of_table(
        lake, BARS, time >= pl.lit(end[:10]).str.to_datetime(time_zone="UTC")
    )


@pytest.mark.parametrize(("name", "limit"), [("bars", 250), ("signals", 40), ("predictions", 333)])
def test_pages_give_each_row_once(told: tuple[FlaskClient, LakeReader, Settings], name: str, limit: int) -> None:
    client, _, lake = told
    at, found = f"/api/v1/{name}?limit={limit}&start=2013-01-01", []
    while True:
        answer = client.get(at)
        found += answer.json or []
        if "Link" not in answer.headers:
            break
        at = answer.headers["Link"].partition("<")[2].partition(">")[0]
        assert f"limit={limit}" in at
    assert found == of_table(lake, SPECS[name], pl.col("event_time") >= pl.datetime(2013, 1, 1, time_zone="UTC"))


def test_pages_are_of_one_version(offline_lake: Settings) -> None:
    for day in range(4):
        few.add(offline_lake, day)
    client, reader = opened(offline_lake)
    first = client.get("/api/v1/signals?limit=2")
    few.add(offline_lake, 1, symbol="ETH-USD")
    reader.refresh()
    second = client.get(first.headers["Link"].partition("<")[2].partition(">")[0])
    assert [row["event_time"][:10] for row in second.json or []] == ["2024-03-02", "2024-03-01"]
    assert {row["symbol"] for row in second.json or []} == {"BTC-USD"}
    assert second.headers["X-Table-Version"] == first.headers["X-Table-Version"]


def test_a_cursor_of_a_version_that_is_gone_says_so(told: tuple[FlaskClient, LakeReader, Settings]) -> None:
    client, _, _ = told
    cursor = base64.urlsafe_b64encode(b'[99,1,"AAPL","1d",1,"m"]').decode().rstrip("=")
    assert "newest version" in refused(client.get(f"/api/v1/signals?cursor={cursor}"), 410)["remedy"]


@pytest.mark.parametrize(
    "inside", [b"", b"[]", b"{}", b"[1]", b'[-1,1,"A","1d",1,"m"]', b'[1,1,2,"1d",1,"m"]', b'[1,9e99,"A","1d",1,"m"]']
)
def test_a_cursor_of_somebody_elses_is_refused(told: tuple[FlaskClient, LakeReader, Settings], inside: bytes) -> None:
    client, _, _ = told
    cursor = base64.urlsafe_b64encode(inside).decode().rstrip("=") or "x"
    refused(client.get(f"/api/v1/signals?cursor={cursor}"), 404)


@pytest.mark.parametrize(
    ("query", "status", "hint"),
    [
        ("symbol=APL", 404, "AAPL"),
        ("interval=5m", 404, "1d"),
        ("symbol=AAPL&interval=7y", 404, "1d"),
        ("limit=0", 400, "5000"),
        ("limit=5001", 400, "5000"),
        ("limit=ten", 400, "5000"),
        ("limit=%D9%A3", 400, "5000"),
        ("limit=1&limit=2", 400, "once"),
        ("intervall=1d", 400, "interval"),
        ("start=yesterday", 400, "ISO 8601"),
        ("end=0001-01-01T00:00:00%2B14:00", 400, "ISO 8601"),
        ("cursor=%20", 404, "Link"),
    ],
)
def test_a_wrong_parameter_gets_a_remedy(
    told: tuple[FlaskClient, LakeReader, Settings], query: str, status: int, hint: str
) -> None:
    client, _, _ = told
    assert hint in refused(client.get(f"/api/v1/bars?{query}"), status)["remedy"]


def test_what_is_no_address_is_an_error_in_json(told: tuple[FlaskClient, LakeReader, Settings]) -> None:
    client, _, _ = told
    for path in ("/api/", "/api/v1/trades", "/api/v2/signals"):
        refused(client.get(path), 404)
    answer = client.post("/api/v1/signals")
    refused(answer, 405)
    assert "GET" in answer.headers["Allow"]


def test_a_lake_without_tables_has_no_rows(offline_lake: Settings) -> None:
    reader = LakeReader(offline_lake)
    client = create_app(offline_lake, reader).server.test_client()
    early = client.get("/api/v1/signals")
    refused(early, 503)
    assert early.headers["Retry-After"] == "1"
    reader.refresh()
    assert client.get("/api/v1/signals").json == []
    assert "bars" in refused(client.get("/api/v1/signals?symbol=AAPL"), 404)["remedy"]
    assert (client.get("/api/v1/status").json or {})["tables"] == []


def test_a_damaged_table_is_said(offline_lake: Settings) -> None:
    few.add(offline_lake, 0)
    for file in Path(SIGNALS.path(offline_lake)).glob("*.parquet"):
        file.unlink()
    client, _ = opened(offline_lake)
    assert "disappeared" in refused(client.get("/api/v1/signals"), 503)["message"]


def test_status_tells_of_tables_and_champion(told: tuple[FlaskClient, LakeReader, Settings]) -> None:
    client, _, lake = told
    status = client.get("/api/v1/status").json or {}
    rows = {table["name"]: table["rows"] for table in status["tables"]}
    assert rows["gold.signals"] == len(of_table(lake, SIGNALS))
    assert status["model"]["model_version"] == written.VERSION
    assert status["problems"] == []


@pytest.mark.parametrize("path", ["signals", "bars", "predictions", "status", "openapi.json", "signals/stream", "no"])
def test_nobody_reads_without_the_token(offline_lake: Settings, path: str) -> None:
    lake = Settings.model_validate({"data_dir": offline_lake.data_dir, "web_token": TOKEN})
    client, _ = opened(lake)
    answer = client.get(f"/api/v1/{path}")
    assert "Bearer" in refused(answer, 401)["remedy"]
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert client.get(f"/api/v1/{path}", headers={"Authorization": f"Bearer {TOKEN}"}).status_code in (200, 404)


def test_nobody_reads_without_the_login(offline_lake: Settings) -> None:
    given = {"data_dir": offline_lake.data_dir, "dashboard": {"login": "ada:correct-horse"}}
    client, _ = opened(Settings.model_validate(given))
    refused(client.get("/api/v1/signals"), 401)
    assert client.get("/api/v1/signals", auth=("ada", "correct-horse")).status_code == 200


def test_more_reads_than_places_are_asked_to_come_again(
    told: tuple[FlaskClient, LakeReader, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many requests as may be are inside a read; the next one is told to wait, and the page answers."""
    _, reader, lake = told
    server = create_app(lake, reader).server
    inside, go_on = threading.Semaphore(0), threading.Event()
    table = python_lake.table

    def held(*args: Any, **more: Any) -> Any:
        inside.release()
        assert go_on.wait(30)
        return table(*args, **more)

    monkeypatch.setattr(python_lake, "table", held)
    answers: list[int] = []

    def read(number: int) -> None:
        answers.append(server.test_client().get(f"/api/v1/signals?limit={number + 1}").status_code)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(routes.MOST_READS)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert inside.acquire(timeout=30)
    busy = server.test_client().get("/api/v1/signals?limit=77")
    refused(busy, 503)
    assert busy.headers["Retry-After"] == "1"
    assert server.test_client().get("/pulse").status_code == 200
    go_on.set()
    for thread in threads:
        thread.join()
    assert answers == [200] * routes.MOST_READS
    assert server.test_client().get("/api/v1/signals?limit=77").status_code == 200


def test_a_page_is_read_once_for_each_version(
    told: tuple[FlaskClient, LakeReader, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _, _ = told
    first = client.get("/api/v1/signals?symbol=WTI&limit=7").json
    monkeypatch.setattr(python_lake, "table", None)
    assert client.get("/api/v1/signals?symbol=WTI&limit=7").json == first


def test_the_document_is_openapi(told: tuple[FlaskClient, LakeReader, Settings]) -> None:
    client, _, _ = told
    document = client.get("/api/v1/openapi.json").json
    OpenAPIV31SpecValidator(document).validate()
    served = {str(rule) for rule in client.application.url_map.iter_rules() if str(rule).startswith("/api/v1/")}
    assert set((document or {})["paths"]) == served


def test_listeners_are_bounded(told: tuple[FlaskClient, LakeReader, Settings]) -> None:
    client, _, _ = told
    streams = [client.get("/api/v1/signals/stream") for _ in range(events.MOST_LISTENERS)]
    refused(client.get("/api/v1/signals", headers={"Accept": "text/event-stream"}), 503)
    assert client.get("/api/v1/signals?limit=1").status_code == 200
    for stream in streams:
        stream.close()
    for method in ("HEAD", "GET"):  # an answer without a body gives its place back too
        last = client.open("/api/v1/signals/stream", method=method)
        assert last.status_code == 200
        last.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(last=st.one_of(st.text(max_size=40), st.from_regex(r"\A[0-9]{1,20}-[0-9]{1,12}\Z")))
def test_an_events_id_is_continued_or_refused(told: tuple[FlaskClient, LakeReader, Settings], last: str) -> None:
    client, _, _ = told
    text = last.encode("ascii", "ignore").decode().translate(dict.fromkeys((*range(32), 127)))
    answer = client.get("/api/v1/signals/stream", headers={"Last-Event-ID": text})
    assert answer.status_code in (200, 400, 410)
    answer.close()


OPERATIONS = ("bars", "document", "predictions", "signals", "status")  # the streams do not end


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_fuzzed_it_answers_as_its_document_says(
    told: tuple[FlaskClient, LakeReader, Settings], operation: str, mode: GenerationMode
) -> None:
    """Status, media type, headers and body of every answer are the document's, whatever is asked, and by whom."""
    _, reader, lake = told
    guarded = Settings.model_validate({"data_dir": lake.data_dir, "web_token": TOKEN})
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept-Encoding": "identity"}
    server = create_app(guarded, reader).server
    document = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", server, headers=headers)
    asked = document.find_operation_by_id(operation)

    @settings(max_examples=40, suppress_health_check=list(HealthCheck))
    @given(case=asked.as_strategy(generation_mode=mode))
    def fuzz(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=headers)

    fuzz()
