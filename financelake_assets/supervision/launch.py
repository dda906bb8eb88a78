"""Becomes one of the lake's processes: ``python -m financelake_assets.supervision.launch NAME``.

Input: a name and the environment's settings. Output: this process, replaced by the named one. It first ends what an
earlier process of that name left running in this lake, and checks the hashes of a JVM's jars. This happens at every
start, also when the supervisor restarts the process. So the supervisor's configuration has names, not command lines. As
an image's entry point it runs any other command unchanged, because Dagster's Helm chart gives command lines.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping

from financelake_assets.bronze.market_feed_state import provider_of
from financelake_assets.config import Settings, get_settings
from financelake_assets.explanations import EXPECTED, explained
from financelake_assets.servers import dagster, jars, kafka, spark, spark_cluster
from financelake_assets.servers.command import PROCESS_VARIABLE, PYTHON, Command, lake_environment
from financelake_assets.servers.java import find_java
from financelake_assets.supervision import leftovers, redact


def broker(settings: Settings) -> Command:
    """The Kafka broker; formats its folder if necessary."""
    java, class_path = find_java(fetch=settings.runtime.fetch_java), jars.class_path("kafka", settings)
    kafka.prepare(settings, java, class_path)
    return kafka.command(settings, java, class_path)


def spark_server(settings: Settings) -> Command:
    """The Spark Connect server."""
    java, class_path = find_java(fetch=settings.runtime.fetch_java), jars.spark_class_path(settings)
    spark.prepare(settings)
    return spark.command(settings, java, class_path)


def spark_master(settings: Settings) -> Command:
    """The master of a standalone cluster."""
    return spark_cluster.master(settings, find_java(fetch=settings.runtime.fetch_java))


def spark_worker(settings: Settings) -> Command:
    """A worker of a standalone cluster, with the jars that the server's tasks need."""
    jars.spark_class_path(settings)
    return spark_cluster.worker(settings, find_java(fetch=settings.runtime.fetch_java))


def module(name: str, env: Mapping[str, str] | None = None, *arguments: str) -> Callable[[Settings], Command]:
    """A Python module of this installation."""
    return lambda settings: Command((*PYTHON, "-m", name, *arguments), settings.data_dir, env or {})


def of_dagster(make: Callable[[Settings], Command]) -> Callable[[Settings], Command]:
    """One of Dagster's processes; writes the instance settings first."""

    def prepared(settings: Settings) -> Command:
        dagster.prepare(settings)
        return make(settings)

    return prepared


CODE_LOCATION = "dagster-code"

COMMANDS: dict[str, Callable[[Settings], Command]] = {
    "broker": broker,
    "spark": spark_server,
    "spark-master": spark_master,
    "spark-worker": spark_worker,
    "kafka-access": module("financelake_assets.servers.kafka_access"),
    CODE_LOCATION: of_dagster(dagster.code_server),
    "dagster-web": of_dagster(dagster.webserver),
    "dagster-daemon": of_dagster(dagster.daemon),
    # many small data frames for many visitors: one thread for each frame is faster than all threads
    "dashboard": module("dash_app", {"POLARS_MAX_THREADS": "1"}),
    "feed": module("financelake_assets.bronze.feed"),
    "publisher": module("financelake_assets.publishing.publisher", {"POLARS_MAX_THREADS": "1"}),
    "alerter": module("financelake_assets.alerting.alerter", {"POLARS_MAX_THREADS": "1"}),
    "sql-server": module("financelake_assets.flight_sql.server", {"POLARS_MAX_THREADS": "1"}),
    "exporter": module("financelake_assets.operations.exporter"),
    "watchdog": module("financelake_assets.supervision.watchdog"),
}
"""The command of each process of a lake."""


def command_of(name: str) -> Callable[[Settings], Command] | None:
    """What makes the command of a process; ``None`` where no process is called so."""
    if (provider := provider_of(name)) is not None:
        return module("financelake_assets.feeds.market_feed", {"POLARS_MAX_THREADS": "1"}, provider)
    return COMMANDS.get(name)


def main(name: str) -> None:
    """Replace this process by the process called ``name``."""
    settings = get_settings()
    if name != CODE_LOCATION:  # runs that it launched can finish without it
        leftovers.end(settings, name)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    make = command_of(name)
    assert make is not None  # noqa: S101  # asked before
    command = make(settings)
    os.chdir(command.cwd)
    environment = {**lake_environment(settings), **command.env, PROCESS_VARIABLE: name}
    if name == "spark":
        redact.output_through_here(settings, environment)
    os.execve(command.argv[0], command.argv, environment)  # noqa: S606  # no shell, on purpose


if __name__ == "__main__":
    if command_of(sys.argv[1]) is None:
        os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606  # no shell, on purpose
    try:
        main(sys.argv[1])
    except EXPECTED as error:
        sys.exit(explained(error))
