"""A broker and a Spark Connect server for a benchmark, from the command lines that a lake uses."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from financelake_assets.config import Settings
from financelake_assets.servers import jars, kafka, spark
from financelake_assets.servers.command import Command, lake_environment
from financelake_assets.servers.java import find_java
from financelake_assets.supervision import probes


def laptop(folder: Path, port: int, **groups: dict[str, object]) -> Settings:
    """A lake with the default settings in a folder of its own, its servers on three ports from ``port`` on."""
    ports = {"kafka": {"port": port, "controller_port": port + 1}, "spark": {"port": port + 2}}
    merged = {name: {**ports.get(name, {}), **groups.get(name, {})} for name in {*ports, *groups}}
    return Settings.model_validate({"data_dir": folder, **merged})


@contextmanager
def broker(settings: Settings) -> Iterator[int]:
    """The lake's Kafka broker; its process id."""
    java, class_path = find_java(), jars.class_path("kafka", settings)
    kafka.prepare(settings, java, class_path)
    host, port = settings.kafka_bootstrap.split(":")
    with running(
        kafka.command(settings, java, class_path), settings, "broker", lambda: probes.kafka(host, int(port))
    ) as pid:
        yield pid


@contextmanager
def spark_server(settings: Settings) -> Iterator[int]:
    """The lake's Spark Connect server; its process id."""
    java, class_path = find_java(), jars.spark_class_path(settings)
    spark.prepare(settings)
    command = spark.command(settings, java, class_path)
    with running(command, settings, "spark", lambda: probes.grpc(settings.host, settings.spark_port)) as pid:
        yield pid


@contextmanager
def running(command: Command, settings: Settings, name: str, probe: Callable[[], str | None]) -> Iterator[int]:
    log = settings.data_dir / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**lake_environment(settings), **command.env}
    with log.open("ab") as output:
        process = subprocess.Popen(command.argv, cwd=command.cwd, env=environment, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 120
        while probe() is not None:
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the {name} did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.2)
        yield process.pid
    finally:
        process.terminate()
        process.wait()
