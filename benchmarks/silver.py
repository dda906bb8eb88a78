"""Rows per second from filled topics to silver beside other readers, and the latency of a tick at a steady rate.

Throughput, each from the same filled topics, in turns. ``start`` are the seconds until the first micro-batch is
done, ``steady`` is the rate behind it:

- *silver*: the silver query as in a lake: parse, check, type, deduplicate, merge, ledger, three Delta tables;
- *spark noop*: Spark reads the topics and drops the messages: the upper limit of any Spark query here;
- *python append*: confluent-kafka, pyarrow's JSON reader and a delta-rs append: only parse and append.

Latency: from Kafka's timestamp of a message to the Delta commit of ``silver/bars`` that contains its bar, and the
duration of each phase of a micro-batch. Prints JSON. Starts its own broker and Spark server in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.json
from confluent_kafka import Consumer, Producer, TopicPartition
from deltalake import write_deltalake
from pyspark.sql import SparkSession

from financelake_assets.bronze.broker import client_config
from financelake_assets.bronze.topics import ensure_topics, watermarks
from financelake_assets.bronze.universe import Universe
from financelake_assets.config import ASSET_CLASSES, Settings
from financelake_assets.providers.base import Instrument
from financelake_assets.silver import query, reading
from financelake_assets.silver.checkpoint import consumed_offsets
from financelake_assets.silver.ledger import read_ledger
from financelake_assets.silver.schema import BARS
from financelake_assets.spark_sessions import job_session
from financelake_assets_tests.shared_servers import broker, laptop, spark_server

SYMBOLS = {f"{asset_class[:3].upper()}{n:02d}": asset_class for asset_class in ASSET_CLASSES for n in range(20)}
START = datetime(2024, 1, 1, tzinfo=UTC)
SCHEMA = pa.schema(
    {
        **{name: pa.string() for name in ("symbol", "interval", "event_time", "trade_id")},
        **{name: pa.float64() for name in ("open", "high", "low", "close", "volume")},
    }
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="messages on the topics; 0 leaves throughput out")
    parser.add_argument(
        "--corrections", type=float, default=0.01, help="share of bars that tell of the one before again"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, help="messages of a micro-batch at most (default: the lake's)")
    parser.add_argument("--rate", type=int, default=1_000, help="ticks a second for the latency")
    parser.add_argument("--seconds", type=int, default=60, help="how long latency is measured; 0 leaves it out")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="financelake-silver-") as folder:
        settings = in_batches(laptop(Path(folder) / "servers"), arguments.batch)
        with broker(settings), spark_server(settings):
            found: dict[str, Any] = {"cores": os.cpu_count()}
            if arguments.rows:
                found["throughput"] = throughput(
                    settings, Path(folder), arguments.rows, arguments.rounds, arguments.corrections
                )
            if arguments.seconds:
                found["latency"] = latency(settings, Path(folder), arguments.rate, arguments.seconds)
        print(json.dumps(found, indent=2))


def in_batches(settings: Settings, most: int | None) -> Settings:
    """Settings with another bound on a micro-batch."""
    if most is None:
        return settings
    return settings.model_copy(update={"spark": settings.spark.model_copy(update={"max_offsets_per_trigger": most})})


# -- throughput -----------------------------------------------------------------------------------------


def throughput(settings: Settings, folder: Path, rows: int, rounds: int, corrections: float) -> dict[str, Any]:
    """Every way in turns, so that a slow minute of the machine affects each of them."""
    ensure_topics(settings)
    produce(settings, bar_messages(rows, corrections))
    spark = job_session(settings)
    ways: dict[str, Callable[[Settings], Run]] = {
        "silver": lambda lake: silver(spark, lake, rows),
        "noop": lambda lake: noop(spark, lake),
        "python_append": python_append,
    }
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, way in ways.items():
            run = way(fresh_lake(settings, folder / f"{name}-{number}"))
            if run.rows != rows:
                sys.exit(f"{name} wrote {run.rows} of {rows} rows")
            runs[name].append(run)
    spark.stop()
    return {
        "rows": rows,
        "rounds": rounds,
        "corrections": corrections,
        "whole": {name: _spread([run.rows / run.seconds for run in of]) for name, of in runs.items()},
        "start_seconds": {name: _spread([run.start for run in of], 2) for name, of in runs.items()},
        "steady_spread": {name: _spread([run.steady for run in of])[1:] for name, of in runs.items()},
        "steady": _ratios({name: statistics.median(run.steady for run in of) for name, of in runs.items()}),
        "load_average": os.getloadavg()[0],
    }


def _spread(values: list[float], digits: int = 0) -> list[float]:
    """Median, slowest and fastest."""
    return [round(value, digits) for value in (statistics.median(values), min(values), max(values))]


def _ratios(steady: dict[str, float]) -> dict[str, float]:
    ours = steady["silver"]
    ratios = {f"silver_over_{name}": round(ours / rate, 3) for name, rate in steady.items() if name != "silver"}
    return {**{name: round(rate) for name, rate in steady.items()}, **ratios}


class Run(NamedTuple):
    """Rows, seconds for all of them, seconds of those until the first part was done, rows a second behind it."""

    rows: int
    seconds: float
    start: float
    steady: float


def fresh_lake(settings: Settings, folder: Path) -> Settings:
    """An empty lake on the same servers, with the symbols in its universe."""
    lake = settings.model_copy(update={"data_dir": folder})
    Universe(lake, "benchmark").add([Instrument(symbol, kind) for symbol, kind in SYMBOLS.items()])
    return lake


def silver(spark: SparkSession, lake: Settings, rows: int) -> Run:
    """The whole query, from its start to the commit of the last message; checked by its ledger."""
    begun, begun_at = time.perf_counter(), time.time()
    started = query.start(spark, lake)
    while sum(end for ends in consumed_offsets(lake).values() for end in ends.values()) < rows:
        if not started.isActive:
            sys.exit(f"the query ended: {started.exception()}")
        time.sleep(0.05)
    seconds = time.perf_counter() - begun
    started.stop()
    ledger = read_ledger(lake)
    if not ledger.balanced:
        sys.exit(f"the ledger does not balance: {ledger}")
    steady, start = steady_of(lake, begun_at)
    return Run(ledger.consumed, seconds, start, steady)


def steady_of(lake: Settings, begun: float) -> tuple[float, float]:
    """Rows per second after the first commit of silver/bars, and the seconds until then; from the table's log."""
    commits: list[tuple[float, int]] = []
    for file in sorted(Path(BARS.path(lake), "_delta_log").glob("*.json")):
        actions = [json.loads(line) for line in file.read_text().splitlines()]
        counted = [int(a["txn"]["version"]) for a in actions if a.get("txn", {}).get("appId") in _COUNTED]
        if counted:
            commits.append((file.stat().st_mtime, sum(counted)))
    (first, at_first), (last, at_last) = commits[0], commits[-1]
    if last <= first:
        sys.exit("one micro-batch holds all rows: there is no steady rate; give more --rows")
    return (at_last - at_first) / (last - first), first - begun


