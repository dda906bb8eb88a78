"""Fixtures of the dashboard: its server on a real port over a lake that the test writes, and a browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import waitress
from playwright.sync_api import Browser
from pydantic import SecretStr

from dash_app.data.lake_reader import LakeReader
from dash_app.server import create_app
from dash_app.serving import OPTIONS
from financelake_assets.config import Settings
from financelake_assets_tests.browser import chromium


@dataclass
class Dashboard:
    """A running dashboard."""

    url: str
    lake: Settings
    reader: LakeReader


@pytest.fixture
def dashboard(offline_lake: Settings) -> Iterator[Dashboard]:
    with _served(offline_lake) as found:
        yield found


@pytest.fixture
def dashboard_with_token(offline_lake: Settings) -> Iterator[Dashboard]:
    """Its token is ``a-token``."""
    with _served(offline_lake.model_copy(update={"web_token": SecretStr("a-token")})) as found:
        yield found


@contextmanager
def _served(lake: Settings) -> Iterator[Dashboard]:
    lake = lake.model_copy(update={"dashboard": lake.dashboard.model_copy(update={"refresh_seconds": 0.2})})
    reader = LakeReader(lake)
    server = waitress.create_server(create_app(lake, reader).server, host="127.0.0.1", port=0, **OPTIONS)
    threading.Thread(target=server.run, daemon=True).start()
    reader.start(0.1)
    try:
        yield Dashboard(f"http://127.0.0.1:{server.effective_port}", lake, reader)
    finally:
        reader.stop()
        server.task_dispatcher.shutdown()
        server.trigger.pull_trigger(server.close)  # in the server's own thread, which may be waiting at these sockets


@pytest.fixture(scope="module")  # Playwright's event loop runs in this thread; no other file's test may meet it
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one
