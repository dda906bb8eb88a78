"""Rows per second from a provider to the broker's acknowledgement, and bytes on disk per message, beside other tools.

Three ways to publish the same messages to the same topic of the same broker, in turns:

- *financelake*: typed rows → universe, JSON, headers, position → acknowledged (``bronze.load.Load``), the complete
path; - *bare loop*: confluent-kafka's ``produce`` in a loop over ready-made keys, values and headers, same client
settings; - *perf test*: Kafka's own ``kafka-producer-perf-test`` (Java) with the same values, without keys and headers.

Prints JSON, with the median of the rounds. Starts its own broker in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from confluent_kafka import Producer

from financelake_assets.bronze.broker import client_config
from financelake_assets.bronze.contents import bytes_on_disk
from financelake_assets.bronze.load import Load
from financelake_assets.bronze.message import Message, encode, headers
from financelake_assets.bronze.topics import COMPRESSION, delete_topics, ensure_topics
from financelake_assets.config import Settings
from financelake_assets.providers.base import Chunk
from financelake_assets.providers.request import IngestRequest
from financelake_assets.providers.synthetic import SyntheticProvider
from financelake_assets.servers import jars
from financelake_assets.servers.command import joined
from financelake_assets.servers.java import find_java
from financelake_assets_tests.shared_servers import broker, laptop

TOPIC = "bronze.crypto"
PERF_JAR = jars.Jar(
    *("org.apache.kafka", "kafka-tools", "4.4.0", ""),
    sha256="4eb9a7fbfd63badfd8d1a677aa2d54b47b2b2d442ff7d68fd223972afea1954c",
)
"""Kafka's own tools, which no lake needs."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="financelake-bronze-") as folder:
        settings = laptop(Path(folder))
        with broker(settings):
            print(json.dumps(measure(settings, arguments.rows, arguments.rounds), indent=2))


def measure(settings: Settings, rows: int, rounds: int) -> dict[str, object]:
    """All ways in turns, so that a slow minute of the machine affects each of them."""
    (part,) = SyntheticProvider(IngestRequest(provider="synthetic", rows=rows)).history()
    chunks = list(part.chunks)
    messages = [message for chunk in chunks for message in encode(chunk)]
    payload = settings.data_dir / "payload"
    payload.write_text("\n".join(value for _, _, value in messages))
    raw = sum(len(value) for _, _, value in messages) / rows
    rates: dict[str, list[float]] = {"financelake": [], "bare loop": [], "perf test": []}
    stored: dict[str, float] = {}
    for number in range(rounds):
        for name in rates:
            delete_topics(settings)
            ensure_topics(settings)
            if name == "financelake":
                seconds = publish(settings, f"round-{number}", chunks)
            elif name == "bare loop":
                seconds = bare_loop(settings, messages)
            else:
                seconds = perf_test(settings, rows, payload)
            rates[name].append(rows / seconds)
            stored[name] = (bytes_on_disk(settings, TOPIC) or 0) / rows
    median = {name: statistics.median(values) for name, values in rates.items()}
    return {
        "rows": rows,
        "rounds": rounds,
        "cores": os.cpu_count(),
        "raw JSON bytes a message": round(raw, 1),
        "messages a second": {name: round(value) for name, value in median.items()},
        "spread": {name: [round(min(values)), round(max(values))] for name, values in rates.items()},
        "bytes on disk a message": {name: round(value, 1) for name, value in stored.items()},
        "financelake / bare loop": round(median["financelake"] / median["bare loop"], 2),
        "bytes on disk / raw JSON": round(stored["financelake"] / raw, 2),
    }


def publish(settings: Settings, name: str, chunks: list[Chunk]) -> float:
    """FinanceLake's own path."""
    begun = time.perf_counter()
    with Load(settings, name, "synthetic") as load:
        for chunk in chunks:
            load.publish(chunk)
        load.record()
    return time.perf_counter() - begun


def bare_loop(settings: Settings, messages: list[Message]) -> float:
    """The minimum work of a Python producer, with the same delivery guarantees and the same headers."""
    common = headers("synthetic", "round-0")
    begun = time.perf_counter()
    producer = Producer(
        {
            **client_config(settings),
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": COMPRESSION,
            "linger.ms": 5,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 100_000,
        }
    )
    for position, (topic, key, value) in enumerate(messages):
        sent = [*common, ("sequence", str(position).encode())]
        while True:
            try:
                producer.produce(topic, value, key, headers=sent)
                break
            except BufferError:
                producer.poll(0.1)
        if not position % 1_000:
            producer.poll(0)
    producer.flush()
    return time.perf_counter() - begun


def perf_test(settings: Settings, rows: int, payload: Path) -> float:
    """Kafka's own tool; its report starts with its first message, without the start of its JVM."""
    properties = [
        f"bootstrap.servers={settings.kafka_bootstrap}",
        f"compression.type={COMPRESSION}",
        "acks=all",
        "linger.ms=5",
        "batch.size=1000000",
    ]
    class_path = [*jars.class_path("kafka", settings), jars.provide(PERF_JAR, settings)]
    done = subprocess.run(
        [
            *(str(find_java().executable), "-Xmx512m", "-cp", joined(class_path)),
            *("org.apache.kafka.tools.ProducerPerformance", "--topic", TOPIC, "--num-records", str(rows)),
            *("--throughput", "-1", "--payload-file", str(payload), "--command-property", *properties),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    (rate,) = re.findall(rf"^{rows} records sent, ([\d.]+) records/sec", done.stdout, re.MULTILINE)
    return rows / float(rate)


if __name__ == "__main__":
    main()
