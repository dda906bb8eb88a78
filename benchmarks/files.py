"""Speed and memory of reading a user's own file, beside polars reading it alone.

    uv run python benchmarks/files.py --rows 10000000

Writes a file of one-minute bars. Then measures, each in a separate process: polars reading the file, the check of the
file (``look``), and encoding its rows as messages (``publish``, without a broker). Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

STEPS = ("polars", "encode", "look", "publish")


def write(file: Path, rows: int) -> None:
    """A CSV of one-minute bars."""
    with file.open("w") as out:
        out.write("time,open,high,low,close,volume\n")
        for at in range(rows):
            price = 100 + at % 977 / 10
            out.write(f"{1_000_000_020 + 60 * at},{price},{price + 1},{price - 1},{price + 0.5},{at % 1000}\n")


def step(name: str, file: Path) -> dict[str, float]:
    """One step's rows per second, rows per second of processor time, and its peak memory in MB."""
    import polars as pl

    from financelake_assets.bronze.message import encode
    from financelake_assets.providers.base import Chunk, typed
    from financelake_assets.providers.files import FileProvider
    from financelake_assets.providers.request import IngestRequest

    begun, rows = time.perf_counter(), 0
    if name in ("polars", "encode"):
        for batch in pl.read_csv(file).iter_slices(100_000):
            rows += batch.height
            if name == "encode":
                times = pl.from_epoch("time", time_unit="s").dt.replace_time_zone("UTC").alias("event_time")
                fixed = [pl.lit(one).alias(key) for key, one in (("symbol", "X"), ("asset_class", "stock"))]
                chunk = typed(batch.with_columns(times, pl.lit("1m").alias("interval"), *fixed))
                rows += sum(0 for _ in encode(Chunk(chunk)))
    else:
        provider = FileProvider(IngestRequest(path=file, symbol="X"))
        if name == "look":
            rows = sum(one.survey.messages for one in provider.look() if one.survey)
        else:
            rows = sum(1 for part in provider.history() for chunk in part.chunks for _ in encode(chunk))
    seconds = time.perf_counter() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "rows": rows,
        "rows_per_second": round(rows / seconds),
        "rows_per_cpu_second": round(rows / time.process_time()),
        "peak_mb": round(memory),
    }


def main() -> None:
    """Write the file, run the steps, print their results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--step", nargs=2, metavar=("NAME", "FILE"))
    options = parser.parse_args()
    if options.step:
        print(json.dumps(step(options.step[0], Path(options.step[1]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "X.csv"
        write(file, options.rows)
        shown: dict[str, Any] = {}
        for name in STEPS:
            command = [sys.executable, __file__, "--step", name, str(file)]
            shown[name] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    for unit in ("second", "cpu_second"):
        rates = [shown[name][f"rows_per_{unit}"] for name in ("publish", "encode")]
        shown[f"publish_over_encode_by_{unit}"] = round(rates[0] / rates[1], 2)
    shown["load_average"] = [round(one, 1) for one in os.getloadavg()]
    print(json.dumps(shown, indent=2))


if __name__ == "__main__":
    main()
