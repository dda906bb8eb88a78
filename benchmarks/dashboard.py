"""FinanceLake Pro under load: response times with many clients on a large gold, memory, and first paint in a browser.

Writes a lake with real Delta tables (bars, predictions and signals of simulated minutes), serves it as a lake does, and
runs clients that act like open pages: they poll the pulse every half second and request the parts of the market view
after each change, while a writer appends bars. Prints JSON. Uses only loopback, and ends by itself.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
from deltalake import write_deltalake
from playwright.sync_api import Page, sync_playwright

from financelake_assets.config import Settings
from financelake_assets.gold.schema import PREDICTIONS, SIGNALS
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.delta import TableSpec
from financelake_assets.supervision.launch import COMMANDS
from financelake_assets_tests.shared_servers import laptop

SYMBOLS = 100
MANY_SYMBOLS = 500
COMMITS = 20
EVERY = 0.5
START = datetime(2026, 1, 1, tzinfo=UTC)
PARTS = ("watch.rowData", "chart.data")
"""Outputs that identify the callbacks of the market view."""


def main() -> None:
    """Measure once and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000, help="of gold: predictions and signals together")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--commits", type=int, default=100, help="that one page in a browser draws")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="financelake-dashboard-") as folder:
        settings = laptop(Path(folder))
        bars = arguments.rows // 2 // SYMBOLS
        for commit in range(COMMITS):
            write(settings, simulated(bars * commit // COMMITS, bars * (commit + 1) // COMMITS))
        with served(settings) as (process, loaded):
            result = {
                "gold rows": 2 * bars * SYMBOLS,
                "clients": arguments.clients,
                "cores": os.cpu_count(),
                "load average before": os.getloadavg()[0],
                "seconds to load": round(loaded, 1),
                "memory when loaded (MB)": memory(process.pid, "VmRSS"),
                **load(settings, arguments.clients, arguments.seconds, bars),
                "memory at the end (MB)": memory(process.pid, "VmRSS"),
                "memory at most (MB)": memory(process.pid, "VmHWM"),
                "first view in a browser (ms)": browser(settings),
                "commit of gold to drawn chart (ms)": pixels(settings, arguments.commits, 2 * bars),
                f"frames with {MANY_SYMBOLS} symbols": frames(settings, 4 * bars),
                "load average after": os.getloadavg()[0],
            }
        print(json.dumps(result, indent=2))


# -- the lake ----------------------------------------------------------------------------------------------


def simulated(first: int, last: int, symbols: int = SYMBOLS) -> pl.DataFrame:
    """Bars number ``first`` to ``last`` of every symbol, with their predictions and signals."""
    count, chance = last - first, np.random.default_rng(first)
    minutes = pl.Series("event_time", [START + timedelta(minutes=number) for number in range(first, last)])
    close = 100 + np.cumsum(chance.normal(0, 0.1, (symbols, count)), axis=1)
    now = datetime.now(UTC)
    return pl.DataFrame(
        {
            "symbol": np.repeat([f"S{number:03}" for number in range(symbols)], count),
            "event_time": pl.concat([minutes] * symbols).cast(pl.Datetime("us", "UTC")),
            "close": close.ravel(),
            "predicted_return": chance.normal(0, 1e-3, symbols * count),
            "signal": chance.choice(["BUY", "SELL", "HOLD"], symbols * count),
        }
    ).with_columns(
        *[pl.lit(value).alias(name) for name, value in (("asset_class", "crypto"), ("interval", "1m"))],
        *[pl.lit(value).alias(name) for name, value in (("provider", "synthetic"), ("model_version", "rf-simulated"))],
        *[pl.lit(now).cast(pl.Datetime("us", "UTC")).alias(name) for name in ("as_of", "processed_at", "ingested_at")],
        *[(pl.col("close") + move).alias(name) for name, move in (("open", 0.01), ("high", 0.1), ("low", -0.1))],
        *[(pl.col("close") + move).alias(name) for name, move in (("lower", -0.3), ("upper", 0.3))],
        pl.col("close").alias("predicted_close"),
        pl.lit(1).alias("horizon"),
        pl.lit(0.8).alias("coverage"),
        pl.lit(0.55).alias("confidence"),
        pl.lit(1.0).alias("volume"),
    )


def write(settings: Settings, rows: pl.DataFrame) -> None:
    """One commit to each table."""
    for table in (BARS, PREDICTIONS, SIGNALS):
        append(settings, table, rows)


def append(settings: Settings, table: TableSpec, rows: pl.DataFrame) -> None:
    """The declared columns of a table; what is not simulated is null."""
    declared = table.empty.schema
    columns = [
        (pl.col(name) if name in rows.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in declared.items()
    ]
    table.ensure(settings)
    write_deltalake(table.path(settings), rows.select(columns).to_arrow(), mode="append")


# -- the server and its clients ----------------------------------------------------------------------------


@contextmanager
def served(settings: Settings) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """The dashboard in a process of its own, and the seconds until it had read the lake."""
    command = COMMANDS["dashboard"](settings)
    environment = {
        **os.environ,
        **command.env,
        "FINANCELAKE_DATA_DIR": str(settings.data_dir),
        "FINANCELAKE_DASHBOARD__PORT": str(settings.dashboard.port),
        "FINANCELAKE_PORT_OFFSET": "0",
    }
    begun = time.perf_counter()
    process = subprocess.Popen(command.argv, env=environment, stderr=subprocess.DEVNULL)
    try:
        while not loaded(settings):
            if process.poll() is not None:
                raise RuntimeError("the dashboard ended")
            time.sleep(0.2)
        yield process, time.perf_counter() - begun
    finally:
        process.terminate()
        process.wait(20)


def loaded(settings: Settings) -> bool:
    """Whether the dashboard has read the lake."""
    try:
        return bool(Client(settings).get("/health")["loaded"])
    except OSError:
        return False


class Client:
    """An open page: it sends the browser's requests, over its own connection."""

    def __init__(self, settings: Settings) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", settings.dashboard.port, timeout=60)

    def get(self, path: str) -> Any:
        """An answer in JSON."""
        self._connection.request("GET", path)
        return self._answer()

    def ask(self, callback: dict[str, Any], values: dict[str, Any]) -> None:
        """Call a callback. ``values`` are by ``id.property``; others are null. The values that it stores are kept."""
        names = [part.split("@")[0] for part in callback["output"].strip(".").split("...")]
        filled = {
            kind: [{**entry, "value": values.get(f"{entry['id']}.{entry['property']}")} for entry in callback[kind]]
            for kind in ("inputs", "state")
        }
        body = {
            "output": callback["output"],
            "outputs": [dict(zip(("id", "property"), name.rsplit(".", 1), strict=True)) for name in names],
            **filled,
            "changedPropIds": ["stamp.data"],
        }
        headers = {"Content-Type": "application/json", "Accept-Encoding": "gzip"}
        self._connection.request("POST", "/_dash-update-component", json.dumps(body), headers)
        for name, properties in ((self._answer() or {}).get("response") or {}).items():
            if name.endswith("-seen"):
                values[f"{name}.data"] = properties["data"]

    def _answer(self) -> Any:
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status not in (200, 204):
            raise RuntimeError(f"{answer.status}: {body[:300]!r}")
        if answer.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        return orjson.loads(body) if body else None


def load(settings: Settings, clients: int, seconds: float, written: int) -> dict[str, Any]:
    """All clients at once, while bars are appended; returns milliseconds by kind of request."""
    dependencies = Client(settings).get("/_dash-dependencies")
    callbacks = [next(one for one in dependencies if part in one["output"]) for part in PARTS]
    times: dict[str, list[float]] = {"pulse": [], "refresh": [], "first symbol view": []}
    failures: list[str] = []
    stopped = threading.Event()

    def page(number: int) -> None:
        try:
            visit(Client(settings), callbacks, random.Random(number), times, stopped)  # noqa: S311
        except Exception as error:
            failures.append(f"{type(error).__name__}: {error}")

    def news() -> None:
        at = written
        while not stopped.wait(1.0):
            write(settings, simulated(at, at + 1))
            at += 1

    threads = [threading.Thread(target=page, args=(number,)) for number in range(clients)]
    threads.append(threading.Thread(target=news))
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    stopped.set()
    for thread in threads:
        thread.join()
    measured = {f"{name} (ms)": summary(values) for name, values in times.items()}
    return {**measured, "failures": failures}


def visit(
    client: Client,
    callbacks: list[dict[str, Any]],
    chance: random.Random,
    times: dict[str, list[float]],
    stopped: threading.Event,
) -> None:
    """Look at a symbol, follow it for ten pulses, go to the next."""
    watch, symbol = callbacks
    time.sleep(chance.random() * EVERY)
    while not stopped.is_set():
        search = f"?symbol=S{chance.randrange(SYMBOLS):03}"
        page: dict[str, Any] = {"url.search": search, "url.pathname": "/", "scheme.data": "light"}
        stamp = client.get("/pulse")["stamp"]
        page["stamp.data"] = stamp
        times["first symbol view"].append(took(lambda: client.ask(symbol, page)))  # noqa: B023
        for _ in range(10):
            if stopped.wait(EVERY):
                return
            begun = time.perf_counter()
            now = client.get("/pulse")["stamp"]
            times["pulse"].append((time.perf_counter() - begun) * 1000)
            if now != stamp:
                stamp = page["stamp.data"] = now
                client.ask(watch, page)
                client.ask(symbol, page)
                times["refresh"].append((time.perf_counter() - begun) * 1000)


def took(work: Any) -> float:
    """Milliseconds."""
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


def summary(values: list[float]) -> dict[str, float]:
    """How many, the median, the 95th percentile, the slowest."""
    if len(values) < 2:
        return {"requests": len(values)}
    return {
        "requests": len(values),
        "p50": round(statistics.median(values), 1),
        "p95": round(statistics.quantiles(values, n=20)[-1], 1),
        "max": round(max(values), 1),
    }


# -- memory and the browser --------------------------------------------------------------------------------


def memory(pid: int, name: str) -> int | None:
    """A process's resident memory in MB, now (VmRSS) or its peak (VmHWM); ``None`` if /proc does not have it."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith(f"{name}:")), None)


def browser(settings: Settings) -> dict[str, float]:
    """First paint, and the candles drawn, in a real Chromium with an empty cache and without other clients."""
    with chromium_page() as page:
        begun = time.perf_counter()
        show(page, settings)
        drawn = (time.perf_counter() - begun) * 1000
        paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
        painted = float(page.evaluate(paint))
    return {"first contentful paint": round(painted), "candles drawn": round(drawn)}


def pixels(settings: Settings, commits: int, at: int) -> dict[str, float]:
    """From a commit of gold's signals until the frame after the chart was drawn with the new prediction.

    Args:
        settings: the lake's, served.
        commits: how many, at random times.
        at: the number of a bar that is later than all written ones.
    """
    took, chance = [], random.Random(1)  # noqa: S311
    with chromium_page() as page:
        show(page, settings)
        page.evaluate(_NOTE_DRAWN)
        for number in range(at, at + commits):
            time.sleep(1 + chance.random())
            write(settings, simulated(number, number + 1))
            committed = max(one.stat().st_mtime for one in Path(SIGNALS.path(settings), "_delta_log").glob("*.json"))
            target = (START + timedelta(minutes=number + 1)).strftime("%Y-%m-%dT%H:%M:%S")
            drawn = page.wait_for_function("bar => window.drawnAt[bar]", arg=target, timeout=30_000, polling=20)
            took.append(float(drawn.json_value()) - committed * 1000)
    return summary(took)


_NOTE_DRAWN = """() => {
  const chart = document.querySelector("#candles .js-plotly-plot");
  window.drawnAt = {};
  chart.on("plotly_afterplot", () => requestAnimationFrame(() => {
    const told = chart.data.find(one => one.name === "Predicted next close");
    window.drawnAt[told.x[1]] ??= Date.now();
  }));
}"""


def frames(settings: Settings, at: int) -> dict[str, Any]:
    """What holds up the browser while each of many symbols gets a bar a second and somebody scrolls the watch list.

    Args:
        settings: the lake's, served.
        at: the number of a bar that is later than all written ones.

    Returns:
        How many frames were drawn in half a minute, how many tasks of more than 50 ms held one up, and their lengths.
    """
    write(settings, simulated(at, at + 40, MANY_SYMBOLS))
    with chromium_page() as page:
        show(page, settings)
        page.wait_for_timeout(5_000)
        page.evaluate(_NOTE_FRAMES)
        for number in range(at + 40, at + 70):
            write(settings, simulated(number, number + 1, MANY_SYMBOLS))
            page.mouse.move(100, 400)
            page.mouse.wheel(0, 300 if number % 2 else -300)
            page.wait_for_timeout(900)
        found = page.evaluate("[window.drawnFrames, window.longTasks]")
    return {"drawn": found[0], "tasks above 50 ms": len(found[1]), "ms": summary(found[1])}


_NOTE_FRAMES = """() => {
  window.drawnFrames = 0; window.longTasks = [];
  const next = () => { window.drawnFrames += 1; requestAnimationFrame(next); };
  requestAnimationFrame(next);
  new PerformanceObserver(list => window.longTasks.push(...list.getEntries().map(one => one.duration)))
    .observe({ type: "longtask" });
}"""


@contextmanager
def chromium_page() -> Iterator[Page]:
    """An empty page of a new Chromium."""
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        flags = ["--no-sandbox", "--disable-background-networking"]
        chromium = playwright.chromium.launch(executable_path=path, args=flags)
        yield chromium.new_page()
        chromium.close()


def show(page: Page, settings: Settings) -> None:
    """Open the market view, and wait until its candles are drawn."""
    page.goto(settings.dashboard_url)
    page.wait_for_function("() => document.querySelectorAll('#candles .trace').length > 0", timeout=60_000)


if __name__ == "__main__":
    main()
