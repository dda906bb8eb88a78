"""Speed and memory of reading a user's own file, beside polars reading it alone.

    uv run python benchmarks/files.py --rows 10000000

Writes a file of one-minute bars. Then measures, each in a separate process:

- *polars*: polars reads the file;
- *encode*: the same, and its rows become messages, without a broker;
- *look*: the check of the file, before anything is published;
- *publish*: check, read and messages, without a broker;
- *by themselves*: polars reads the file, and the lake's producer publishes its rows to a real broker;
- *ingest*: the complete path of ``financelake ingest`` to the same broker.

Prints one JSON object. Starts its own broker in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from financelake_assets.bronze.topics import delete_topics, ensure_topics
from financelake_assets.config import Settings
from financelake_assets_tests.shared_servers import broker, laptop

if TYPE_CHECKING:
    from financelake_assets.providers.base import Chunk

STEPS = ("polars", "encode", "look", "publish")
TO_A_BROKER = ("by themselves", "ingest")


def write(file: Path, rows: int) -> None:
    """A CSV of one-minute bars."""
    with file.open("w") as out:
        out.write("time,open,high,low,close,volume\n")
        for at in range(rows):
            price = 100 + at % 977 / 10
            out.write(f"{1_000_000_020 + 60 * at},{price},{price + 1},{price - 1},{price + 0.5},{at % 1000}\n")


def step(name: str, file: Path) -> dict[str, float]:
    """One step's rows per second, rows per second of processor time, and its peak memory in MB."""
    begun = time.perf_counter()
    rows = _published(name, file) if name in TO_A_BROKER else _read(name, file)
    seconds = time.perf_counter() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "rows": rows,
        "rows_per_second": round(rows / seconds),
        "rows_per_cpu_second": round(rows / time.process_time()),
        "peak_mb": round(memory),
    }


def _read(name: str, file: Path) -> int:
    """The rows of a step that needs no broker."""
    import polars as pl

    from financelake_assets.bronze.message import encode
    from financelake_assets.providers.files import FileProvider
    from financelake_assets.providers.request import IngestRequest

    if name == "polars":
        return sum(batch.height for batch in pl.read_csv(file).iter_slices(100_000))
    if name == "encode":
        return sum(1 for chunk in _chunks(file) for _ in encode(chunk))
    provider = FileProvider(IngestRequest(path=file, symbol="X"))
    if name == "look":
        return sum(one.survey.messages for one in provider.look() if one.survey)
    return sum(1 for part in provider.history() for chunk in part.chunks for _ in encode(chunk))


def _chunks(file: Path) -> Iterator[Chunk]:
    """The file as polars reads it by itself, with no check."""
    import polars as pl

    from financelake_assets.providers.base import Chunk, typed

    times = pl.from_epoch("time", time_unit="s").dt.replace_time_zone("UTC").alias("event_time")
    fixed = {"interval": "1m", "symbol": "X", "asset_class": "stock"}
    for batch in pl.read_csv(file).iter_slices(100_000):
        yield Chunk(typed(batch.with_columns(times, *(pl.lit(one).alias(key) for key, one in fixed.items()))))


def _published(name: str, file: Path) -> int:
    """The rows that a step published to the broker of the settings; all of them, or an error."""
    from financelake_assets.bronze.ingest import ingest
    from financelake_assets.bronze.load import Load
    from financelake_assets.providers.request import IngestRequest

    settings = Settings()
    if name == "ingest":
        return ingest(IngestRequest(path=file, symbol="X"), settings).published
    with Load(settings, "by-themselves", "file") as load:
        rows = sum(load.publish(chunk) for chunk in _chunks(file))
        load.record()
    return rows


def main() -> None:
    """Write the file, run the steps, print their results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3, help="of the steps that publish to the broker, in turns")
    parser.add_argument("--step", nargs=2, metavar=("NAME", "FILE"))
    options = parser.parse_args()
    if options.step:
        print(json.dumps(step(options.step[0], Path(options.step[1]))))
        return
    with tempfile.TemporaryDirectory(prefix="financelake-files-") as folder:
        file = Path(folder) / "X.csv"
        write(file, options.rows)
        shown: dict[str, Any] = {name: _apart(name, file, os.environ) for name in STEPS}
        settings = laptop(Path(folder) / "lake")
        with broker(settings):
            turns = [{name: _to_broker(name, file, settings) for name in TO_A_BROKER} for _ in range(options.rounds)]
    for name in TO_A_BROKER:
        shown[name] = {key: statistics.median(turn[name][key] for turn in turns) for key in turns[0][name]}
        refuse_less(shown[name]["rows"], options.rows)
    for unit in ("second", "cpu_second"):
        for one, other in (("publish", "encode"), ("ingest", "by themselves")):
            rate = shown[one][f"rows_per_{unit}"] / shown[other][f"rows_per_{unit}"]
            shown[f"{one}_over_{other.replace(' ', '_')}_by_{unit}"] = round(rate, 2)
    shown["load_average"] = [round(one, 1) for one in os.getloadavg()]
    print(json.dumps(shown, indent=2))


def refuse_less(published: float, rows: int) -> None:
    """A rate of a step that left rows out says nothing."""
    if published != rows:
        raise SystemExit(f"{published} of {rows} rows were published")


def _to_broker(name: str, file: Path, settings: Settings) -> dict[str, float]:
    """A step onto empty topics."""
    delete_topics(settings)
    ensure_topics(settings)
    places = {"DATA_DIR": str(settings.data_dir), "KAFKA__BOOTSTRAP": settings.kafka_bootstrap}
    return _apart(name, file, {**os.environ, **{f"FINANCELAKE_{key}": value for key, value in places.items()}})


def _apart(name: str, file: Path, environment: Mapping[str, str]) -> dict[str, float]:
    """A step in a process of its own, so that its memory is its own."""
    command = [sys.executable, __file__, "--step", name, str(file)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
