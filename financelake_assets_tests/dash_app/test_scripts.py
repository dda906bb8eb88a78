"""The scripts that a first visit brings, and how few bytes they are."""

from __future__ import annotations

import gzip
import hashlib
import re

import brotli
import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Browser
from plotly.offline import get_plotlyjs_version

from dash_app.data.lake_reader import LakeReader
from dash_app.scripts import CHARTS
from dash_app.server import create_app
from financelake_assets.config import Settings
from financelake_assets_tests.browser import open_page
from financelake_assets_tests.dash_app import written
from financelake_assets_tests.dash_app.conftest import Dashboard

ASKED_FOR = "/_dash-component-suites/plotly/package_data/plotly.min.js"
MOST_BYTES = 1_500_000


@pytest.fixture
def client(offline_lake: Settings) -> FlaskClient:
    return create_app(offline_lake, LakeReader(offline_lake)).server.test_client()


def test_the_small_build_is_of_plotlys_release_and_is_the_one_that_its_readme_names() -> None:
    script = CHARTS.read_bytes()
    told = re.search(rb"plotly\.js \(finance - minified\) v(\d+\.\d+)\.", script[:200])
    assert told is not None
    assert get_plotlyjs_version().startswith(f"{told[1].decode()}.")
    assert hashlib.sha256(script).hexdigest() in CHARTS.with_name("README.md").read_text()
    assert (CHARTS.parent / "plotly-LICENSE").exists()


@pytest.mark.parametrize(
    ("accepted", "unpack"), [("br, gzip", brotli.decompress), ("gzip", gzip.decompress), ("", bytes)]
)
def test_every_browser_gets_the_small_build(client: FlaskClient, accepted: str, unpack: type[bytes]) -> None:
    for _ in range(2):  # compressed now, and compressed before
        answer = client.get(ASKED_FOR, headers={"Accept-Encoding": accepted})
        assert unpack(answer.data) == CHARTS.read_bytes()
        assert "Accept-Encoding" in answer.headers["Vary"]
        assert answer.mimetype == "text/javascript"


@pytest.mark.parametrize("accepted", ["br", "gzip"])
def test_a_browser_that_has_the_script_gets_it_no_more(client: FlaskClient, accepted: str) -> None:
    has = client.get(ASKED_FOR, headers={"Accept-Encoding": accepted}).headers["ETag"]
    again = client.get(ASKED_FOR, headers={"Accept-Encoding": accepted, "If-None-Match": has})
    assert (again.status_code, again.data) == (304, b"")


def test_another_script_of_the_same_name_is_not_the_one_from_before(client: FlaskClient) -> None:
    page = client.get("/").text
    paths = re.findall(r'src="(/_dash-component-suites/[^"]+)"', page)
    scripts = {path: client.get(path, headers={"Accept-Encoding": "br"}) for path in paths}
    assert len(scripts) > 5
    plain = {path: client.get(path).data for path in paths}
    assert {path: brotli.decompress(one.data) for path, one in scripts.items()} == plain
    assert all(len(one.data) < len(plain[path]) for path, one in scripts.items())


@pytest.mark.browser
def test_a_first_visit_brings_at_most_a_megabyte_and_a_half_of_scripts(dashboard: Dashboard, browser: Browser) -> None:
    written.write_lake(dashboard.lake)
    with open_page(browser) as (page, problems):
        page.goto(f"{dashboard.url}/?symbol=BTC-USD")
        page.wait_for_function("() => document.querySelectorAll('#candles .trace').length > 0")
        sizes = page.evaluate(
            """() => performance.getEntriesByType("resource").filter(one => one.initiatorType === "script")
                .map(one => one.encodedBodySize)"""
        )
        assert len(sizes) > 10
        assert sum(sizes) < MOST_BYTES
        assert problems == []
