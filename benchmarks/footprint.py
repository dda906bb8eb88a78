"""What a lake takes of its machine when nothing happens, its memory, and how soon the first signal is there.

Starts a new lake with `financelake up`, notes when the first prediction and the first signal are there, waits until the
replay is over and all is worked off, and measures the processor time of all its processes while it is idle. Prints
JSON: `first.prediction_s` and `first.signal_s` since `up`, `idle.percent_of_a_core` over --seconds, `memory.pss_gb`
(shared pages counted once). Needs a Chromium, and the jars and packages in their caches.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

from first_signal import new_lake, watch

from financelake_assets.bronze.feed_state import read_state
from financelake_assets.bronze.offsets import lag
from financelake_assets.bronze.topics import watermarks
from financelake_assets.config import Settings
from financelake_assets.operations.footprint import memory_bytes, processor_seconds
from financelake_assets.servers.command import PROCESS_VARIABLE
from financelake_assets.silver.checkpoint import consumed_offsets
from financelake_assets.supervision import leftovers


def main() -> None:
    """Measure once and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--live-days", type=int, default=30, help="of the replay; then the lake is idle")
    parser.add_argument("--settle", type=float, default=90, help="seconds between the last bar and the measurement")
    parser.add_argument("--seconds", type=float, default=120, help="how long the idle lake is measured")
    parser.add_argument("--limit", type=float, default=600, help="seconds after which to give up")
    parser.add_argument("--port-offset", type=int, default=7400)
    arguments = parser.parse_args()
    variables = {"FINANCELAKE_FEED__LIVE_DAYS": str(arguments.live_days)}
    with new_lake(arguments.port_offset, **variables) as (settings, lake):
        steps = watch(settings, lake, arguments.limit)
        await_idle(settings, time.monotonic() + arguments.limit)
        time.sleep(arguments.settle)
        found = {
            "first": {"prediction_s": steps["first_prediction_in_gold"], "signal_s": steps["first_signal_in_gold"]},
            "steps": steps,
            "idle": idle(settings, arguments.seconds),
            "memory": {"pss_gb": round(memory_bytes(leftovers.of_lake(settings)) / 1e9, 2)},
            "cores": os.cpu_count(),
        }
        print(json.dumps(found, indent=2))


def await_idle(settings: Settings, deadline: float) -> None:
    """Return when the replay is over and silver has committed every message."""
    while True:
        feed = read_state(settings)
        if feed is not None and feed.phase == "idle" and not behind(settings):
            return
        if time.monotonic() > deadline:
            sys.exit(f"the lake is not idle within the limit: {feed}")
        time.sleep(1)


def behind(settings: Settings) -> int:
    """Messages on the topics that silver has not committed."""
    waiting = lag(consumed_offsets(settings), watermarks(settings.with_own_secrets()))
    return sum(number for parts in waiting.values() for number in parts.values())


def idle(settings: Settings, seconds: float) -> dict[str, object]:
    """Processor time of all processes of the lake over some seconds, in percent of one core, and that of each."""
    processes = list(leftovers.of_lake(settings))
    before = {process: processor_seconds([process]) for process in processes}
    time.sleep(seconds)
    used: dict[str, float] = {}
    for process, spent in before.items():
        if process.is_running():
            name = process.environ().get(PROCESS_VARIABLE, process.name())
            used[name] = used.get(name, 0.0) + processor_seconds([process]) - spent
    shares = {name: round(100 * spent / seconds, 1) for name, spent in sorted(used.items(), key=lambda one: -one[1])}
    return {"percent_of_a_core": round(sum(shares.values()), 1), "by_process": shares}


if __name__ == "__main__":
    main()
