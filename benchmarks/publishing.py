"""From a commit of gold's signals until a consumer of the topic has them, with the real publisher and broker.

A lake's own publisher process follows the tables while commits of some rows come at random times. A consumer outside
notes when each row arrives. Prints JSON. Uses only loopback, and ends by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
from confluent_kafka import Consumer

from financelake_assets.bronze.broker import client_config
from financelake_assets.bronze.reading import header
from financelake_assets.bronze.topics import ensure_topics
from financelake_assets.config import Settings
from financelake_assets.gold.schema import SIGNALS
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets.supervision.launch import COMMANDS
from financelake_assets_tests.query.rows import signal
from financelake_assets_tests.shared_servers import broker, laptop, running

TOPIC = "gold.signals"
ROWS = 50
WARM = 3
"""Commits before those that are measured, while the publisher starts."""


def main() -> None:
    """Measure once and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="financelake-publishing-") as folder:
        settings = laptop(Path(folder))
        with broker(settings):
            ensure_topics(settings)
            settings.run_dir.mkdir(parents=True, exist_ok=True)
            log = settings.data_dir / "logs" / "publisher.log"
            publisher = COMMANDS["publisher"](settings)
            ports = settings.kafka.model_dump(include={"port", "controller_port", "login_port"})
            where = {f"FINANCELAKE_KAFKA__{name.upper()}": str(port) for name, port in ports.items()}
            publisher = replace(publisher, env={**publisher.env, **where})
            with running(publisher, settings, log, lambda: None):
                print(json.dumps(measure(settings, arguments.commits), indent=2))


def measure(settings: Settings, commits: int) -> dict[str, Any]:
    """Commit at random times, and compare each commit's time with the arrival of its last row."""
    tables, chance = OpenTables(settings), random.Random(1)  # noqa: S311
    versions = []
    with consumed(settings) as arrived:
        for number in range(WARM + commits):
            rows = [signal(number, symbol=f"S{one:02}") for one in range(ROWS)]
            tables.insert(SIGNALS, pl.concat(rows))
            table = SIGNALS.open(settings)
            versions.append(0 if table is None else table.version())
            # the first commits wait for the publisher's start
            await_rows(arrived, versions[-1], ROWS if number < WARM else 0)
            time.sleep(0.2 + 0.6 * chance.random())
        await_rows(arrived, versions[-1], ROWS)
        time.sleep(1)  # what would come twice
    log = Path(SIGNALS.path(settings), "_delta_log")
    measured = versions[WARM:]
    behind = [1000 * (max(arrived[one]) - (log / f"{one:020}.json").stat().st_mtime) for one in measured]
    return {
        "cores": os.cpu_count(),
        "load average": round(os.getloadavg()[0], 1),
        "commits": commits,
        "rows": sum(len(arrived[one]) for one in measured),
        "lost or doubled": sum(abs(len(arrived[one]) - ROWS) for one in versions),
        "behind the commit (ms)": {
            "p50": round(statistics.median(behind)),
            "p95": round(statistics.quantiles(behind, n=20)[-1]),
            "max": round(max(behind)),
        },
    }


@contextmanager
def consumed(settings: Settings) -> Iterator[dict[int, list[float]]]:
    """By the table's version, when each of its rows came to a consumer of committed messages."""
    arrived: dict[int, list[float]] = {}
    stopped = threading.Event()

    def consume() -> None:
        reading = {"group.id": "outside", "isolation.level": "read_committed", "auto.offset.reset": "earliest"}
        consumer = Consumer({**client_config(settings), **reading, "enable.auto.commit": False})
        consumer.subscribe([TOPIC])
        while not stopped.is_set():
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                arrived.setdefault(int(header(message, "version") or -1), []).append(time.time())
        consumer.close()

    thread = threading.Thread(target=consume)
    thread.start()
    try:
        yield arrived
    finally:
        stopped.set()
        thread.join()


def await_rows(arrived: dict[int, list[float]], version: int, count: int, seconds: float = 60) -> None:
    """Until so many rows of a version have come.

    Raises:
        TimeoutError: they have not.
    """
    deadline = time.monotonic() + seconds
    while len(arrived.get(version, ())) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(arrived.get(version, ()))} of {count} rows of version {version} came")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
