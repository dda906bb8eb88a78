"""What doctor says of servers that are someone else's: real ones, absent ones, and ones that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from financelake_assets.bronze.broker import BrokerUnavailableError
from financelake_assets.bronze.topics import delete_topics, ensure_topics
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.operations import deployment
from financelake_assets.operations.doctor import examine
from financelake_assets.operations.status import process_status
from financelake_assets.spark_sessions import SparkUnavailableError, refuse_version
from financelake_assets_tests.shared_servers import free_ports


def elsewhere(tmp_path: Path, **groups: dict[str, object]) -> Settings:
    return Settings.model_validate({"data_dir": tmp_path, **groups})


def test_a_lake_that_starts_its_own_servers_asks_nobody(tmp_path: Path):
    assert deployment.checks(elsewhere(tmp_path)) == {}


@pytest.mark.integration
def test_a_broker_that_runs_is_described(tmp_path: Path, broker: str):
    assert deployment.kafka(elsewhere(tmp_path, kafka={"bootstrap": broker})).startswith(f"1 brokers at {broker}")


@pytest.mark.integration
def test_too_few_brokers_for_the_replication_are_named(tmp_path: Path, broker: str):
    lake = elsewhere(tmp_path, kafka={"bootstrap": broker, "replication": 3})
    with pytest.raises(FinanceLakeError, match="has 1 brokers") as raised:
        deployment.kafka(lake)
    assert "FINANCELAKE_KAFKA__REPLICATION" in raised.value.remedy
    delete_topics(lake)
    with pytest.raises(BrokerUnavailableError, match="FINANCELAKE_KAFKA__REPLICATION"):
        ensure_topics(lake)


@pytest.mark.integration
def test_a_spark_server_of_the_clients_version_is_described(spark_lake: Settings):
    assert spark_lake.spark.remote is not None
    assert spark_lake.spark.remote in deployment.spark(spark_lake)


def test_a_patch_of_spark_fits_and_another_release_does_not():
    refuse_version("4.2.1", "4.2.0")
    with pytest.raises(SparkUnavailableError, match=r"Spark 4.1.3 .* 4.2.0.*FINANCELAKE_SPARK__REMOTE"):
        refuse_version("4.1.3", "4.2.0")


def test_a_database_that_is_not_there_is_named_without_its_password(tmp_path: Path):
    (port,) = free_ports(1)
    address = f"postgresql://lake:very-secret@127.0.0.1:{port}/lake"
    with pytest.raises(FinanceLakeError, match=f"Postgres at 127.0.0.1:{port} does not let lake in") as raised:
        deployment.postgres(elsewhere(tmp_path, dagster={"postgres": address}))
    assert "very-secret" not in str(raised.value)
    assert "FINANCELAKE_DAGSTER__POSTGRES" in raised.value.remedy


@pytest.mark.integration
def test_the_status_of_a_lake_that_runs_elsewhere_is_of_the_servers_that_can_be_asked(tmp_path: Path, broker: str):
    web, store = free_ports(2)
    lake = elsewhere(
        tmp_path,
        kafka={"bootstrap": broker},
        dagster={"code_host": "code", "port": web},
        store={"url": "s3://lake", "endpoint": f"http://127.0.0.1:{store}"},  # its check writes, which a look must not
    )
    found = process_status(lake)
    assert {name: (server["state"], server["healthy"]) for name, server in found.items()} == {
        "Kafka": ("answers", True),
        "Dagster": ("away", False),
    }
    assert found["Kafka"]["problem"] is None
    assert f"127.0.0.1:{web}" in found["Dagster"]["problem"]


def test_the_doctor_names_every_server_that_is_away_and_asks_for_no_port_of_its_own(tmp_path: Path):
    kafka, spark, postgres, web = free_ports(4)
    lake = elsewhere(
        tmp_path,
        kafka={"bootstrap": f"127.0.0.1:{kafka}"},
        spark={"remote": f"sc://127.0.0.1:{spark}"},
        dagster={"postgres": f"postgresql://lake:x@127.0.0.1:{postgres}/lake", "code_host": "code", "port": web},
    )
    found = {finding.name: finding for finding in examine(lake)}
    assert "Ports" not in found
    assert {name for name, finding in found.items() if not finding.well} == {
        "Kafka",
        "Spark Connect",
        "Postgres",
        "Dagster",
    }
    assert "FINANCELAKE_KAFKA__BOOTSTRAP" in found["Kafka"].detail
    assert "FINANCELAKE_SPARK__REMOTE" in found["Spark Connect"].detail
