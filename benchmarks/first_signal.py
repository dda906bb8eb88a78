"""From `financelake up` on an empty data folder to the first prediction and the first live signal on the page.

Prints JSON: seconds since `up` for each step, and the memory of all processes of the lake at the end. The lake is a
new one, on ports of its own (--port-offset). Needs a Chromium, and the jars and packages in their caches.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Error, Page, sync_playwright

from financelake_assets.config import Settings, get_settings
from financelake_assets.gold.schema import PREDICTIONS, SIGNALS
from financelake_assets.model import registry
from financelake_assets.operations.footprint import memory_bytes
from financelake_assets.servers.web_token import opening
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.delta import TableSpec
from financelake_assets.supervision import leftovers

ON_THE_PAGE = r"() => /\b(BUY|SELL|HOLD)\b/i.test(document.querySelector('#watch')?.innerText ?? '')"


def main() -> None:
    """Measure once and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port-offset", type=int, default=7000)
    parser.add_argument("--limit", type=float, default=600, help="seconds after which to give up")
    arguments = parser.parse_args()
    with new_lake(arguments.port_offset) as (settings, lake):
        steps = watch(settings, lake, arguments.limit)
        taken = round(memory_bytes(leftovers.of_lake(settings)) / 2**30, 2)
        print(json.dumps({"seconds": steps, "memory_gib": taken, "cores": os.cpu_count()}, indent=2))


@contextmanager
def new_lake(port_offset: int, **variables: str) -> Iterator[tuple[Settings, subprocess.Popen[bytes]]]:
    """A lake in an empty folder, and its `up`, which has just been started. It is stopped and deleted at the end.

    Args:
        port_offset: of its ports.
        variables: more settings, by the names of their variables.
    """
    folder = Path(tempfile.mkdtemp(prefix="financelake-benchmark-"))
    os.environ |= {
        "FINANCELAKE_DATA_DIR": str(folder / "lake"),
        "FINANCELAKE_PORT_OFFSET": str(port_offset),
        **variables,
    }
    command = [sys.executable, "-m", "financelake_assets.cli"]
    settings = get_settings()
    lake = subprocess.Popen([*command, "up", "--detach"], stdout=subprocess.DEVNULL)
    try:
        yield settings, lake
    finally:
        lake.wait()
        subprocess.run([*command, "down"], check=True)
        shutil.rmtree(folder)


def watch(settings: Settings, lake: subprocess.Popen[bytes], limit: float) -> dict[str, float]:
    """Seconds from now to each step; ends the program after ``limit`` seconds."""
    begun, steps = time.monotonic(), dict[str, float]()

    def reach(name: str, holds: Callable[[], object]) -> None:
        if name not in steps and holds():
            steps[name] = round(time.monotonic() - begun, 1)

    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        flags = ["--no-sandbox", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page()
        while "first_live_signal_on_the_page" not in steps:
            if time.monotonic() - begun > limit:
                sys.exit(f"no live signal within the limit; reached: {steps}")
            if lake.poll():
                sys.exit(f"`up` ended with code {lake.returncode}; reached: {steps}")
            reach("all_healthy", lambda: lake.poll() == 0)
            reach("first_bar_in_silver", lambda: rows(settings, BARS))
            reach("first_model", lambda: registry.champions(settings))
            reach("first_prediction_in_gold", lambda: rows(settings, PREDICTIONS))
            reach("first_signal_in_gold", lambda: rows(settings, SIGNALS))
            reach("first_live_signal_on_the_page", lambda: shows_a_signal(page, settings))
            time.sleep(0.2)
        browser.close()
    return steps


def rows(settings: Settings, table: TableSpec) -> int:
    """Rows of a table now."""
    facts = table.facts(settings)
    return 0 if facts is None else facts.rows


def shows_a_signal(page: Page, settings: Settings) -> bool:
    """Whether the open page shows a signal; opens the page when the dashboard is up."""
    known = settings.with_own_secrets()
    if known.web_token is None:  # `up` makes it first of all
        return False
    try:
        if not page.url.startswith(settings.dashboard_url):
            page.goto(opening(settings.dashboard_url, known), wait_until="commit")
        return bool(page.evaluate(ON_THE_PAGE))
    except Error:  # not listening yet, or the page is still loading
        return False


if __name__ == "__main__":
    main()
