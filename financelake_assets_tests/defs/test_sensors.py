"""The sensor on Kafka offsets and the continuous query that it keeps, on the real broker and Spark server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
import polars as pl
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from financelake_assets.bronze.topics import delete_topics, ensure_topics
from financelake_assets.config import Settings, get_settings
from financelake_assets.definitions import defs
from financelake_assets.defs.model.sensors import champion
from financelake_assets.defs.news import NewsResource
from financelake_assets.defs.operations import sensors
from financelake_assets.defs.resources import (
    ContinuousStreamsResource,
    LakeResource,
    TablesResource,
    TopicsResource,
    _shared_streams,
)
from financelake_assets.model.schema import MODELS
from financelake_assets.silver.checkpoint import QUERY
from financelake_assets.silver.schema import BARS
from financelake_assets.streams.client import Streams
from financelake_assets.streams.failures import forget_failures, last_failure, record_failure
from financelake_assets.streams.stalls import open_batch_of
from financelake_assets_tests import shared_servers
from financelake_assets_tests.gold import lakes
from financelake_assets_tests.gold.frames import START
from financelake_assets_tests.model.records import record
from financelake_assets_tests.silver import kafka

pytestmark = pytest.mark.integration

OTHER_CLIENT = """
import sys
from financelake_assets.config import Settings
from financelake_assets.streams.client import Streams
from pyspark.sql.connect.client import SparkConnectClient
SparkConnectClient._on_exit = lambda _: print("and asks the server for something at its exit")
print(Streams(Settings.model_validate_json(sys.argv[1])).ensure("silver"))
"""


@pytest.fixture
def watched(lake: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A lake that the resources find by the environment; its query is stopped afterwards."""
    kafka.add_universe(lake)
    for name, value in {
        "FINANCELAKE_DATA_DIR": str(lake.data_dir),
        "FINANCELAKE_KAFKA__BOOTSTRAP": lake.kafka_bootstrap,
        "FINANCELAKE_SPARK__REMOTE": lake.spark_remote,
    }.items():
        monkeypatch.setenv(name, value)
    _forget()
    yield lake
    Streams(lake).stop(QUERY)
    _forget()


def _forget() -> None:
    """What a process keeps of its lake; Dagster's own processes serve one lake each."""
    get_settings.cache_clear()
    _shared_streams.cache_clear()


def tick(cursor: str | None = None) -> tuple[dict[str, Any], str | None, str]:
    """One tick of the sensor: metadata by asset, the new cursor, and what it says."""
    lake = LakeResource()
    resources = {
        "lake": lake,
        "topics": TopicsResource(lake=lake),
        "tables": TablesResource(lake=lake),
        "streams": ContinuousStreamsResource(),
        "news": NewsResource(),
    }
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance, cursor, resources=resources) as context,
    ):
        result = sensors.bronze_offsets(context)
    if isinstance(result, dg.SkipReason):
        return {}, cursor, result.skip_message or ""
    assert isinstance(result, dg.SensorResult)
    events = {event.asset_key.to_user_string(): event.metadata for event in result.asset_events}
    reason = result.skip_reason
    return events, result.cursor, "" if reason is None else reason.skip_message or ""


def test_a_tick_starts_the_query_and_reports_what_arrived_and_what_was_written(watched: Settings) -> None:
    events, before, said = tick()
    assert "query silver started" in said
    assert not any(name.startswith("bronze/") for name in events)
    sent = kafka.produce(watched, [kafka.bar("AAPL", day, 5.0) for day in range(7)])
    kafka.eventually(lambda: kafka.caught_up(watched), "silver caught up")
    events, after, said = tick(before)
    assert "query silver runs" in said
    assert events["bronze/stock"]["new_messages"].value == sent
    assert (events["silver/bars"]["dagster/row_count"].value, events["silver/bars"]["messages_behind"].value) == (7, 0)
    assert tick(after)[0] == {}, "nothing is reported twice"
    assert tick(before)[0].keys() == events.keys(), "a tick whose cursor was lost reports again"


def test_a_query_outlives_its_client_and_the_next_one_adopts_it(watched: Settings) -> None:
    other = [sys.executable, "-c", OTHER_CLIENT, watched.model_dump_json()]
    assert subprocess.run(other, check=True, capture_output=True, text=True).stdout.strip() == "True"
    streams = Streams(watched)
    assert not streams.ensure(QUERY), "it runs, though who started it has exited"
    kafka.produce(watched, [kafka.bar("AAPL", 1, 5.0)])
    assert kafka.drain(watched, streams.active()[QUERY]).silver == 1


