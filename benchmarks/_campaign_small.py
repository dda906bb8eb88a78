"""A small lake for the campaign of faults: brokers, Spark server and the silver query, without Dagster and the page.

The servers' commands, and what keeps the query running, are the product's own (``streams/keeping.py``). A thread stands
for the supervisor and for the sensor: it starts a server that has ended, and asks every second for the query.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from _campaign_lake import CampaignLake, Status, StuckError, free_ports

from financelake_assets.bronze.offsets import lag
from financelake_assets.bronze.topics import ensure_topics, watermarks
from financelake_assets.config import Settings
from financelake_assets.servers import jars, kafka, spark
from financelake_assets.servers.command import Command, lake_environment
from financelake_assets.servers.java import find_java
from financelake_assets.silver.checkpoint import QUERY, consumed_offsets
from financelake_assets.silver.ledger import read_ledger
from financelake_assets.storage.checkpoints import CheckpointError
from financelake_assets.streams.client import Streams
from financelake_assets.streams.failures import last_failure
from financelake_assets.streams.keeping import keep_running
from financelake_assets.supervision import probes

START_SECONDS = 300
_CLUSTER_ID = "RmF1bHRzQnJva2Vyc0tSYQ"


class SmallLake(CampaignLake):
    """The part of a lake that counts messages."""

    def __init__(self, folder: Path, brokers: int = 1) -> None:
        """``brokers``: of one cluster; each topic's partitions are on all of them, up to three."""
        self._ports = [tuple(free_ports(2)) for _ in range(brokers)]
        several = {
            "KAFKA__BOOTSTRAP": ",".join(f"127.0.0.1:{port}" for port, _ in self._ports),
            "KAFKA__REPLICATION": min(3, brokers),
        }
        super().__init__(folder, several if brokers > 1 else None)
        self.brokers = tuple(f"broker-{number}" for number in range(1, brokers + 1)) if brokers > 1 else ("broker",)
        self._servers = (*self.brokers, "spark")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._wanted, self._over = threading.Event(), threading.Event()
        self._guard = threading.Lock()
        self._streams = Streams(self.settings)
        self._said = "not yet"
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def up(self) -> None:
        """Start the servers, and wait until both answer."""
        java = find_java()
        for name in self.brokers:
            kafka.prepare(self._of_broker(name), java, jars.class_path("kafka", self.settings))
        spark.prepare(self.settings)
        self._wanted.set()
        deadline = time.monotonic() + START_SECONDS
        while self._problem() is not None:
            if time.monotonic() > deadline:
                raise StuckError(f"the servers did not start: {self._problem()}")
            time.sleep(0.2)
        ensure_topics(self.settings)

    def down(self) -> None:
        """Stop them."""
        self._wanted.clear()
        with self._guard:
            for name in reversed(self._servers):
                self._end(name)

    def close(self) -> None:
        """Stop everything for good."""
        self._over.set()
        self._eyes.shutdown(wait=False, cancel_futures=True)
        self.down()

    def pid(self, name: str) -> int | None:
        """Of a server; other processes there are not."""
        process = self._processes.get(name)
        return process.pid if process is not None and process.poll() is None else None

    def status(self) -> Status:
        """As ``financelake status`` has it, of what there is here."""
        failure = last_failure(self.settings, QUERY)
        found: Status = {"streams": {"silver": {"error": failure.error, "keeper": self._said}}}
        try:
            found["topics"] = self._topics()
            found["ledger"] = read_ledger(self.settings, patience_seconds=5).as_dict()
        except CheckpointError as error:
            return {**found, "healthy": False, "ledger": {"error": str(error)}}
        except Exception as error:  # a server that is away
            return {**found, "healthy": False, "ledger": {"error": f"{type(error).__name__}: {error}"}}
        # a thread that asks a stopped server is not well either
        return {**found, "healthy": self._problem() is None and "runs" in self._said}

    def _topics(self) -> dict[str, Any]:
        marks = watermarks(self.settings)
        behind = lag(consumed_offsets(self.settings), marks)
        return {topic: {part: {"lag": left} for part, left in of.items()} for topic, of in behind.items()}

    def _problem(self) -> str | None:
        host, settings = self.settings.host, self.settings
        silent = [problem for name in self.brokers if (problem := probes.kafka(host, self._of_broker(name).kafka.port))]
        return next(iter(silent), None) or probes.grpc(host, settings.spark_port)

    def _of_broker(self, name: str) -> Settings:
        """The settings of one broker's process: where there are several, each has a folder and ports of its own."""
        if name == "broker":
            return self.settings
        number = self.brokers.index(name)
        port, controller = self._ports[number]
        own = {
            "port": port,
            "controller_port": controller,
            "bootstrap": None,
            "node_id": number + 1,
            "voters": ",".join(f"{one}@127.0.0.1:{at}" for one, (_, at) in enumerate(self._ports, start=1)),
            "cluster_id": _CLUSTER_ID,
        }
        return self.settings.model_copy(
            update={
                "data_dir": self.settings.data_dir / name,
                "kafka": self.settings.kafka.model_copy(update=own),
            }
        )

    def _keep(self) -> None:
        asked = 0.0
        while not self._over.is_set():
            time.sleep(0.2)
            if not self._wanted.is_set():
                continue
            with self._guard:
                for name in self._servers:
                    if self._wanted.is_set() and self.pid(name) is None:
                        self._end(name)
                        self._start(name)
            if time.monotonic() - asked > 1 and self._problem() is None:
                try:
                    ensure_topics(self.settings)  # as the sensor does where they are missing
                    self._said = keep_running(self._streams, self.settings, QUERY)
                except Exception as error:  # the next look asks again
                    self._said = f"{type(error).__name__}: {error}"
                asked = time.monotonic()

    def _start(self, name: str) -> None:
        command = self._command(name)
        log = self.settings.data_dir / "logs" / f"{name}.log"
        with suppress(OSError):  # a full disk: the next look tries again
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as output:
                self._processes[name] = subprocess.Popen(
                    command.argv,
                    cwd=command.cwd,
                    env={**lake_environment(self.settings), **command.env},
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )

    def _command(self, name: str) -> Command:
        java = find_java()
        if name in self.brokers:
            return kafka.command(self._of_broker(name), java, jars.class_path("kafka", self.settings))
        return spark.command(self.settings, java, jars.spark_class_path(self.settings))

    def _end(self, name: str) -> None:
        """End a server and all that it started; Spark's Python workers outlive a kill."""
        process = self._processes.get(name)
        if process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(15)
        for one in psutil.process_iter(["pid"]):
            with suppress(psutil.Error, OSError):
                if os.getpgid(one.pid) == process.pid:
                    one.kill()
        process.wait(15)