_COUNTED = ("accepted", "duplicates")


def noop(spark: SparkSession, lake: Settings) -> Run:
    """Read every message in Spark, and drop it there; before that as many as one micro-batch, for the start."""
    ends = {topic: {part: high for part, (_, high) in of.items()} for topic, of in watermarks(lake).items()}
    each = lake.spark.max_offsets_per_trigger // sum(len(of) for of in ends.values())
    part = {topic: {n: min(high, each) for n, high in of.items()} for topic, of in ends.items()}
    first, whole = (_read_and_drop(spark, lake, of) for of in (part, ends))
    rows, few = (sum(high for of in some.values() for high in of.values()) for some in (ends, part))
    return Run(rows, whole, first, (rows - few) / (whole - first))


def _read_and_drop(spark: SparkSession, lake: Settings, ends: dict[str, dict[int, int]]) -> float:
    begun = time.perf_counter()
    messages = (
        spark.read.format("kafka").options(**reading.source_options(lake)).option("endingOffsets", json.dumps(ends))
    )
    messages.load().write.format("noop").mode("overwrite").save()
    return time.perf_counter() - begun


def python_append(lake: Settings) -> Run:
    """What a short Python program would do: no validation, no deduplication, no ledger."""
    begun = time.perf_counter()
    ends = {(topic, part): high for topic, of in watermarks(lake).items() for part, (_, high) in of.items()}
    consumer = Consumer({**client_config(lake), "group.id": "peer", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, part, 0) for topic, part in ends])
    left, options = sum(ends.values()), pa.json.ParseOptions(SCHEMA, unexpected_field_behavior="ignore")
    path, done, most = str(lake.data_dir / "peer"), [(begun, 0)], lake.spark.max_offsets_per_trigger
    while left:
        values: list[bytes] = []
        while left and len(values) < most:
            batch = consumer.consume(min(10_000, most - len(values)), timeout=1)
            values += [message.value() for message in batch]
            left -= len(batch)
        parsed = pa.json.read_json(pa.BufferReader(b"\n".join(values)), parse_options=options)
        write_deltalake(path, parsed, mode="append")
        done.append((time.perf_counter(), done[-1][1] + parsed.num_rows))
    consumer.close()
    (first, few), (last, rows) = done[1], done[-1]
    return Run(rows, last - begun, first - begun, (rows - few) / (last - first))


# -- latency --------------------------------------------------------------------------------------------


def latency(settings: Settings, folder: Path, rate: int, seconds: int) -> dict[str, Any]:
    """A steady rate of trades into a running query; the first ten seconds are not counted."""
    from financelake_assets.bronze.topics import delete_topics

    delete_topics(settings)
    ensure_topics(settings)
    lake = fresh_lake(settings, folder / "latency")
    spark = job_session(lake)
    started = query.start(spark, lake)
    sent = steady(lake, rate, seconds + 10)
    while sum(end for ends in consumed_offsets(lake).values() for end in ends.values()) < len(sent):
        time.sleep(0.05)
    reports = [json.loads(report.json) for report in started.recentProgress]
    started.stop()
    spark.stop()
    waited = waits(lake, sent)
    return {"rate": rate, "ticks": waited.len(), **quantiles(waited), "batches": phases(reports)}