def test_an_operator_who_stopped_a_query_is_not_overruled_and_it_resumes_where_it_was(watched: Settings) -> None:
    streams = Streams(watched)
    streams.ensure(QUERY)
    kafka.produce(watched, kafka.mixture(60))
    kafka.drain(watched, streams.active()[QUERY])
    assert streams.hold(QUERY)
    assert "was stopped by an operator" in tick()[2]
    assert QUERY not in streams.active()
    kafka.produce(watched, kafka.mixture(60, 60))
    assert streams.release(QUERY)
    ledger = kafka.drain(watched, streams.active()[QUERY])
    assert (ledger.consumed, ledger.balanced) == (120, True)
    assert "query silver runs" in tick()[2]


def test_a_query_whose_batch_does_not_end_is_started_again_and_loses_and_doubles_nothing(
    watched: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tick()
    kafka.produce(watched, kafka.mixture(60))
    kafka.eventually(lambda: kafka.caught_up(watched), "silver caught up")
    forget_failures(watched, QUERY)
    before = str(Streams(watched).active()[QUERY].runId)
    with BARS.turn(watched):  # whoever writes silver's bars now waits, and nothing ends that
        kafka.produce(watched, kafka.mixture(60, 60))
        kafka.eventually(lambda: open_batch_of(watched, QUERY) is not None, "a batch began")
        assert "query silver runs" in tick()[2], "a batch may take its time"
        monkeypatch.setenv("FINANCELAKE_STREAMS__STALL_SECONDS", "5")
        get_settings.cache_clear()
        kafka.eventually(lambda: "query silver hung, batch" in tick()[2], "the sensor saw that it hangs")
        assert str(Streams(watched).active()[QUERY].runId) != before
        assert "had not ended after" in (last_failure(watched, QUERY).error or "")
    ledger = kafka.drain(watched, Streams(watched).active()[QUERY])
    assert (ledger.consumed, ledger.balanced) == (120, True)


def test_a_query_that_cannot_start_is_tried_again_after_growing_waits_and_says_why(watched: Settings) -> None:
    _, cursor, _ = tick()
    kafka.produce(watched, [kafka.bar("AAPL", 1, 5.0)])
    kafka.eventually(lambda: kafka.caught_up(watched), "silver caught up")
    Streams(watched).stop(QUERY)
    delete_topics(watched)
    ensure_topics(watched)
    forget_failures(watched, QUERY)
    _, cursor, said = tick(cursor)
    assert "could not be started (1 times): The checkpoint" in said
    assert "is of other topics" in said
    assert "failed 1 times, next start in" in tick(cursor)[2]
    failures = [record_failure(watched, QUERY, "again").back_off_seconds() for _ in range(8)]
    assert failures == [4.0, 8.0, 16.0, 32.0, 64.0, 120.0, 120.0, 120.0]


def ticked(cursor: str | None, instance: dg.DagsterInstance) -> tuple[dg.SensorResult, str]:
    """One tick against an instance that remembers its runs, and what it says."""
    lake = LakeResource()
    resources = {"lake": lake, "topics": TopicsResource(lake=lake), "tables": TablesResource(lake=lake)}
    resources |= {"streams": ContinuousStreamsResource(), "news": NewsResource()}
    with dg.build_sensor_context(instance, cursor, resources=resources) as context:
        result = sensors.bronze_offsets(context)
    assert isinstance(result, dg.SensorResult)
    return result, "" if result.skip_reason is None else result.skip_reason.skip_message or ""


def test_queries_that_are_not_continuous_run_when_enough_waits_and_stop_when_they_have_caught_up(
    watched: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINANCELAKE_STREAMS__CONTINUOUS", "false")
    monkeypatch.setenv("FINANCELAKE_STREAMS__START_MESSAGES", "10")
    get_settings.cache_clear()
    with dg.DagsterInstance.ephemeral() as instance:
        result, said = ticked(None, instance)
        assert (result.run_requests, "nothing waits" in said) == ([], True)
        kafka.produce(watched, [kafka.bar("AAPL", day, 5.0) for day in range(9)])
        result, said = ticked(result.cursor, instance)
        assert (result.run_requests, "9 messages" in said) == ([], True)
        late = json.loads(result.cursor or "")
        assert late["waiting_since"] is not None, "a trickle is not left lying: its clock runs"
        late["waiting_since"] -= 61
        assert len(ticked(json.dumps(late), instance)[0].run_requests) == 1
        kafka.produce(watched, [kafka.bar("AAPL", 9, 5.0)])
        (due,) = ticked(result.cursor, instance)[0].run_requests
        (again,) = ticked(result.cursor, instance)[0].run_requests
        assert {key.name for key in due.asset_check_keys or ()} == {"schema", "unique_key", "values"}
        assert due.run_key == again.run_key, "a tick that was lost and repeated asks for the same run"
        assert QUERY not in Streams(watched).active()
        job = defs.get_repository_def().get_job("catch_up")
        done = job.execute_in_process(instance=instance, asset_selection=due.asset_selection)
        assert done.success
        assert kafka.caught_up(watched)
        assert QUERY not in Streams(watched).active(), "it is stopped when it has caught up"
        result, said = ticked(result.cursor, instance)
        assert (result.run_requests, "nothing waits" in said) == ([], True)
        assert json.loads(result.cursor or "")["waiting_since"] is None
        kafka.produce(watched, [kafka.bar("AAPL", day, 5.0) for day in range(10, 20)])
        (more,) = ticked(result.cursor, instance)[0].run_requests
        assert more.run_key != due.run_key
        Streams(watched).hold(QUERY)
        result, said = ticked(result.cursor, instance)
        assert (result.run_requests, "stopped by an operator" in said) == ([], True)


def test_each_market_is_trained_when_it_has_enough_bars_and_the_others_say_what_they_lack(watched: Settings) -> None:
    five = (pl.col("event_time") - START).dt.total_days() * timedelta(minutes=5)
    lakes.append(watched, lakes.market(0, 100))
    version = lakes.append(watched, lakes.market(0, 300).with_columns(event_time=START + five, interval=pl.lit("5m")))
    lake = LakeResource()
    resources = {"lake": lake, "topics": TopicsResource(lake=lake), "tables": TablesResource(lake=lake)}
    resources |= {"streams": ContinuousStreamsResource(), "news": NewsResource()}

    def looked(instance: dg.DagsterInstance) -> dg.SensorResult:
        with dg.build_sensor_context(instance, resources=resources) as context:
            result = champion(context)
        assert isinstance(result, dg.SensorResult)
        return result

    with dg.DagsterInstance.ephemeral() as instance:
        (due,) = looked(instance).run_requests or ()
        (again,) = looked(instance).run_requests or ()
        assert (due.partition_key, due.tags["financelake/why"]) == ("5m", "no champion yet; 900 bars")
        assert due.run_key == again.run_key, "a tick that was lost and repeated asks for the same run"
        trained = record("rf-5m", "5m", promoted=0, silver_version=version)
        models = pa.Table.from_pylist([trained.row()], schema=MODELS.schema)
        write_deltalake(MODELS.ensure(watched), models, mode="append")
        waiting = looked(instance)
        assert waiting.run_requests == []
        said = waiting.skip_reason.skip_message if waiting.skip_reason is not None else ""
        assert "5m: 0 new bars; training at 5000" in str(said)
        assert "1d: 117 of 500 labelled bars; no bar came since 2024-04-09" in str(said)
        instance.add_run(dg.DagsterRun("train_model", status=dg.DagsterRunStatus.STARTED))
        held_up = looked(instance).skip_reason
        assert "a training is running" in str(held_up.skip_message if held_up is not None else "")


def test_topics_that_are_missing_are_made(watched: Settings) -> None:
    delete_topics(watched)
    assert "Made: bronze.stock, bronze.crypto, bronze.commodity" in tick()[2]
    assert "query silver started" in tick()[2]


def test_a_broker_that_does_not_answer_costs_one_tick_and_no_cursor(
    watched: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, cursor, _ = tick()
    (port,) = shared_servers.free_ports(1)
    monkeypatch.setenv("FINANCELAKE_KAFKA__BOOTSTRAP", f"127.0.0.1:{port}")
    get_settings.cache_clear()
    events, after, said = tick(cursor)
    assert (events, after) == ({}, cursor)
    assert "the broker does not answer, the next tick retries" in said
    lake = LakeResource()
    resources = {"lake": lake, "topics": TopicsResource(lake=lake)}
    with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance, resources=resources) as context:
        watched_by = sensors.watch_lake(context)
    assert isinstance(watched_by, dg.SensorResult)
    assert "bronze/broker" in json.loads(watched_by.cursor or "")["log"], "it is an alert, not a failed tick"
