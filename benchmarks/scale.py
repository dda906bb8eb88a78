"""One Spark worker and two, on this machine: rows per second read, and cleaned, from the same filled topics.

Measured: a standalone master with one worker of one core, then with two workers. All other processes (broker, Connect
server, this program) share the machine, so on two cores the second worker has no core of its own. Beside it: the same
work in one process (``local[1]`` and ``local[2]``), which shows the cost of the cluster itself. Computed, and marked
so: how many cores a rate would need if each core had the first worker's rate. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
from pyspark.sql import SparkSession
from silver import SYMBOLS, bar_messages, produce

from financelake_assets.bronze.topics import ensure_topics
from financelake_assets.config import Settings
from financelake_assets.servers import spark_cluster
from financelake_assets.servers.java import find_java
from financelake_assets.silver import reading
from financelake_assets.spark_sessions import job_session
from financelake_assets.supervision import probes
from financelake_assets_tests.shared_servers import broker, free_ports, laptop, running, spark_server

WANTED = 1_000_000
"""Messages a second that the computed part is about."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="messages on the topics")
    parser.add_argument("--rounds", type=int, default=3, help="after one that is not counted")
    arguments = parser.parse_args()
    machine = {"cores": os.cpu_count(), "load before": os.getloadavg()[0], "rows": arguments.rows}
    with tempfile.TemporaryDirectory(prefix="financelake-scale-") as folder:
        lake = laptop(Path(folder) / "servers")
        with broker(lake):
            ensure_topics(lake)
            produce(lake, bar_messages(arguments.rows))
            measured = {
                name: measure(lake, Path(folder) / name, workers, local, arguments)
                for name, workers, local in (
                    ("local 1 core", 0, 1),
                    ("local 2 cores", 0, 2),
                    ("cluster 1 worker", 1, 0),
                    ("cluster 2 workers", 2, 0),
                )
            }
    print(json.dumps({"machine": machine, "measured": measured, "computed": computed(measured)}, indent=2))


def measure(lake: Settings, folder: Path, workers: int, local: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Both kinds of work on one arrangement; medians of the rounds, and the processor time that Spark took."""
    (master_port,) = free_ports(1)
    master = f"local[{local}]" if local else f"spark://127.0.0.1:{master_port}"
    spark = {**lake.spark.model_dump(), "master": master, "master_port": master_port, "executor_memory": "1g"}
    mine = Settings.model_validate(
        {"data_dir": str(folder).replace(" ", "-"), "kafka": lake.kafka.model_dump(), "spark": spark}
    )
    with ExitStack() as stack:
        pids = stack.enter_context(_standalone(mine, workers)) if workers else []
        pids.append(stack.enter_context(spark_server(mine)))
        session = job_session(mine)
        found = {}
        for name, work in (("read", read), ("read, judged and typed", judge)):
            work(session, mine)  # compiles what the others run
            before, seconds = _processor_seconds(pids), []
            for _ in range(arguments.rounds):
                begun = time.perf_counter()
                work(session, mine)
                seconds.append(time.perf_counter() - begun)
            used = (_processor_seconds(pids) - before) / arguments.rounds
            found[name] = {
                "rows a second": round(arguments.rows / statistics.median(seconds)),
                "spread": [round(arguments.rows / worst) for worst in (max(seconds), min(seconds))],
                "processor seconds a million rows": round(used * 1e6 / arguments.rows, 2),
            }
        session.stop()
    return found


def read(spark: SparkSession, lake: Settings) -> None:
    """Every message, dropped in Spark."""
    messages = spark.read.format("kafka").options(**reading.source_options(lake)).load()
    messages.write.format("noop").mode("overwrite").save()


def judge(spark: SparkSession, lake: Settings) -> None:
    """Clean every message as the silver query does, and drop it in Spark."""
    messages = spark.read.format("kafka").options(**reading.source_options(lake)).load()
    reading.on_executors(messages, dict(SYMBOLS)).write.format("noop").mode("overwrite").save()


def computed(measured: dict[str, Any]) -> dict[str, Any]:
    """Extrapolation: every further core has the rate of the first worker's core. Not measured."""
    each = measured["cluster 1 worker"]["read, judged and typed"]
    both = measured["cluster 2 workers"]["read, judged and typed"]
    return {
        "speed-up of the second worker (measured)": round(both["rows a second"] / each["rows a second"], 2),
        "processor seconds a second at the wanted rate": each["processor seconds a million rows"] * WANTED / 1e6,
        "executor cores for 1,000,000 messages a second, at the rate of the first worker": math.ceil(
            WANTED / each["rows a second"]
        ),
    }


@contextmanager
def _standalone(lake: Settings, workers: int) -> Iterator[list[int]]:
    """A master and its workers, each in a folder of its own; their process ids."""
    java, pids = find_java(), []
    with ExitStack() as stack:
        for number, page in enumerate(free_ports(workers + 1)):
            name = "master" if number == 0 else f"worker-{number}"
            spark = lake.spark.model_copy(update={"ui_port": page, "worker_cores": 1})
            node = lake.model_copy(update={"data_dir": lake.data_dir / name, "spark": spark})
            make = spark_cluster.master if number == 0 else spark_cluster.worker
            url = f"http://127.0.0.1:{page}/json/"
            started = running(make(node, java), node, lake.data_dir / f"{name}.log", lambda url=url: probes.http(url))  # type: ignore[misc]
            pids.append(stack.enter_context(started))
        yield pids


def _processor_seconds(pids: list[int]) -> float:
    """Processor time of these processes and their children, executors among them, so far."""
    family = [one for pid in pids for one in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))]
    return sum(sum(one.cpu_times()[:2]) for one in family)


if __name__ == "__main__":
    main()
