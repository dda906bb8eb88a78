"""The processes of a lake: their list, the order of their start, and their health checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from financelake_assets.bronze.feed_choice import chosen, followed_providers
from financelake_assets.bronze.market_feed_state import process_name
from financelake_assets.config import Settings
from financelake_assets.servers import dagster
from financelake_assets.supervision import probes
from financelake_assets.supervision.probes import Probe


@dataclass(frozen=True)
class ProcessState:
    """The supervisor's view of a process: its state, process id (0 if none), start (seconds), and last message."""

    name: str
    state: str
    pid: int
    started_at: float
    said: str

    @property
    def running(self) -> bool:
        """Whether the process exists; it may not be ready yet."""
        return self.state in ("STARTING", "RUNNING")


@dataclass(frozen=True)
class Process:
    """One supervised process.

    ``stage``: processes of one stage start together, when all of the stage before are healthy.
    ``probe`` returns ``None`` when the process is healthy; a process without a probe is healthy when it has run for
    some seconds. ``stop_seconds``: the time from a SIGTERM to a SIGKILL.
    """

    name: str
    title: str
    stage: int
    probe: Probe | None
    stop_seconds: int = 10
    port: int | None = None

    def problem(self, state: ProcessState) -> str | None:
        """Why the process is not healthy, given the supervisor's view of it; ``None`` if it is."""
        if not state.running:
            return state.said
        if self.probe is None:
            return None if state.state == "RUNNING" else "it has only just started"
        return self.probe()


def of_lake(settings: Settings) -> dict[str, Process]:
    """The processes of this lake by name, without the servers that it uses but does not run.

    They stop in reverse order, one by one, so that each process can finish its work while the servers that it needs
    still run. Otherwise a sensor that waits for Spark would block the code location until it is killed.
    """
    offset, host = settings.port_offset, settings.host
    kafka_port = settings.kafka.port + offset
    ca_file = settings.kafka.ca_file if settings.kafka.tls else None
    web_port, page_port = settings.dagster.port + offset, settings.dashboard.port + offset
    all_of_them = [
        Process("broker", "Kafka broker", 0, lambda: probes.kafka(host, kafka_port, ca_file), 30, kafka_port),
        Process(
            "spark", "Spark Connect server", 0, lambda: probes.grpc(host, settings.spark_port), 20, settings.spark_port
        ),
        Process(
            "dagster-code",
            "Dagster code location",
            0,
            lambda: code_location(settings),
            10,
            code_location_port(settings),
        ),
        Process(
            "dashboard", "FinanceLake Pro", 0, lambda: probes.http(f"{settings.dashboard_url}/health"), 5, page_port
        ),
        Process("feed", "Feed of bronze", 0, None, 15),
        *[Process(process_name(name), f"Feed of {name}", 0, None, 20) for name in followed_providers(settings)],
        Process(
            "dagster-web",
            "Dagster webserver",
            1,
            lambda: probes.http(f"{settings.dagster_url}/server_info"),
            5,
            web_port,
        ),
        Process("dagster-daemon", "Dagster daemon", 1, None, 15),
        Process("publisher", "Publisher of gold's topics", 1, None, 10),
        Process("alerter", "Alerter of the rule alerts", 1, None, 15),
        Process("sql-server", "SQL for BI tools", 1, lambda: sql_server(settings), 10, settings.sql_server_port),
        Process("watchdog", "Watchdog", 1, None, 5),
    ]
    not_here = {
        "broker": settings.kafka.bootstrap is not None,
        "spark": settings.spark.remote is not None,
        "feed": chosen(settings) != "replay",
        "publisher": not settings.kafka.publish_gold,
        "alerter": not settings.rules_path.is_file(),
        "sql-server": not settings.sql_server.enabled,
    }
    return {process.name: process for process in all_of_them if not not_here.get(process.name, False)}


def code_location(settings: Settings) -> str | None:
    """Probe Dagster's code location where it listens: on a Unix socket, or on a port for webservers elsewhere."""
    port = code_location_port(settings)
    return probes.grpc_socket(dagster.code_socket(settings)) if port is None else probes.grpc(settings.host, port)


def sql_server(settings: Settings) -> str | None:
    """Probe the SQL server for BI tools, with or without TLS."""
    return probes.grpc(settings.host, settings.sql_server_port, tls=settings.sql_server.tls_file is not None)


def code_location_port(settings: Settings) -> int | None:
    """The code location's port; ``None`` where it has a Unix socket."""
    return None if settings.dagster.code_host is None else dagster.code_port(settings)


def stages(processes: Mapping[str, Process]) -> list[list[Process]]:
    """The processes by stage, in the order of their start."""
    numbers = sorted({process.stage for process in processes.values()})
    return [[process for process in processes.values() if process.stage == number] for number in numbers]
