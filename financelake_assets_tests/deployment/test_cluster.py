"""The laptop's end-to-end test on a secured cluster, by settings alone; then parts of the cluster are killed.

The tables are in an object store: SeaweedFS where its program is there, else moto's server. Run with ``uv run pytest -m
cluster``. It needs Debian's ``postgresql`` package.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import polars as pl
import psutil
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from financelake_assets.bronze.broker import client_config
from financelake_assets.bronze.topics import BRONZE
from financelake_assets.config import SECRETS_DIR, Settings
from financelake_assets.servers import kafka_access
from financelake_assets.silver.schema import BARS
from financelake_assets.storage import store
from financelake_assets.storage.store import StoreError
from financelake_assets_tests.deployment.cluster import Cluster, cluster, settings_of
from financelake_assets_tests.deployment.object_store import SEAWEED, Store, object_store, seaweed
from financelake_assets_tests.e2e import test_lake as laptop
from financelake_assets_tests.e2e.conftest import CommandLine, Status, behind
from financelake_assets_tests.e2e.test_lake import assert_nothing_doubled, graphql, settled
from financelake_assets_tests.shared_servers import free_ports

pytestmark = [pytest.mark.cluster, pytest.mark.integration, pytest.mark.timeout(3000)]

BEGIN = datetime(2014, 1, 1, tzinfo=UTC)
_HOURS = count()

needs_seaweed = pytest.mark.skipif(SEAWEED is None, reason="needs `weed`: moto's server keeps nothing and asks nobody")

PORTS = ("SPARK__PORT", "DAGSTER__PORT", "DAGSTER__CODE_PORT", "DASHBOARD__PORT")


class Patient(CommandLine):
    """On a cluster's many processes, which may share two cores with other work."""

    def wait_for(self, what: str, holds: Callable[[Status], bool], seconds: float = 1500) -> Status:
        return super().wait_for(what, holds, seconds)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    kind = object_store if SEAWEED is None else seaweed
    with kind(tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, bucket: Store) -> Iterator[Cluster]:
    named = {f"FINANCELAKE_STORE__{name.upper()}": value for name, value in bucket.settings.items()}
    secret = "FINANCELAKE_STORE__SECRET_KEY"
    with cluster(tmp_path_factory.mktemp("cluster"), {k: v for k, v in named.items() if k != secret}) as running:
        (Path(running.variables[SECRETS_DIR]) / secret).write_text(named[secret])
        yield running


