"""Health of one process without a supervisor, as in a container: ``python -m …supervision.health NAME``.

Input: the name given to ``launch``, and the same environment. Output: exit code 0, or 1 with the reason.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from financelake_assets.bronze import feed_state, market_feed_state
from financelake_assets.config import Settings, get_settings
from financelake_assets.explanations import EXPECTED, explained
from financelake_assets.gold import alerter_state, publisher_state
from financelake_assets.servers import dagster
from financelake_assets.supervision import probes, processes

_SILENT = timedelta(seconds=30)
"""The feed reports every two seconds, also while it waits."""


def broker(settings: Settings) -> str | None:
    """The broker answers its protocol, over TLS if it uses TLS."""
    kafka = settings.kafka
    ca_file = kafka.ca_file if kafka.tls else None
    return probes.kafka(settings.host, kafka.port + settings.port_offset, ca_file)


def spark(settings: Settings) -> str | None:
    """The Connect server speaks HTTP/2."""
    return probes.grpc(settings.host, settings.spark_port)


def spark_page(settings: Settings) -> str | None:
    """A master or a worker answers on its page."""
    if settings.spark.ui_port is None:
        return "has no page to check: set FINANCELAKE_SPARK__UI_PORT"
    return probes.http(f"http://{settings.host}:{settings.spark.ui_port}/json/")


def code_location(settings: Settings) -> str | None:
    """Dagster's code location speaks HTTP/2."""
    return processes.code_location(settings)


def webserver(settings: Settings) -> str | None:
    """Dagster's webserver answers."""
    return probes.http(f"{settings.dagster_url}/server_info")


def daemon(settings: Settings) -> str | None:
    """Replaces this process by Dagster's own check, which looks for the daemon's heartbeats in its storage."""
    command = dagster.liveness(settings)
    os.execve(command.argv[0], command.argv, {**os.environ, **command.env})  # noqa: S606  # no shell, on purpose


def dashboard(settings: Settings) -> str | None:
    """The page answers."""
    return probes.http(f"{settings.dashboard_url}/health")


def feed(settings: Settings) -> str | None:
    """The feed has reported recently."""
    return _reported(feed_state.read_state(settings), _SILENT)


def market_feed(provider: str) -> Callable[[Settings], str | None]:
    """The feed of a provider has reported recently."""
    return lambda settings: _reported(market_feed_state.read_state(settings, provider), _SILENT)


def publisher(settings: Settings) -> str | None:
    """The publisher has started, and its process is there."""
    return _reported(publisher_state.read_state(settings), 2 * _SILENT)


def alerter(settings: Settings) -> str | None:
    """The alerter has started, and its process is there."""
    return _reported(alerter_state.read_state(settings), 2 * _SILENT)


def sql_server(settings: Settings) -> str | None:
    """The SQL server for BI tools speaks HTTP/2."""
    return processes.sql_server(settings)


class _State(Protocol):
    @property
    def updated_at(self) -> str: ...


def _reported(state: _State | None, most: timedelta) -> str | None:
    if state is None:
        return "has not started"
    silent = datetime.now(UTC) - datetime.fromisoformat(state.updated_at)
    return f"has not reported for {silent.total_seconds():.0f} s" if silent > most else None


def exporter(settings: Settings) -> str | None:
    """The exporter reads the lake and answers."""
    return probes.http(f"http://{settings.host}:{settings.metrics.port + settings.port_offset}/metrics")


CHECKS: dict[str, Callable[[Settings], str | None]] = {
    "broker": broker,
    "spark": spark,
    "spark-master": spark_page,
    "spark-worker": spark_page,
    "dagster-code": code_location,
    "dagster-web": webserver,
    "dagster-daemon": daemon,
    "dashboard": dashboard,
    "feed": feed,
    "publisher": publisher,
    "alerter": alerter,
    "sql-server": sql_server,
    "exporter": exporter,
}
"""The health check of each process."""


def main(name: str) -> int:
    """Check one process; return the exit code."""
    provider = market_feed_state.provider_of(name)
    check = CHECKS[name] if provider is None else market_feed(provider)
    try:
        problem = check(get_settings())
    except EXPECTED as error:
        problem = explained(error)
    if problem is None:
        return 0
    sys.stderr.write(f"{name} {problem}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
