"""A Spark standalone cluster from the pyspark wheel: a master, and workers that offer it their cores.

Input: settings and the class path. Output: the commands of a master and of a worker. A Connect server with
``spark.master`` set to that master runs its tasks on the workers; they see the data folder under the same path as it.
The master remembers its workers and applications on disk, so that it can be killed.
"""

from __future__ import annotations

from pathlib import Path

from financelake_assets.config import Settings
from financelake_assets.servers.command import Command, joined
from financelake_assets.servers.java import Java
from financelake_assets.servers.spark import (
    environment,
    figures,
    folder,
    jvm_options,
    properties_file,
    secret_configuration,
    spark_home,
    write_log_configuration,
)

_HEAP = "-Xmx512m"


def master(settings: Settings, java: Java) -> Command:
    """The master, at ``spark://host:master_port``."""
    home = folder(settings) / "master"
    values = {
        **secret_configuration(settings),
        **figures(settings),
        "spark.master.rest.enabled": "false",  # it would take jobs from anyone
        "spark.ui.killEnabled": "false",
        "spark.deploy.recoveryMode": "FILESYSTEM",
        "spark.deploy.recoveryDirectory": str(home / "recovery"),
        "spark.worker.timeout": "15",
    }
    port = settings.spark.master_port + settings.port_offset
    return _daemon(settings, java, home, values, "master.Master", "--port", str(port))


def worker(settings: Settings, java: Java) -> Command:
    """A worker of the master that ``spark.master`` names. Its executors' scratch space is cleared when they end."""
    home = folder(settings) / "worker"
    values = {
        **secret_configuration(settings),
        **figures(settings),
        "spark.worker.cleanup.enabled": "true",
        "spark.ui.killEnabled": "false",
    }
    offered = ("--cores", str(settings.spark.worker_cores), "--memory", settings.spark.worker_memory)
    arguments = (*offered, "--work-dir", str(home / "work"), settings.spark.master)
    return _daemon(settings, java, home, values, "worker.Worker", *arguments)


def _daemon(settings: Settings, java: Java, home: Path, values: dict[str, str], name: str, *arguments: str) -> Command:
    write_log_configuration(home)
    argv = (
        str(java.executable),
        _HEAP,
        *jvm_options(home),
        "-cp",
        joined([spark_home() / "jars" / "*"]),
        f"org.apache.spark.deploy.{name}",
        "--host",
        settings.host,
        "--webui-port",
        str(settings.spark.ui_port or 0),
        "--properties-file",
        str(properties_file(home, values)),
        *arguments,
    )
    return Command(argv, cwd=home, env=environment(settings))
