"""Latency from the production of a tick to a readable signal in gold, outside Spark, with the whole lake running.

A new lake (`financelake up`: broker, Spark, Dagster, dashboard; with other ports by --port-offset) gets generated
1-minute bars and trains its model on them. Then it gets single trades at --rate per second over --symbols symbols.
Event time runs --speed times as fast as the clock, so a minute of the market ends, and gives a signal, every 60/speed
seconds. A minute ends when the next minute of its symbol begins. Latency is measured from the production of that first
trade of the next minute to the moment at which delta-rs reads the signal. Every signal counts, the first and the
slowest too.

The floor is a bare Spark query from the same topic to a Delta table, without parsing, read by the same reader, in the
same lake while the two queries are stopped. Prints JSON; all numbers are milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_right
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from confluent_kafka import Producer
from deltalake import DeltaTable

from financelake_assets.bronze.access import spark_options
from financelake_assets.bronze.broker import client_config
from financelake_assets.config import Settings, get_settings
from financelake_assets.gold.schema import SIGNALS
from financelake_assets.model import registry
from financelake_assets.silver.schema import BARS
from financelake_assets.spark_sessions import job_session
from financelake_assets.streams.client import Streams
from financelake_assets.streams.progress import PHASES, row

TOPIC = "bronze.crypto"
HISTORY_MINUTES = 300
START = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

Key = tuple[str, datetime]
Moments = dict[Key, float]
"""By symbol and minute, seconds since the epoch."""


def main() -> None:
    """Measure once and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=1_000, help="trades a second")
    parser.add_argument("--symbols", type=int, default=50)
    parser.add_argument("--speed", type=float, default=20.0, help="event time against the clock")
    parser.add_argument("--warm-up", type=float, default=25.0, help="seconds under load that are not measured")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--port-offset", type=int, default=8_200)
    parser.add_argument("--limit", type=float, default=300.0, help="seconds until the model must be there")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="financelake-latency-"))
    os.environ |= {
        "FINANCELAKE_DATA_DIR": str(folder / "lake"),
        "FINANCELAKE_PORT_OFFSET": str(arguments.port_offset),
        "FINANCELAKE_FEED__PROVIDER": "none",
        "FINANCELAKE_MODEL__INTERVAL": "1m",
        "FINANCELAKE_MODEL__FOLDS": "2",
        "FINANCELAKE_MODEL__MIN_ROWS": str(arguments.symbols * (HISTORY_MINUTES - 70)),
        "FINANCELAKE_MODEL__RETRAIN_ROWS": "100000000",
    }
    command = [sys.executable, "-m", "financelake_assets.cli"]
    settings = get_settings()
    try:
        subprocess.run([*command, "up", "--detach"], check=True, stdout=sys.stderr)
        settings = settings.with_own_secrets()
        symbols = [f"S{number:03}-USD" for number in range(arguments.symbols)]
        load_history(command, folder, symbols)
        wait_for(lambda: registry.champions(settings), arguments.limit, "a model")
        print(json.dumps(measure(settings, symbols, arguments), indent=2))
    finally:
        subprocess.run([*command, "down"], check=False, stdout=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)


