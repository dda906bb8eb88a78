"""Lineage for others: valid by OpenLineage's own schema, each commit and run once, and nothing lost where it fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from jsonschema import Draft202012Validator, FormatChecker
from openlineage.client import event_v2 as ol
from openlineage.client.serde import Serde
from referencing import Registry, Resource

from financelake_assets.catalogue import TABLES
from financelake_assets.config import Settings
from financelake_assets.defs.operations.lineage_sensor import changed_runs
from financelake_assets.gold.schema import PREDICTIONS, SIGNALS
from financelake_assets.operations.openlineage import Sent, send, transport_of
from financelake_assets.operations.openlineage_events import JobRun, of_commit, of_run, place_of, sources_of
from financelake_assets.query.commits import Commit
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.delta import TableSpec
from financelake_assets_tests.query import rows

SPEC = Path(__file__).parent / "openlineage_spec"
DOCUMENTS = [json.loads(file.read_text()) for file in sorted(SPEC.glob("*.json"))]
REGISTRY: Registry[Any] = Registry().with_resources((one["$id"], Resource.from_contents(one)) for one in DOCUMENTS)
RUN_EVENT = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
STORED = {"store": {"url": "s3://lake/tables", "access_key": "k", "secret_key": "s", "endpoint": "http://127.0.0.1:1"}}
COMMIT = Commit(3, datetime(2026, 3, 1, tzinfo=UTC), ("a.parquet",), (), changes=True, rows=7)


def refuse_invalid(event: dict[str, Any]) -> None:
    """Judge an event, and each facet by the schema that it names."""
    _check(event, RUN_EVENT)
    described = [event["run"], event["job"], *event.get("inputs", ()), *event.get("outputs", ())]
    for one in described:
        for kind in ("facets", "inputFacets", "outputFacets"):
            for facet in (one.get(kind) or {}).values():
                _check(facet, facet["_schemaURL"])


def _check(value: object, reference: str) -> None:
    Draft202012Validator({"$ref": reference}, registry=REGISTRY, format_checker=FormatChecker()).validate(value)


def plain(event: ol.RunEvent) -> dict[str, Any]:
    return dict(json.loads(Serde.to_json(event)))


@pytest.mark.parametrize("spec", TABLES, ids=lambda spec: spec.full_name)
@pytest.mark.parametrize("store", [{}, STORED], ids=["disk", "store"])
def test_a_commit_of_each_table_is_a_valid_event(spec: TableSpec, store: dict[str, Any]) -> None:
    settings = Settings.model_validate({"data_dir": "/lake", **store})
    event = plain(of_commit(spec, settings, COMMIT, "id"))
    refuse_invalid(event)
    (output,) = event["outputs"]
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 7
    assert [field["name"] for field in output["facets"]["schema"]["fields"]] == spec.schema.names


def test_what_is_not_by_the_schema_is_refused() -> None:
    event = plain(of_commit(SIGNALS, Settings(data_dir=Path("/lake")), COMMIT, "id"))
    for broken in (
        {**event, "eventTime": 5},
        {**event, "run": {"runId": "no uuid"}},
        {**event, "job": {"namespace": "n"}},
    ):
        with pytest.raises(Exception, match=r"is not|required"):
            refuse_invalid(broken)


def test_places_are_named_as_the_specification_wants_them() -> None:
    local, stored = Settings(data_dir=Path("/lake")), Settings.model_validate({"data_dir": "/lake", **STORED})
    assert place_of(SIGNALS, local) == ("file", "/lake/delta/gold/signals")
    assert place_of(SIGNALS, stored) == ("s3://lake", "tables/gold/signals")
    assert sources_of(SIGNALS, local) == [place_of(PREDICTIONS, local), place_of(BARS, local)]
    assert (f"kafka://{local.kafka_bootstrap}", "bronze.stock") in sources_of(BARS, local)
    columns = plain(of_commit(SIGNALS, local, COMMIT, "id"))["outputs"][0]["facets"]["columnLineage"]["fields"]
    (close,) = columns["close"]["inputFields"]
    assert (close["name"], close["field"]) == ("/lake/delta/gold/predictions", "close")


def test_the_same_commit_is_the_same_run_and_another_is_another() -> None:
    settings = Settings(data_dir=Path("/lake"))

    def run(version: int, table: str) -> str:
        commit = Commit(version, COMMIT.time, (), (), changes=True)
        return str(of_commit(SIGNALS, settings, commit, table).run.runId)

    assert run(1, "a") == run(1, "a")
    assert len({run(1, "a"), run(2, "a"), run(1, "b")}) == 3


def test_a_runs_events_say_how_it_went() -> None:
    settings, run = Settings(data_dir=Path("/lake")), "0195a2b4-1f6a-7b3c-8d2e-000000000001"
    states = {}
    for name, ended, failure in (("running", None, None), ("well", 9.0, None), ("failed", 9.0, "no disk")):
        events = [plain(event) for event in of_run(JobRun(run, "train_model", 5.0, ended, failure), settings)]
        for event in events:
            refuse_invalid(event)
        states[name] = [event["eventType"] for event in events]
        if failure:
            assert events[-1]["run"]["facets"]["errorMessage"]["message"] == failure
    assert states == {"running": ["START"], "well": ["START", "COMPLETE"], "failed": ["START", "FAIL"]}
    assert of_run(JobRun(run, "train_model", None, None, None), settings) == []


class Breaks:
    """A transport that fails after some events, once."""

    def __init__(self, after: int) -> None:
        self.got: list[ol.RunEvent] = []
        self._left: int | None = after

    def emit(self, event: ol.RunEvent) -> None:
        if self._left == 0:
            self._left = None
            raise ConnectionError("the server is gone")
        if self._left is not None:
            self._left -= 1
        self.got.append(event)


def commits_of(events: list[ol.RunEvent]) -> list[tuple[str, str]]:
    """Table and version of each event of a commit."""
    shown = [plain(event)["outputs"][0] for event in events]
    return [(one["name"].rsplit("/", 1)[-1], one["facets"]["version"]["datasetVersion"]) for one in shown]


@pytest.mark.parametrize("after", range(5))
def test_each_commit_is_sent_once_though_the_server_goes_away(offline_lake: Settings, after: int) -> None:
    rows.add(offline_lake, 0)
    first = send(offline_lake, Breaks(99), {}, [], 0.0)
    for day in (1, 2, 3):
        rows.add(offline_lake, day)
    transport, sent = Breaks(after), first
    calls = []
    for _ in range(3):
        sent = send(offline_lake, transport, sent.tables, [], sent.runs_until)
        calls.append(sent)
    before, newest = first.tables["gold/signals"][1], SIGNALS.ensure(offline_lake).version()
    assert commits_of(transport.got) == [("signals", str(version)) for version in range(before + 1, newest + 1)]
    assert [one.problem for one in calls if one.problem] == (
        ["ConnectionError: the server is gone"] if after < 3 else []
    )
    assert sum(one.events for one in calls) == 3


def test_a_call_ends_in_time_and_the_next_goes_on(offline_lake: Settings) -> None:
    rows.add(offline_lake, 0)
    sent = send(offline_lake, Breaks(99), {}, [], 0.0)
    for day in (1, 2, 3):
        rows.add(offline_lake, day)
    transport, seconds = Breaks(99), iter(range(0, 10_000, 15))
    counts = []
    while (sent := send(offline_lake, transport, sent.tables, [], 0.0, lambda: float(next(seconds)))).events:
        counts.append(sent.events)
    assert counts == [2, 1]
    assert len(commits_of(transport.got)) == len(set(commits_of(transport.got))) == 3


def test_a_file_has_one_event_a_line(offline_lake: Settings, tmp_path: Path) -> None:
    file = tmp_path / "new" / "lineage.jsonl"
    settings = offline_lake.model_copy(update={"lineage": offline_lake.lineage.model_copy(update={"file": file})})
    transport = transport_of(settings)
    assert transport is not None
    rows.add(settings, 0)
    assert send(settings, transport, {}, [], 0.0).problem is None
    events = [json.loads(line) for line in file.read_text().splitlines()]
    for event in events:
        refuse_invalid(event)
    assert {event["job"]["name"] for event in events} == {"commit.gold.signals"}


def test_without_a_place_nothing_is_sent(offline_lake: Settings) -> None:
    assert transport_of(offline_lake) is None


@contextmanager
def server(answers: list[int]) -> Iterator[tuple[str, list[tuple[str | None, dict[str, Any]]]]]:
    """An OpenLineage server on loopback that answers with these codes, and then with 201."""
    got: list[tuple[str | None, dict[str, Any]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            code = answers.pop(0) if answers else 201
            if code == 201:
                got.append((self.headers["Authorization"], json.loads(body)))
            self.send_response(code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_address[1]}", got
        http.shutdown()


def test_a_server_gets_events_with_the_key_and_what_it_refused_once_more(offline_lake: Settings) -> None:
    with server([400]) as (url, got):
        lineage = type(offline_lake.lineage).model_validate({"url": url, "api_key": "its key"})
        settings = offline_lake.model_copy(update={"lineage": lineage})
        transport = transport_of(settings)
        assert transport is not None
        rows.add(settings, 0)
        refused = send(settings, transport, {}, [], 0.0)
        assert refused.problem is not None
        assert "its key" not in refused.problem
        assert send(settings, transport, refused.tables, [], 0.0) == Sent(
            {"gold/signals": (str(SIGNALS.ensure(settings).metadata().id), 1)}, 0.0, 1, None
        )
    ((authorization, event),) = got
    assert authorization == "Bearer its key"
    refuse_invalid(event)


@dg.op
def fails() -> None:
    raise ValueError("no such file")


@dg.job
def bad() -> None:
    fails()


@dg.job
def good() -> None:
    pass


def test_runs_are_told_when_they_change(offline_lake: Settings) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        good.execute_in_process(instance=instance)
        bad.execute_in_process(instance=instance, raise_on_error=False)
        found = list(changed_runs(instance, 0.0))
        transport = Breaks(99)
        sent = send(offline_lake, transport, {}, found, 0.0)
        later = list(changed_runs(instance, sent.runs_until + 10))
    events = [plain(event) for event in transport.got]
    for event in events:
        refuse_invalid(event)
    said = [(event["job"]["name"], event["eventType"]) for event in events]
    assert said == [
        ("dagster.good", "START"),
        ("dagster.good", "COMPLETE"),
        ("dagster.bad", "START"),
        ("dagster.bad", "FAIL"),
    ]
    assert "fails" in events[-1]["run"]["facets"]["errorMessage"]["message"]
    assert sent.runs_until == max(changed for changed, _ in found)
    assert later == []
