"""A single-node Kafka broker in KRaft mode, run from the locked jars.

Enters: settings and a class path. Leaves: ``<data_dir>/kafka`` formatted exactly once, and the command that runs the
broker. A folder whose formatting was cut short is completed with the same cluster id; message data is never removed.
"""

from __future__ import annotations

import base64
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

from financelake_assets.config import Settings
from financelake_assets.runtime.command import Command
from financelake_assets.runtime.errors import RuntimeProblem
from financelake_assets.runtime.java import Java

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # an address to listen on, never to advertise

_LOG4J2 = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_OUT
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd HH:mm:ss.SSS} %-5p %c{1.} - %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""


def folder(settings: Settings) -> Path:
    """Everything that the broker keeps."""
    return settings.data_dir / "kafka"


def server_properties(settings: Settings) -> str:
    """The broker's configuration: one node, broker and controller in one, sized for a laptop."""
    host, port = settings.host, settings.kafka.port + settings.port_offset
    controller = settings.kafka.controller_port + settings.port_offset
    reachable = _WILDCARDS.get(host, host)
    values = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{_bracketed(reachable)}:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{_bracketed(host)}:{port},CONTROLLER://{_bracketed(reachable)}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{_bracketed(reachable)}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": folder(settings) / "data",
        "auto.create.topics.enable": "false",
        "num.partitions": settings.kafka.partitions,
        "default.replication.factor": 1,
        # internal topics: one node, few files
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        "group.initial.rebalance.delay.ms": 0,
        # a small machine
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 2,
        "log.cleaner.dedupe.buffer.size": 16 << 20,
        "log.segment.bytes": 64 << 20,
        "log.retention.check.interval.ms": 60_000,
    }
    return "".join(f"{key}={value}\n" for key, value in values.items())


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def prepare(settings: Settings, java: Java, class_path: Sequence[Path]) -> None:
    """Write the configuration, and format the data folder where that has not been completed.

    Raises:
        RuntimeProblem: formatting failed, or the folder belongs to another cluster than this lake's.
    """
    home = folder(settings)
    (home / "data").mkdir(parents=True, exist_ok=True)
    (home / "server.properties").write_text(server_properties(settings))
    (home / "log4j2.properties").write_text(_LOG4J2)
    cluster = _cluster_id(home)
    found = formatted_for(home / "data")
    if found == cluster:
        return
    if found is not None:
        raise RuntimeProblem(
            f"{home / 'data'} belongs to the Kafka cluster {found}, not to this lake's {cluster}.",
            remedy=f"Write {found} into {home / 'cluster.id'} if the data is yours, or use another "
            "FINANCELAKE_DATA_DIR.",
        )
    _set_aside_damaged(home / "data" / "meta.properties")
    done = subprocess.run(  # noqa: S603
        [
            java.executable,
            "-Xmx128m",
            "-XX:TieredStopAtLevel=1",
            f"-Dlog4j2.configurationFile={home / 'log4j2.properties'}",
            "-cp",
            joined(class_path),
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={cluster}",  # an id may begin with a dash, which would look like an option
            "--config",
            str(home / "server.properties"),
            "--ignore-formatted",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode or formatted_for(home / "data") != cluster:
        raise RuntimeProblem(
            f"The broker's folder {home / 'data'} could not be formatted:\n{(done.stderr or done.stdout).strip()}",
            remedy="Check that the disk is writable and has space.",
        )


def formatted_for(data: Path) -> str | None:
    """The cluster id that a broker folder was completely formatted for; ``None`` when it was not, or only half."""
    try:
        lines = (data / "meta.properties").read_text().splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    values = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    complete = values.get("node.id") == "1" and values.get("version") == "1"
    return values.get("cluster.id") if complete else None


def command(settings: Settings, java: Java, class_path: Sequence[Path]) -> Command:
    """The broker's command line."""
    home = folder(settings)
    argv = (
        str(java.executable),
        f"-Xmx{settings.kafka.heap}",
        "-Xms64m",
        "-XX:+UseG1GC",
        "-XX:MaxGCPauseMillis=20",
        "-XX:+ExplicitGCInvokesConcurrent",
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={home / 'log4j2.properties'}",
        "-cp",
        joined(class_path),
        "kafka.Kafka",
        str(home / "server.properties"),
    )
    return Command(argv, cwd=home)


def joined(class_path: Sequence[Path]) -> str:
    """A class path as one argument."""
    return ":".join(str(path) for path in class_path)


def _cluster_id(home: Path) -> str:
    """This lake's cluster id, kept beside the data so that a half-formatted folder can be completed with it."""
    file = home / "cluster.id"
    if file.is_file() and (known := file.read_text().strip()):
        return known
    cluster = formatted_for(home / "data") or base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    partial = file.with_suffix(".partial")
    partial.write_text(cluster + "\n")
    partial.replace(file)
    return cluster


def _set_aside_damaged(meta: Path) -> None:
    if meta.exists():
        meta.replace(meta.with_name("meta.properties.damaged"))