def measure(settings: Settings, symbols: list[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """The latency of signals with its stages, and the floor."""
    market = Market(settings, symbols, arguments.rate, arguments.speed)
    reader = Reader(SIGNALS.path(settings))
    streams = Streams(settings)
    market.start()
    wait_for(lambda: "gold" in streams.active(), 120, "the gold query")
    reader.start()
    time.sleep(arguments.warm_up)
    begun = time.time()
    time.sleep(arguments.seconds)
    market.stop()
    ended = time.time()
    time.sleep(8)  # the last messages must arrive too
    reader.stop()
    progress = {name: progress_of(query) for name, query in streams.active().items()}
    wanted = {key: at for key, at in market.finished.items() if begun <= at < ended}
    stages = stages_of(settings, wanted, reader, progress)
    missing = [key for key in wanted if key not in reader.seen]
    for name in ("silver", "gold"):
        streams.hold(name)
    return {
        "cores": os.cpu_count(),
        "trades_per_second": round(market.produced / (ended - market.begun)),
        "symbols": len(symbols),
        "signals": len(stages),
        "signals_missing": len(missing),
        "tick_to_signal": spread(stages["total"]),
        "stages": {name: spread(stages[name]) for name in stages.columns if name != "total"},
        "batches": {name: phases(found) for name, found in progress.items()},
        "floor": floor(settings, symbols, arguments),
    }


# -- the market ------------------------------------------------------------------------------------------


class Market(threading.Thread):
    """Produces trades at a steady rate, and records when each minute of a symbol ended."""

    def __init__(self, settings: Settings, symbols: list[str], rate: int, speed: float) -> None:
        super().__init__(daemon=True)
        self._producer = Producer({**client_config(settings), "enable.idempotence": True, "linger.ms": 2})
        self._symbols, self._rate, self._speed = symbols, rate, speed
        self._stopped = threading.Event()
        self.finished: Moments = {}
        self.produced = 0
        self.begun = time.time()

    def run(self) -> None:
        """Produce until stopped."""
        chance = random.Random(11)  # noqa: S311  # made-up prices
        prices = dict.fromkeys(self._symbols, 100.0)
        minute_of: dict[str, datetime] = {}
        self.begun = time.time()
        first = START + timedelta(minutes=HISTORY_MINUTES)
        while not self._stopped.is_set():
            due = int((time.time() - self.begun) * self._rate)
            for number in range(self.produced, due):
                symbol = self._symbols[number % len(self._symbols)]
                # symbols change their minute one after the other, as in a real market
                shift = 60.0 * (number % len(self._symbols)) / len(self._symbols)
                event = first + timedelta(seconds=number / self._rate * self._speed + shift)
                prices[symbol] *= 1 + chance.gauss(0, 0.0003)
                trade = {"symbol": symbol, "asset_class": "crypto", "interval": "tick", "volume": 1.5}
                text = {"event_time": event.isoformat(), "close": round(prices[symbol], 6), "trade_id": str(number)}
                now = time.time()
                self._producer.produce(TOPIC, json.dumps(trade | text), symbol, timestamp=int(now * 1000))
                minute = event.replace(second=0, microsecond=0)
                before = minute_of.get(symbol)
                if before is not None and minute > before:
                    self.finished[symbol, before] = now
                minute_of[symbol] = minute
            self.produced = max(self.produced, due)
            self._producer.poll(0)
            time.sleep(0.005)
        self._producer.flush(30)

    def stop(self) -> None:
        """End and wait for the last acknowledgement."""
        self._stopped.set()
        self.join()


class Reader(threading.Thread):
    """Reads a table's new rows with delta-rs as they arrive, and records when each became readable."""

    def __init__(self, path: str, key: tuple[str, ...] = ("symbol", "event_time")) -> None:
        super().__init__(daemon=True)
        self._path, self._key = path, key
        self._stopped = threading.Event()
        self.seen: dict[Any, float] = {}
        self.version_of: dict[Any, int] = {}

    def run(self) -> None:
        """Look for new commits until stopped."""
        files: frozenset[str] = frozenset()
        table: DeltaTable | None = None
        while not self._stopped.is_set():
            try:
                table = table or DeltaTable(self._path)
            except Exception:  # not there yet
                time.sleep(0.05)
                continue
            table.update_incremental()
            now = frozenset(table.file_uris())
            if now - files:
                rows = pl.scan_parquet(sorted(now - files)).select(self._key).collect()
                read = time.time()
                for key in rows.iter_rows():
                    self.seen.setdefault(key, read)
                    self.version_of.setdefault(key, table.version())
                files = now
            time.sleep(0.02)

    def stop(self) -> None:
        """End after the current look."""
        self._stopped.set()
        self.join()


# -- the stages ------------------------------------------------------------------------------------------


def progress_of(query: Any) -> list[dict[str, float]]:
    """Start and duration of the last batches of a query, oldest first."""
    found = [row(json.loads(progress.json)) for progress in query.recentProgress]
    times = ("trigger_ms", *PHASES)
    return [{"began": planned(one), **{name: one[name] for name in times}} for one in found if one]


def planned(batch: dict[str, Any]) -> float:
    """When a batch's offsets were known; until then gold waits for a commit of silver."""
    return float(batch["at"].timestamp() + batch["latest_offset_ms"] / 1000)


def phases(batches: list[dict[str, float]]) -> dict[str, Any]:
    """Median durations of the phases of a query's batches, and of whole batches."""
    found = pl.DataFrame(batches)
    medians = {name: found[name].median() for name in PHASES}
    return {"batches": found.height, **medians, "trigger_ms": spread(found["trigger_ms"] / 1000)}


def stages_of(
    settings: Settings, finished: Moments, reader: Reader, progress: dict[str, list[dict[str, float]]]
) -> pl.DataFrame:
    """Seconds in each stage, one row for each signal; each stage begins where the previous one ended."""
    in_silver = silver_commits(settings)
    given = pl.scan_delta(SIGNALS.path(settings)).select("symbol", "event_time", "as_of").collect()
    decided = {(symbol, minute): as_of.timestamp() for symbol, minute, as_of in given.iter_rows()}
    committed = {int(one["version"]): one["timestamp"] / 1000 for one in DeltaTable(SIGNALS.path(settings)).history()}
    began = {name: [batch["began"] for batch in batches] for name, batches in progress.items()}
    rows = []
    for (symbol, minute), produced in finished.items():
        key = (symbol, minute)
        silver, as_of = in_silver.get((symbol, minute + MINUTE)), decided.get(key)
        if key not in reader.seen or silver is None or as_of is None:
            continue
        marks = [
            produced,
            last_before(began["silver"], silver),
            silver,
            last_before(began["gold"], as_of),
            as_of,
            committed.get(reader.version_of[key], reader.seen[key]),
            reader.seen[key],
        ]
        rows.append({**dict(zip(STAGES, np.diff(marks), strict=True)), "total": reader.seen[key] - produced})
    return pl.DataFrame(rows, schema=dict.fromkeys((*STAGES, "total"), pl.Float64))


STAGES = (
    "kafka: until the silver batch begins",
    "silver: batch until its commit",
    "silver to gold: until the gold batch begins",
    "gold: feed read, until scoring",
    "gold: scoring and commits",
    "read",
)


def silver_commits(settings: Settings) -> Moments:
    """When each bar was first committed to silver."""
    table = DeltaTable(BARS.path(settings))
    changes = pl.DataFrame(table.load_cdf(starting_version=1).read_all())
    first = changes.group_by("symbol", "event_time").agg(pl.col("_commit_timestamp").min())
    return {(symbol, at): stamp.replace(tzinfo=UTC).timestamp() for symbol, at, stamp in first.iter_rows()}


def last_before(times: list[float], moment: float) -> float:
    """The last of some ordered times at or before a moment; the moment itself if there is none."""
    place = bisect_right(times, moment)
    return times[place - 1] if place else moment


def spread(seconds: pl.Series) -> dict[str, float]:
    """Median, tail and maximum in milliseconds."""
    if seconds.is_empty():
        return {}
    values = 1000 * seconds.to_numpy()
    quantiles = {name: np.quantile(values, share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
    return {name: round(float(value)) for name, value in {**quantiles, "worst": values.max()}.items()}


# -- the floor -------------------------------------------------------------------------------------------


def floor(settings: Settings, symbols: list[str], arguments: argparse.Namespace) -> dict[str, float]:
    """Latency of a trade through a bare query from Kafka to Delta."""
    spark = job_session(settings)
    target = str(settings.data_dir / "floor")
    query = (
        spark.readStream.format("kafka")
        .options(**{"kafka.bootstrap.servers": settings.kafka_bootstrap, **spark_options(settings)})
        .option("subscribe", TOPIC)
        .load()
        .selectExpr("CAST(timestamp AS DOUBLE) AS produced", "CAST(value AS STRING) AS value", "partition", "offset")
        .writeStream.format("delta")
        .option("checkpointLocation", f"{target}-checkpoint")
        .start(target)
    )
    market = Market(settings, symbols, arguments.rate, arguments.speed)
    reader = Reader(target, ("produced", "partition", "offset"))
    reader.start()
    market.start()
    time.sleep(30)
    market.stop()
    time.sleep(4)
    reader.stop()
    query.stop()
    spark.stop()
    warm = market.begun + 10
    return spread(pl.Series([seen - key[0] for key, seen in reader.seen.items() if key[0] >= warm]))


# -- the lake --------------------------------------------------------------------------------------------


def load_history(command: list[str], folder: Path, symbols: list[str]) -> None:
    """Publish generated 1-minute bars of every symbol as training data."""
    chance = np.random.default_rng(3)
    path = folder / "history.parquet"
    pl.concat(bars(symbol, chance) for symbol in symbols).write_parquet(path)
    ingest = ["ingest", "--provider", "csv", "--path", str(path), "--asset-class", "crypto", "--interval", "1m"]
    subprocess.run([*command, *ingest], check=True, stdout=sys.stderr)


def bars(symbol: str, chance: np.random.Generator) -> pl.DataFrame:
    """Bars of a random walk."""
    close = 100 * np.exp(np.cumsum(chance.normal(0, 0.001, HISTORY_MINUTES)))
    opened = np.concatenate([[100.0], close[:-1]])
    return pl.DataFrame(
        {
            "symbol": symbol,
            "event_time": [START + MINUTE * number for number in range(HISTORY_MINUTES)],
            "open": opened,
            "high": np.maximum(opened, close) * 1.0002,
            "low": np.minimum(opened, close) * 0.9998,
            "close": close,
            "volume": chance.integers(20, 40, HISTORY_MINUTES).astype(float),
        }
    )


def wait_for(found: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until a function returns something true.

    Raises:
        SystemExit: it did not within the time limit.
    """
    deadline = time.monotonic() + seconds
    while not found():
        if time.monotonic() > deadline:
            sys.exit(f"{what} did not come within {seconds:.0f} s")
        time.sleep(0.5)


if __name__ == "__main__":
    main()