def steady(lake: Settings, rate: int, seconds: int) -> pl.DataFrame:
    """Publish ticks at a rate; returns the place of each and when it was produced."""
    places: list[tuple[str, int, int, float]] = []
    producer = Producer({**client_config(lake), "linger.ms": 1})
    names = list(SYMBOLS)
    begun = time.time()
    for n in range(rate * seconds):
        symbol = names[n % len(names)]
        now = time.time()
        value = {
            "symbol": symbol,
            "interval": "tick",
            "event_time": datetime.fromtimestamp(now, UTC).isoformat(),
            "close": round(100 + n % 97 / 10, 2),
            "volume": 0.5,
            "trade_id": str(n),
        }
        producer.produce(
            f"bronze.{SYMBOLS[symbol]}",
            json.dumps(value),
            symbol,
            on_delivery=lambda _, message, now=now: places.append(
                (message.topic(), message.partition(), message.offset(), now)
            ),
        )
        producer.poll(0)
        ahead = begun + (n + 1) / rate - time.time()
        if ahead > 0.002:
            time.sleep(ahead)
    producer.flush()
    return pl.DataFrame(places, schema=["topic", "partition", "offset", "at"], orient="row")


def waits(lake: Settings, sent: pl.DataFrame) -> pl.Series:
    """Seconds from each message to the commit of silver/bars that counts it, without the first ten seconds."""
    commits = []
    for file in sorted(Path(BARS.path(lake), "_delta_log").glob("*.json")):
        for action in map(json.loads, file.read_text().splitlines()):
            name, _, _ = action.get("txn", {}).get("appId", "").partition("@")
            if "/" in name:
                topic, _, part = name.rpartition("/")
                commits.append((topic, int(part), int(action["txn"]["version"]) - 1, file.stat().st_mtime))
    ends = pl.DataFrame(commits, schema=["topic", "partition", "offset", "committed"], orient="row").sort("offset")
    by = ["topic", "partition"]
    found = sent.sort("offset").join_asof(ends, on="offset", by=by, strategy="forward", check_sortedness=False)
    steady_part = found.filter(pl.col("at") >= pl.col("at").min() + 10)
    return steady_part.select(pl.col("committed") - pl.col("at")).to_series()


def quantiles(waited: pl.Series) -> dict[str, float]:
    """The latency's quantiles in seconds."""
    return {f"p{q}": round(float(waited.quantile(q / 100) or 0), 2) for q in (50, 90, 99)} | {
        "max": round(float(waited.max() or 0), 2)  # type: ignore[arg-type]
    }


def phases(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Median milliseconds of each phase of a micro-batch that had input."""
    for report in reports:
        report["rows"] = sum(source["numInputRows"] for source in report["sources"])
    busy = [report for report in reports if report["rows"]]
    names = {name for report in busy for name in report["durationMs"]}
    medians = {name: statistics.median(r["durationMs"].get(name, 0) for r in busy) for name in sorted(names)}
    return {"count": len(busy), "median rows": statistics.median(r["rows"] for r in busy), "median ms": medians}


# -- messages -------------------------------------------------------------------------------------------


def bar_messages(rows: int, repeated: float = 0.01) -> Iterator[tuple[str, str, str]]:
    """Topic, key and JSON of 1-minute bars of all symbols: some repeat or correct an earlier one, 0.1 % are damaged."""
    random = np.random.default_rng(7)
    names = list(SYMBOLS)
    for first in range(0, rows, 60_000):
        n = np.arange(first, min(rows, first + 60_000))
        minute = n // len(names) - (random.random(len(n)) < repeated)
        close = np.round(100 + 10 * np.sin(minute / 500) + minute % 7, 2)
        symbols = [names[i % len(names)] for i in n]
        frame = pl.DataFrame(
            {
                "symbol": symbols,
                "interval": "1m",
                "event_time": [(START + timedelta(minutes=int(m))).isoformat() for m in minute],
                "open": close,
                "high": close + 0.5,
                "low": close - 0.5,
                "close": close,
                "volume": np.round(100 + minute % 50, 1),
            }
        )
        encoded = frame.select(pl.struct(pl.all()).struct.json_encode()).to_series().to_list()
        for position in np.flatnonzero(random.random(len(n)) < 0.001):
            encoded[position] = encoded[position].replace('"close":', '"close":-')
        yield from zip((f"bronze.{SYMBOLS[symbol]}" for symbol in symbols), symbols, encoded, strict=True)


def produce(settings: Settings, messages: Iterator[tuple[str, str, str]]) -> None:
    """Fill the topics."""
    producer = Producer({**client_config(settings), "linger.ms": 5, "compression.type": "zstd", "batch.size": 500_000})
    for n, (topic, key, value) in enumerate(messages):
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.1)
        if not n % 1_000:
            producer.poll(0)
    producer.flush()


if __name__ == "__main__":
    main()
