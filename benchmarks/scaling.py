"""Seconds of one fixed batch as silver grows: 100,000 bars merged and committed at each of several table sizes.

The batch contains new bars after the newest, and repetitions of recent ones, like a live stream. It measures only what
depends on silver's size: key look-up, merge, commit (``write_cleaned``). Parsing in Spark depends only on the batch.
Prints JSON: the median of the rounds at each size, and the ratio of the last to the first.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from deltalake import write_deltalake

from financelake_assets.config import Settings
from financelake_assets.silver.committing import write_cleaned
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.open_tables import OpenTables

START = datetime(2000, 1, 1, tzinfo=UTC)
SYMBOLS = 60
BATCH = 100_000
CHUNK = 1_000_000
IDS = {"bronze.crypto": "benchmark"}
MISSING = {"raw": pl.Binary, "key": pl.Binary, "reason": pl.String, "trade_id": pl.String}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000000,10000000,50000000", help="rows in silver, ascending")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.sizes.split(",")]
    with tempfile.TemporaryDirectory(prefix="financelake-scaling-") as folder:
        lake = Settings(data_dir=Path(folder))
        found, written, offset = [], 0, 0
        for size in sizes:
            while written < size:
                fill(lake, written, min(CHUNK, size - written))
                written = min(size, written + CHUNK)
            seconds, tables = [], OpenTables(lake)
            for _ in range(arguments.rounds):
                messages = batch(written, offset)
                begun = time.perf_counter()
                write_cleaned(tables, messages, IDS)
                seconds.append(time.perf_counter() - begun)
                written, offset = written + BATCH - BATCH // 10, offset + BATCH
            found.append({"rows": size, "seconds": round(statistics.median(seconds), 3), "all": seconds})
    ratio = found[-1]["seconds"] / found[0]["seconds"]
    print(json.dumps({"cores": os.cpu_count(), "batch": BATCH, "at": found, "last / first": round(ratio, 2)}, indent=2))


def bars(first: int, count: int) -> pl.DataFrame:
    """Bars from number ``first`` on: all symbols' bars of one minute, then those of the next minute."""
    number = np.arange(first, first + count)
    close = np.round(100 + number // SYMBOLS % 1000 * 0.01, 2)
    return pl.DataFrame({"number": number, "close": close}).select(
        symbol=pl.lit("SIM-") + (pl.col("number") % SYMBOLS).cast(pl.String),
        asset_class=pl.lit("crypto"),
        interval=pl.lit("1m"),
        event_time=pl.lit(START) + pl.duration(minutes=pl.col("number") // SYMBOLS),
        open="close",
        high=pl.col("close") + 0.5,
        low=pl.col("close") - 0.5,
        close="close",
        adj_close=pl.lit(None, pl.Float64),
        volume=pl.lit(10.0),
        dividend=pl.lit(None, pl.Float64),
        split=pl.lit(None, pl.Float64),
        imputed=pl.lit(None, pl.String),
        topic=pl.lit("bronze.crypto"),
        partition=pl.lit(0, pl.Int32),
        offset=pl.lit(0, pl.Int64),
        topic_id=pl.lit(IDS["bronze.crypto"]),
        provider=pl.lit("benchmark"),
        ingested_at=pl.lit(START),
    )


def fill(lake: Settings, first: int, count: int) -> None:
    """Append bars as history, without counting messages."""
    empty = [pl.lit(0, pl.Int64).alias(name) for name in ("messages", "trades", "late_trades")]
    told = bars(first, count).with_columns(*empty, parts=pl.lit(None, pl.Int64), processed_at=pl.lit(START))
    rows = told.select(BARS.schema.names)
    write_deltalake(BARS.ensure(lake), rows.to_arrow().cast(BARS.schema), mode="append")


def batch(known: int, offset: int) -> pl.DataFrame:
    """A micro-batch of cleaned messages: nine tenths are new bars, the rest repeats the last known ones."""
    rows = bars(known - BATCH // 10, BATCH)
    nothing = [pl.lit(None, kind).alias(name) for name, kind in MISSING.items()]
    return rows.with_columns(*nothing, offset=pl.int_range(offset, offset + BATCH, dtype=pl.Int64))


if __name__ == "__main__":
    main()
