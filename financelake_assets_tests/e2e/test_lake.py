"""The main job, end to end: one command, and real history becomes signals. Then everything is killed, one by one.

The tests build on each other's lake, in this order; each can also run alone.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from confluent_kafka import Producer
from dagster_graphql import DagsterGraphQLClient

from financelake_assets.bronze.broker import client_config
from financelake_assets.gold.schema import PREDICTIONS, SIGNALS
from financelake_assets.servers import web_token
from financelake_assets.silver.schema import BARS, QUARANTINE
from financelake_assets.storage.delta import retried
from financelake_assets.supervision import leftovers, processes
from financelake_assets_tests.e2e.conftest import CommandLine, Status, behind, rows

pytestmark = [pytest.mark.e2e, pytest.mark.integration, pytest.mark.timeout(1500)]

ON_THE_DATA_PATH = ("broker", "spark", "feed")
BESIDE_IT = ("dagster-code", "dagster-web", "dagster-daemon", "publisher", "dashboard", "watchdog")
# those on the data's path one by one, because each loses something else; the others all at once
KILLED_TOGETHER = [*((name,) for name in ON_THE_DATA_PATH), BESIDE_IT]


def has_signals(status: Status) -> bool:
    return bool(status["healthy"] and rows(status, "gold/signals") and status["model"])


def settled(status: Status) -> bool:
    # the replay goes on, so a few messages are always on their way
    return bool(status["healthy"] and behind(status) < 50 and status["ledger"]["balanced"])


def test_history_becomes_signals_with_no_further_command(whole_lake: CommandLine):
    status = whole_lake.wait_for("signals", has_signals)
    assert set(status["processes"]) == set(processes.of_lake(whole_lake.settings))
    assert status["streams"]["silver"]["running"]
    assert status["streams"]["gold"]["running"]
    assert rows(status, "silver/bars") > 40_000
    assert rows(status, "gold/predictions") > 0
    quarantined = QUARANTINE.scan(whole_lake.settings).collect()
    assert quarantined["reason"].to_list() == ["missing_price"]  # the one row of the packaged data without a price


def test_every_prediction_is_of_a_bar_that_the_model_did_not_see(whole_lake: CommandLine):
    status = whole_lake.wait_for("signals", has_signals)
    predicted = PREDICTIONS.scan(whole_lake.settings).collect()
    assert set(predicted["model_version"]) == {status["model"]["model_version"]}
    bars = BARS.scan(whole_lake.settings).collect()
    assert predicted.join(bars, on=["symbol", "interval", "event_time"], how="anti").is_empty()
    assert (predicted["lower"] <= predicted["predicted_close"]).all()
    assert (predicted["predicted_close"] <= predicted["upper"]).all()
    signals = SIGNALS.scan(whole_lake.settings).collect()
    assert set(signals["signal"]) <= {"BUY", "SELL", "HOLD"}
    assert signals.filter(pl.col("signal") == "HOLD")["reason"].null_count() == 0


def test_dagster_shows_the_lineage_from_providers_to_gold(whole_lake: CommandLine):
    nodes = graphql(whole_lake, "{ assetNodes { assetKey { path } dependencyKeys { path } } }")["assetNodes"]
    upstream = {
        "/".join(node["assetKey"]["path"]): {"/".join(key["path"]) for key in node["dependencyKeys"]} for node in nodes
    }
    assert "providers/replay" in upstream["bronze/stock"]
    assert "bronze/stock" in upstream["silver/bars"]
    assert "silver/bars" in upstream["model/random_forest"]
    assert "model/random_forest" in upstream["gold/predictions"]
    assert "gold/signals" in upstream["dashboard"]


def test_a_sensor_started_the_training_and_reports_what_was_written(whole_lake: CommandLine):
    whole_lake.wait_for("signals", has_signals)
    runs = graphql(whole_lake, "{ runsOrError { ... on Runs { results { status tags { key value } } } } }")
    by_sensor = {
        tag["value"]: run["status"]
        for run in runs["runsOrError"]["results"]
        for tag in run["tags"]
        if tag["key"] == "dagster/sensor_name"
    }
    assert by_sensor["champion"] == "SUCCESS"
    latest = graphql(
        whole_lake,
        '{ assetOrError(assetKey: {path: ["silver", "bars"]}) '
        "{ ... on Asset { assetMaterializations(limit: 1) { metadataEntries { label } } } } }",
    )
    labels = [entry["label"] for entry in latest["assetOrError"]["assetMaterializations"][0]["metadataEntries"]]
    assert "dagster/row_count" in labels
    assert "delta_version" in labels


FRESH_AND_FROM = """{ findings: assetNodeOrError(assetKey: {path: ["silver", "findings"]}) {
    ... on AssetNode { internalFreshnessPolicy { __typename } } }
signals: assetOrError(assetKey: {path: ["gold", "signals"]}) { ... on Asset { assetMaterializations(limit: 1) {
    metadataEntries { label ... on TableColumnLineageMetadataEntry { lineage { columnName columnDeps {
        assetKey { path } columnName } } } } } } } }"""


def test_dagster_shows_what_must_be_fresh_and_where_columns_come_from(whole_lake: CommandLine):
    whole_lake.wait_for("signals", has_signals)
    deadline = time.monotonic() + 120
    while not (shown := graphql(whole_lake, FRESH_AND_FROM))["signals"]["assetMaterializations"]:
        assert time.monotonic() < deadline, "no sensor told of the signals"
        time.sleep(1)
    assert shown["findings"]["internalFreshnessPolicy"]["__typename"] == "TimeWindowFreshnessPolicy"
    entries = {one["label"]: one for one in shown["signals"]["assetMaterializations"][0]["metadataEntries"]}
    made_of = {one["columnName"]: one["columnDeps"] for one in entries["dagster/column_lineage"]["lineage"]}
    assert made_of["close"] == [{"assetKey": {"path": ["gold", "predictions"]}, "columnName": "close"}]


BACK_FILL = """mutation { launchPartitionBackfill(backfillParams: {
    assetSelection: [{path: ["gold", "history"]}], partitionNames: ["%s"]
}) { __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""


def test_a_back_fill_of_a_past_month_repairs_what_a_check_found_missing(whole_lake: CommandLine):
    whole_lake.wait_for("signals", has_signals)
    settings = whole_lake.settings
    assert checked(whole_lake, "check_gold", "gold/predictions", "signal_for_each") == "SUCCEEDED"
    signals = SIGNALS.scan(settings).select("event_time").collect()["event_time"]
    first = signals.min().replace(day=1, hour=0, minute=0)  # type: ignore[union-attr, call-arg, arg-type]
    following = (first + timedelta(days=31)).replace(day=1)
    month = f"event_time >= '{first.isoformat()}' AND event_time < '{following.isoformat()}'"
    retried(lambda: SIGNALS.ensure(settings).delete(month))
    assert checked(whole_lake, "check_gold", "gold/predictions", "signal_for_each") == "FAILED"
    launched = graphql(whole_lake, BACK_FILL % first.strftime("%Y-%m"))["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    status = '{ partitionBackfillOrError(backfillId: "%s") { ... on PartitionBackfill { status } } }'
    ended(lambda: graphql(whole_lake, status % launched["backfillId"])["partitionBackfillOrError"]["status"])
    assert checked(whole_lake, "check_gold", "gold/predictions", "signal_for_each") == "SUCCEEDED"
    assert_nothing_doubled(whole_lake)


def checked(lake: CommandLine, job: str, asset: str, check: str) -> str:
    """Run a job of checks from outside, as the page does; what Dagster then says of one of them."""
    settings = lake.settings
    client = DagsterGraphQLClient(settings.host, port_number=settings.dagster.port, headers=web_token.headers(settings))
    run = client.submit_job_execution(job)
    assert ended(lambda: client.get_run_status(run).value) == "SUCCESS"
    path = json.dumps(asset.split("/"))
    of = f'assetKey: {{path: {path}}}, checkName: "{check}", limit: 20'
    executions = graphql(lake, f"{{ assetCheckExecutions({of}) {{ runId status }} }}")["assetCheckExecutions"]
    # a schedule runs the same checks each quarter of an hour
    (status,) = [execution["status"] for execution in executions if execution["runId"] == run]
    return str(status)


def ended(status: Callable[[], str]) -> str:
    """Wait until a run or a back-fill is over; how it ended."""
    deadline = time.monotonic() + 240
    while not (now := status()).startswith(("SUCC", "COMPLETED", "FAIL", "CANCEL")):
        assert time.monotonic() < deadline, now
        time.sleep(0.5)
    return now


BAD = {
    "not_json": b"<html>502 Bad Gateway</html>",
    "wrong_type": {"close": "a lot"},
    "missing_price": {"close": None},
    "non_positive_price": {"close": -1.0},
    "unknown_symbol": {"symbol": "NOSUCH"},
}


def test_bad_messages_from_outside_are_quarantined_with_reason_and_offset(whole_lake: CommandLine):
    settings = whole_lake.settings
    good = {
        "symbol": "AAPL",
        "asset_class": "stock",
        "interval": "1h",
        "event_time": "2013-03-04T15:00:00Z",
        "close": 60,
    }
    places: dict[str, tuple[int, int]] = {}
    producer = Producer(client_config(settings))

    def send(name: str, value: bytes) -> None:
        def delivered(error: object, message: object) -> None:
            assert error is None
            places[name] = (message.partition(), message.offset())  # type: ignore[attr-defined]

        producer.produce("bronze.stock", value, key=b"AAPL", on_delivery=delivered)

    for reason, change in BAD.items():
        send(reason, change if isinstance(change, bytes) else json.dumps({**good, **change}).encode())
    send("good", json.dumps(good).encode())
    assert producer.flush(30) == 0
    expected = 1 + len(BAD)
    whole_lake.wait_for("quarantine", lambda now: settled(now) and rows(now, "silver/quarantine") == expected)
    quarantined = QUARANTINE.scan(settings).collect().filter(pl.col("topic") == "bronze.stock")
    found = {row["reason"]: (row["partition"], row["offset"]) for row in quarantined.iter_rows(named=True)}
    assert found == {reason: places[reason] for reason in BAD}
    bar = BARS.scan(settings).collect().filter(pl.col("interval") == "1h").row(0, named=True)
    assert (bar["partition"], bar["offset"]) == places["good"]


def test_up_again_is_harmless(whole_lake: CommandLine):
    before = {name: process["pid"] for name, process in whole_lake.status()["processes"].items()}
    done = whole_lake("up", "--detach")
    assert done.returncode == 0, done.stderr
    assert {name: process["pid"] for name, process in whole_lake.status()["processes"].items()} == before


@pytest.mark.parametrize("names", KILLED_TOGETHER, ids=" ".join)
def test_killed_processes_come_back_and_nothing_is_lost_or_doubled(whole_lake: CommandLine, names: tuple[str, ...]):
    whole_lake.wait_for("signals", has_signals)
    before = whole_lake.status()["processes"]
    for name in names:
        os.kill(before[name]["pid"], signal.SIGKILL)
    whole_lake.wait_for(
        f"{' and '.join(names)} again",
        lambda now: all(now["processes"][name]["pid"] not in (before[name]["pid"], None) for name in names),
    )
    status = whole_lake.wait_for("balance", settled)
    assert_nothing_doubled(whole_lake)
    assert status["ledger"]["quarantine"] == rows(status, "silver/quarantine")


def test_a_killed_supervisor_comes_back_with_all_it_had(whole_lake: CommandLine):
    pid = int((whole_lake.settings.data_dir / "run" / "supervisord.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while not whole_lake.status()["processes"]["broker"]["restarts"] and time.monotonic() < deadline:
        time.sleep(1)
    whole_lake.wait_for("balance", settled)
    assert int((whole_lake.settings.data_dir / "run" / "supervisord.pid").read_text()) != pid
    assert_nothing_doubled(whole_lake)


SENSORS = """{ sensorsOrError(repositorySelector: {
    repositoryName: "__repository__", repositoryLocationName: "financelake"
}) { ... on Sensors { results { name sensorState { ticks(limit: 1) { status error { message } } } } } } }"""


def test_every_sensor_ticks_well_after_all_that(whole_lake: CommandLine):
    whole_lake.wait_for("balance", settled)
    deadline = time.monotonic() + 300
    while True:
        sensors = graphql(whole_lake, SENSORS)["sensorsOrError"]["results"]
        ticked = [sensor for sensor in sensors if sensor["name"] != "openlineage"]  # which is off
        last = {sensor["name"]: sensor["sensorState"]["ticks"] for sensor in ticked}
        if all(ticks and ticks[0]["status"] in ("SUCCESS", "SKIPPED", "STARTED") for ticks in last.values()):
            break
        assert time.monotonic() < deadline, last
        time.sleep(2)
    assert set(last) == {"alerts", "automation", "bronze_offsets", "champion", "standing", "stream_progress"}


def test_down_leaves_nothing_and_up_resumes(whole_lake: CommandLine):
    before = whole_lake.status()
    done = whole_lake("down")
    assert done.returncode == 0, done.stderr
    log = (whole_lake.settings.data_dir / "logs" / "supervisord.log").read_text()
    assert "received SIGTERM" not in log, "the supervisor was ended as something left over"
    names = list(processes.of_lake(whole_lake.settings))
    assert re.findall(r"stopped: (\S+)", log)[-len(names) :] == names[::-1], "each before what it needs"
    assert not list(leftovers.of_lake(whole_lake.settings))
    stopped = whole_lake("status", "--json")
    assert stopped.returncode == 3
    assert whole_lake("up", "--detach").returncode == 0
    status = whole_lake.wait_for("balance", settled)
    assert rows(status, "silver/bars") >= rows(before, "silver/bars")
    assert_nothing_doubled(whole_lake)


def assert_nothing_doubled(lake: CommandLine) -> None:
    for table in (BARS, QUARANTINE, PREDICTIONS, SIGNALS):
        keys = table.scan(lake.settings).select(table.key).collect()
        assert keys.is_unique().all(), f"{table.full_name} has a key twice"


def graphql(lake: CommandLine, query: str) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310  # http of our own address
        f"{lake.settings.dagster_url}/graphql",
        json.dumps({"query": query}).encode(),
        {"Content-Type": "application/json", **web_token.headers(lake.settings)},
    )
    with urllib.request.urlopen(request, timeout=120) as response:  # noqa: S310
        return json.load(response)["data"]
