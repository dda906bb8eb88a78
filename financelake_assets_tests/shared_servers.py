"""Real servers for the tests and the benchmarks, started from the same command lines as the lake's own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from financelake_assets.config import Settings
from financelake_assets.servers import jars, kafka, spark
from financelake_assets.servers.command import Command, lake_environment
from financelake_assets.servers.java import find_java
from financelake_assets.supervision import probes
from financelake_assets.supervision.probes import Probe


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def laptop(data_dir: Path, **groups: dict[str, object]) -> Settings:
    """A lake of its own in ``data_dir``, on ports that are free now.

    Args:
        data_dir: a folder.
        groups: settings by group that shall not be the default ones.
    """
    broker, controller, login, connect, web, code, page = free_ports(7)
    ports: dict[str, dict[str, object]] = {
        "kafka": {"port": broker, "controller_port": controller, "login_port": login},
        "spark": {"port": connect},
        "dagster": {"port": web, "code_port": code},
        "dashboard": {"port": page},
    }
    merged = {name: {**ports.get(name, {}), **groups.get(name, {})} for name in {*ports, *groups}}
    return Settings.model_validate({"data_dir": data_dir, **merged})


@contextmanager
def running(command: Command, settings: Settings, log: Path, probe: Probe, seconds: float = 120) -> Iterator[int]:
    """A process that answers its probe; yields its id and ends it and what it started afterwards."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command.argv,
            cwd=command.cwd,
            env={**lake_environment(settings), **command.env},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        await_probe(probe, seconds, process, log)
        yield process.pid
    finally:
        end_group(process)


def await_probe(probe: Probe, seconds: float, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a process answers; fail with the end of its log when it does not."""
    deadline = time.monotonic() + seconds
    while (problem := probe()) is not None:
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"{problem}\n{log.read_text(errors='replace')[-4000:]}")
        time.sleep(0.2)


def end_group(process: subprocess.Popen[bytes], seconds: float = 15) -> None:
    """End a process and its group, gently at first."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


@contextmanager
def broker(settings: Settings) -> Iterator[int]:
    """The lake's Kafka broker."""
    java, class_path = find_java(), jars.class_path("kafka", settings)
    kafka.prepare(settings, java, class_path)
    host, port = settings.kafka_bootstrap.split(":")
    log = settings.data_dir / "logs" / "broker.log"
    with running(
        kafka.command(settings, java, class_path), settings, log, lambda: probes.kafka(host, int(port))
    ) as pid:
        yield pid


@contextmanager
def spark_server(settings: Settings) -> Iterator[int]:
    """The lake's Spark Connect server."""
    java, class_path = find_java(), jars.spark_class_path(settings)
    spark.prepare(settings)
    log = settings.data_dir / "logs" / "spark.log"
    probe: Probe = lambda: probes.grpc(settings.host, settings.spark_port)  # noqa: E731
    with running(spark.command(settings, java, class_path), settings, log, probe) as pid:
        yield pid
