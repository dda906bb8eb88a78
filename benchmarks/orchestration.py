"""Dagster's own costs: to load the definitions, to report a message, and to run on the warm Spark server.

- *definitions*: a new interpreter imports the code location and builds its repository;
- *arrival*: from a message on a topic to the materialisation of the topic's asset, which the sensor ``bronze_offsets``
  reports in a running lake. The stream needs no run for this; the sensor's interval is 5 s;
- *run overhead*: a new process connects to the lake's Spark Connect server and counts ten rows, beside a new process
  that starts its own Spark and does the same, in turns.

Prints JSON. The lake is new, without a feed, with its own ports (--port-offset).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from financelake_assets.bronze.broker import client_config
from financelake_assets.bronze.topics import ensure_topics
from financelake_assets.config import Settings, get_settings
from financelake_assets.servers.web_token import headers

TOPIC = "bronze.crypto"
DEFINITIONS = "from financelake_assets.definitions import defs; defs.get_repository_def()"
WARM = """
from financelake_assets.config import get_settings
from financelake_assets.spark_sessions import job_session
session = job_session(get_settings())
assert session.range(10).count() == 10
session.stop()
"""
OWN = """
from pyspark.sql import SparkSession
builder = SparkSession.builder.master("local[2]").config("spark.driver.memory", "1g")
for name, value in {"ui.enabled": "false", "driver.bindAddress": "127.0.0.1", "driver.host": "127.0.0.1"}.items():
    builder = builder.config(f"spark.{name}", value)
session = builder.getOrCreate()
assert session.range(10).count() == 10
session.stop()
"""
NEWEST = """
{assetOrError(assetKey: {path: ["bronze", "crypto"]}) {... on Asset {assetMaterializations(limit: 1) {timestamp}}}}
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--port-offset", type=int, default=7200)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="financelake-dagster-"))
    os.environ |= {
        "FINANCELAKE_DATA_DIR": str(folder / "lake"),
        "FINANCELAKE_PORT_OFFSET": str(arguments.port_offset),
        "FINANCELAKE_FEED__PROVIDER": "none",
    }
    settings = get_settings()
    command = [sys.executable, "-m", "financelake_assets.cli"]
    definitions = [script(DEFINITIONS) for _ in range(arguments.rounds)]
    try:
        subprocess.run([*command, "up", "--detach"], check=True, stdout=subprocess.DEVNULL)
        settings = settings.with_own_secrets()
        ensure_topics(settings)
        arrivals = [arrival(settings) for _ in range(arguments.rounds)]
        pairs = [(script(WARM), script(OWN)) for _ in range(arguments.rounds)]
    finally:
        subprocess.run([*command, "down"], check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(folder)
    warm, own = ([pair[at] for pair in pairs] for at in (0, 1))
    found = {
        "definitions": spread(definitions),
        "arrival to report": spread(arrivals),
        "warm": spread(warm),
        "own": spread(own),
    }
    ratio = round(statistics.median(own) / statistics.median(warm), 1)
    print(json.dumps({"cores": os.cpu_count(), "seconds": found, "own / warm": ratio}, indent=2))


def script(text: str) -> float:
    """Seconds that a new interpreter needs for a program."""
    begun = time.monotonic()
    subprocess.run([sys.executable, "-W", "ignore", "-c", text], check=True, stderr=subprocess.DEVNULL)
    return time.monotonic() - begun


def arrival(settings: Settings) -> float:
    """Seconds from a message's acknowledgement to the time of its topic's materialisation."""
    before = newest(settings)
    producer = Producer(client_config(settings))
    producer.produce(TOPIC, b"{}", b"BTC-USD")
    producer.flush()
    sent = datetime.now(UTC).timestamp()
    while newest(settings) == before:
        time.sleep(0.1)
    return newest(settings) - sent


def newest(settings: Settings) -> float:
    """When the topic's asset was materialised last, in seconds since the epoch; 0 before the first time."""
    asked = json.dumps({"query": NEWEST}).encode()
    request = urllib.request.Request(  # noqa: S310  # this machine's own
        f"{settings.dagster_url}/graphql", asked, {"content-type": "application/json", **headers(settings)}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)["data"]["assetOrError"]
    events = found.get("assetMaterializations") or []
    return float(events[0]["timestamp"]) / 1000 if events else 0.0


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": round(statistics.median(values), 2), "min": round(min(values), 2), "max": round(max(values), 2)}


if __name__ == "__main__":
    main()
