"""An open page outlives its server, and a table that is travelled back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, expect

from financelake_assets.config import Settings
from financelake_assets.silver.schema import BARS
from financelake_assets_tests.browser import open_page
from financelake_assets_tests.dash_app import written
from financelake_assets_tests.shared_servers import free_ports

pytestmark = pytest.mark.browser

_PLOT = "document.querySelector('#candles .js-plotly-plot')"
_RANGE = f"() => {_PLOT}?.layout?.xaxis?.range"


@contextmanager
def _server(lake: Settings, port: int) -> Iterator[None]:
    """The page's server as a process, which is killed in the end."""
    variables = {"FINANCELAKE_DATA_DIR": str(lake.data_dir), "FINANCELAKE_DASHBOARD__PORT": str(port)}
    argv = [sys.executable, "-m", "dash_app"]
    with subprocess.Popen(argv, env={**os.environ, **variables}, stderr=subprocess.DEVNULL) as process:
        try:
            _await(f"http://127.0.0.1:{port}/health", process)
            yield
        finally:
            process.kill()


def _await(address: str, process: subprocess.Popen[bytes]) -> None:
    while True:
        try:
            with urllib.request.urlopen(address):  # noqa: S310  # of our own server
                return
        except urllib.error.URLError:
            assert process.poll() is None
            time.sleep(0.1)


def test_a_page_outlives_its_server_and_a_table_that_is_travelled_back(
    offline_lake: Settings, browser: Browser
) -> None:
    written.write_lake(offline_lake, ("BTC-USD",), skip_last=3)
    before = written.bars(("BTC-USD",), 3, 1)["event_time"][0].strftime("%Y-%m-%d")
    version = BARS.ensure(offline_lake).version()
    (port,) = free_ports(1)
    with open_page(browser) as (page, _):  # the console tells of requests that nobody answered
        newest = page.locator("#symbol-facts")
        with _server(offline_lake, port):
            page.goto(f"http://127.0.0.1:{port}/?symbol=BTC-USD&bars=250&show=rsi_14")
            page.wait_for_function("() => document.querySelectorAll('#candles .trace').length > 0")
            page.evaluate(f"window.sameDocument = true, Plotly.relayout({_PLOT}, "
                          "{'xaxis.range': ['2025-08-01', '2025-08-20']})")  # fmt: skip
            zoom = page.evaluate(_RANGE)
        expect(page.locator("#status")).to_contain_text("Disconnected")
        later = written.bars(("BTC-USD",), 2, 1)
        written.write_bars(offline_lake, later)
        with _server(offline_lake, port):
            expect(newest).to_contain_text(f"Newest bar{later['event_time'][0]:%Y-%m-%d}")
            expect(page.locator("#status")).not_to_contain_text("Disconnected")
            assert page.evaluate(_RANGE) == zoom
            BARS.ensure(offline_lake).restore(version)
            expect(newest).to_contain_text(f"Newest bar{before}")
            last = written.bars(("BTC-USD",), 1, 1)
            written.write_bars(offline_lake, last)
            expect(newest).to_contain_text(f"Newest bar{last['event_time'][0]:%Y-%m-%d}")
            assert page.evaluate("window.sameDocument") is True
            expect(page.locator("#failure")).to_be_empty()