@pytest.fixture(scope="module")
def whole_lake(parts: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """A lake that ``up --detach`` started on the cluster."""
    variables = {
        **parts.variables,
        **{f"FINANCELAKE_{name}": str(port) for name, port in zip(PORTS, free_ports(4), strict=True)},
        "FINANCELAKE_DATA_DIR": str(tmp_path_factory.mktemp("lake") / "data"),
        "FINANCELAKE_FEED__BARS_PER_SECOND": "1",  # the replay is to outlast the training, however slow that is
        "FINANCELAKE_RUNTIME__START_SECONDS": "400",
    }
    settings = settings_of(variables)
    kafka_access.grant(settings)
    lake = Patient(settings, **variables)
    try:
        done = lake("up", "--detach", seconds=600)
        assert done.returncode == 0, done.stderr
        yield lake
    finally:
        lake("down")


# the laptop's tests, on this module's lake and in the laptop's order
test_history_becomes_signals_with_no_further_command = laptop.test_history_becomes_signals_with_no_further_command
test_every_prediction_is_of_a_bar_that_the_model_did_not_see = (
    laptop.test_every_prediction_is_of_a_bar_that_the_model_did_not_see
)
test_a_sensor_started_the_training_and_reports_what_was_written = (
    laptop.test_a_sensor_started_the_training_and_reports_what_was_written
)
test_bad_messages_from_outside_are_quarantined_with_reason_and_offset = (
    laptop.test_bad_messages_from_outside_are_quarantined_with_reason_and_offset
)
test_up_again_is_harmless = laptop.test_up_again_is_harmless


def test_tasks_ran_on_both_workers_and_not_in_the_server(parts: Cluster, whole_lake: CommandLine):
    whole_lake.wait_for("balance", settled)
    for name in ("spark-worker-1", "spark-worker-2"):
        logs = list((parts.nodes[name].log.parents[1] / name / "spark" / "worker" / "work").glob("app-*/*/stderr"))
        assert logs, f"{name} ran no executor"


def test_runs_are_in_postgres(whole_lake: CommandLine):
    home = whole_lake.settings.data_dir / "dagster"
    assert not list(home.glob("history/*.db"))
    storage = graphql(whole_lake, "{ instance { info } }")["instance"]["info"]
    assert "PostgresRunStorage" in storage
    secret = whole_lake.settings.dagster.postgres
    assert secret is not None
    password = secret.get_secret_value().split(":")[2].split("@")[0]
    assert password not in (home / "dagster.yaml").read_text()


def test_tables_are_in_the_bucket_and_not_on_the_disk(whole_lake: CommandLine):
    assert set(store.table_names(whole_lake.settings)) >= {"silver/bars", "gold/signals", "gold/models", "gold/equity"}
    assert not (whole_lake.settings.data_dir / "delta").exists()


@needs_seaweed
def test_nobody_without_the_key_gets_into_the_store(whole_lake: CommandLine):
    for wrong in ({"secret_key": "guessed"}, {"access_key": "guessed"}):
        stranger = Settings.model_validate({"store": {**whole_lake.settings.store.model_dump(), **wrong}})
        with pytest.raises(StoreError, match="does not let this lake use"):
            store.table_names(stranger)
        with pytest.raises(StoreError, match="FINANCELAKE_STORE__SECRET_KEY"):
            store.refuse_careless(stranger)
        with pytest.raises(OSError, match="lacked the necessary privileges"):
            BARS.open(stranger)


def test_every_topic_is_on_three_brokers(whole_lake: CommandLine):
    topics = AdminClient(client_config(whole_lake.settings)).list_topics(timeout=60).topics
    for name in BRONZE:
        for partition in topics[name].partitions.values():
            assert sorted(partition.isrs) == [1, 2, 3]


@pytest.mark.parametrize("name", ["kafka-1", "kafka-2", "spark-worker-1", "spark-worker-2", "spark-master"])
def test_a_part_that_is_killed_and_comes_back_costs_nothing(parts: Cluster, whole_lake: CommandLine, name: str):
    whole_lake.wait_for("balance", settled)
    sent = {*publish(whole_lake, 200)}
    parts.nodes[name].kill()
    # the lake goes on without it
    sent |= publish(whole_lake, 200)
    whole_lake.wait_for(f"progress without {name}", lambda _: sent <= hours_in_silver(whole_lake))
    parts.nodes[name].start()
    sent |= publish(whole_lake, 200)
    # the replay goes on, and between the bars of two days nothing waits
    whole_lake.wait_for(
        "balance", lambda now: settled(now) and behind(now) == 0 and sent <= hours_in_silver(whole_lake)
    )
    assert_nothing_doubled(whole_lake)


@needs_seaweed
def test_a_store_that_is_killed_and_comes_back_costs_nothing(bucket: Store, whole_lake: CommandLine):
    """Without it nothing is written: the queries end, are started again until it answers, and go on where they were."""
    whole_lake.wait_for("balance", settled)
    bucket.node.kill()
    sent = publish(whole_lake, 200)
    without = whole_lake.wait_for("a query that fails", lambda now: not now["streams"]["silver"]["running"])
    assert not without["healthy"]
    assert f"The object store at {bucket.endpoint} cannot be used" in without["ledger"]["error"]
    bucket.node.start()
    whole_lake.wait_for(
        "balance", lambda now: settled(now) and behind(now) == 0 and sent <= hours_in_silver(whole_lake)
    )
    assert_nothing_doubled(whole_lake)


def publish(lake: CommandLine, wanted: int) -> set[datetime]:
    """Hourly bars that nobody has sent before; the times of those that the brokers acknowledged, which must be all."""
    acknowledged: set[datetime] = set()
    producer = Producer({**client_config(lake.settings), "acks": "all", "enable.idempotence": True})
    for _ in range(wanted):
        at = BEGIN + timedelta(hours=next(_HOURS))
        value = {"symbol": "AAPL", "interval": "1h", "event_time": at.isoformat(), "close": 60}
        producer.produce(
            "bronze.stock",
            json.dumps(value),
            "AAPL",
            on_delivery=lambda error, _, at=at: acknowledged.add(at) if error is None else None,
        )
    assert producer.flush(120) == 0
    assert len(acknowledged) == wanted
    return acknowledged


def hours_in_silver(lake: CommandLine) -> set[datetime]:
    rows = BARS.scan(lake.settings).filter(pl.col("interval") == "1h", pl.col("symbol") == "AAPL")
    return set(rows.select("event_time").collect()["event_time"])


def test_no_secret_is_in_any_log_or_command_line(parts: Cluster, bucket: Store, whole_lake: CommandLine):
    names = ("kafka-lake", "kafka-admin", "spark-token", "spark-cluster", "postgres")
    secrets = [bucket.secret_key, *((parts.secrets / name).read_text().strip() for name in names)]
    for log in [*whole_lake.logs(), *(node.log for node in parts.nodes.values())]:
        text = log.read_text(errors="replace")
        assert not [secret for secret in secrets if secret in text], f"a secret is in {log.name}"
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or [])
        assert not [secret for secret in secrets if secret in words], f"a secret is on the command line of {words[:40]}"


test_every_sensor_ticks_well_after_all_that = laptop.test_every_sensor_ticks_well_after_all_that
