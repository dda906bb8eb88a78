"""Fixtures for all tests: one broker and one Spark Connect server a run, a clean lake on them for each test."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from pyspark.sql import SparkSession
from pyspark.sql.connect.session import SparkSession as ConnectSession

from financelake_assets.config import Settings
from financelake_assets.spark_sessions import job_session
from financelake_assets_tests import shared_servers

# deterministic in CI: the same examples every time, and no judgement by the clock
hypothesis_settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis_settings.register_profile(
    "spark", derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
hypothesis_settings.load_profile("repeatable")

# where a script starts pytest in the background, SIGINT is ignored; Dagster then has SIGTERM ignored, and so has each
# process that a test starts after that
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

for _name in [name for name in os.environ if name.startswith("FINANCELAKE_")]:
    if not _name.startswith("FINANCELAKE_RUNTIME__"):  # a developer's own lake must not leak into the tests
        del os.environ[_name]
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as a lake's processes have it
# a lake that a test starts shall not take the processor of others
os.environ["FINANCELAKE_RUNTIME__CLASS_ARCHIVES"] = "false"


_LONG = {"broker", "spark_server", "browser"}
"""Fixtures of the files that take longest."""


def pytest_xdist_auto_num_workers() -> int:
    """Two where the memory allows: each has a broker and a Spark server. A third makes two cores slower, not faster."""
    return 2 if psutil.virtual_memory().total > 12e9 else 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files for the workers: those that take longest first, and before all the whole lake."""

    def rank(item: pytest.Item) -> int:
        if item.get_closest_marker("e2e") is not None:
            return 0
        return 1 if set(getattr(item, "fixturenames", ())) & _LONG else 2

    by_file: dict[Path, int] = {}
    for item in items:
        by_file[item.path] = min(by_file.get(item.path, 2), rank(item))
    items.sort(key=lambda item: by_file[item.path])


@pytest.fixture(scope="session")
def server_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Where this run's broker and Spark server listen and write, and where a test may put a store for Spark to read."""
    settings = shared_servers.laptop(tmp_path_factory.mktemp("servers"))
    endpoint = f"http://127.0.0.1:{shared_servers.free_ports(1)[0]}"
    at = {"url": "s3://lake", "endpoint": endpoint, "access_key": "lake", "secret_key": "kept nowhere"}
    return Settings.model_validate({**settings.model_dump(), "store": at})


@pytest.fixture(scope="session")
def broker(server_settings: Settings) -> Iterator[str]:
    """The run's Kafka broker; gives its address."""
    with shared_servers.broker(server_settings):
        yield server_settings.kafka_bootstrap


@pytest.fixture(scope="session")
def spark_server(server_settings: Settings) -> Iterator[str]:
    """The run's Spark Connect server; gives its address."""
    with shared_servers.spark_server(server_settings):
        yield server_settings.spark_remote


@pytest.fixture(scope="session")
def spark(spark_server: str, server_settings: Settings) -> Iterator[SparkSession]:
    """A session for bounded work, shared by all tests."""
    session = job_session(server_settings)
    yield session
    session.stop()  # a client left open waits long for a server that is gone


@pytest.fixture(autouse=True)
def session_of_before() -> Iterator[None]:
    """pyspark takes a process's first session for its default; one that a test leaves open must not stay it."""
    default, active = ConnectSession._default_session, getattr(ConnectSession._active_session, "session", None)
    yield
    for session in {default, active} - {None}:
        if session.is_stopped:
            return
    ConnectSession._default_session, ConnectSession._active_session.session = default, active


@pytest.fixture
def offline_lake(tmp_path: Path) -> Settings:
    """A lake with an empty data folder and no servers."""
    return Settings(data_dir=tmp_path / "lake")


@pytest.fixture
def spark_lake(tmp_path: Path, spark_server: str) -> Settings:
    """A lake with an empty data folder on the run's Spark server."""
    return Settings.model_validate({"data_dir": tmp_path / "lake", "spark": {"remote": spark_server}})


@pytest.fixture
def lake(tmp_path: Path, broker: str, spark_server: str) -> Settings:
    """A lake with an empty data folder and empty topics on the run's broker and Spark server."""
    from financelake_assets.bronze.topics import delete_topics, ensure_topics

    settings = Settings.model_validate(
        {"data_dir": tmp_path / "lake", "spark": {"remote": spark_server}, "kafka": {"bootstrap": broker}}
    )
    delete_topics(settings)
    ensure_topics(settings)
    return settings
