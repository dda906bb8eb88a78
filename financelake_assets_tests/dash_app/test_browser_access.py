"""The page for everyone: on every width, to axe and a screen reader, in the dark, and on paper."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from financelake_assets.bronze.universe import Universe
from financelake_assets.providers.base import Instrument
from financelake_assets_tests.browser import at_rest, open_page
from financelake_assets_tests.dash_app import written
from financelake_assets_tests.dash_app.conftest import Dashboard

pytestmark = pytest.mark.browser

_SIGNS = {
    "/": "naive 0.9955",
    "/model": "naive 0.9955",
    "/signals": "BRENT",
    "/portfolio": "Sharpe ratio",
    "/lake": "gold/signals",
    "/alerts": "No rule yet",
}
"""What each view shows when it has its data."""
_EMPTY = {
    "/": "No bars yet",
    "/signals": "No signals yet",
    "/portfolio": "No portfolio yet",
    "/model": "No model yet",
    "/lake": "Not written yet",
}
"""What each view shows in a lake without tables."""
_SETTLED = "() => document.querySelectorAll('#candles .trace').length > 0"


def _settled(page: Page) -> None:
    page.wait_for_function(_SETTLED)


@pytest.mark.parametrize("path", _SIGNS)
@pytest.mark.parametrize("width", [360, 768, 1440, 3840])
def test_nothing_is_wider_than_the_window(dashboard: Dashboard, browser: Browser, path: str, width: int) -> None:
    written.write_lake(dashboard.lake)
    if path == "/portfolio":
        written.write_portfolio(dashboard.lake)
    with open_page(browser, width=width, height=800) as (page, problems):
        page.goto(dashboard.url + path)
        expect(page.locator("#page")).to_contain_text(_SIGNS[path])
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert problems == []


def test_a_grid_has_all_its_columns_however_narrow_the_window(dashboard: Dashboard, browser: Browser) -> None:
    written.write_lake(dashboard.lake)
    with open_page(browser, width=360, height=800) as (page, problems):
        page.goto(dashboard.url)
        expect(page.locator("#watch [role=columnheader]")).to_have_count(6)
        page.goto(f"{dashboard.url}/signals")
        expect(page.locator("#signals [role=columnheader]")).to_have_count(9)
        assert problems == []


_CUT_OFF = """(grid) => [...document.querySelectorAll(
  `#${grid} .ag-cell, #${grid} .ag-cell *, #${grid} .ag-header-cell-text`)]
  .map((one) => [one.textContent, one.scrollWidth - one.clientWidth, one.scrollHeight - one.clientHeight, one])
  .filter(([, wider, higher, one]) => one.clientWidth && (wider > 1 || higher > 2))
  .map(([text, wider, higher]) => `${text}: ${wider} x ${higher} more`)"""


def test_no_cell_is_cut_off_on_a_small_laptop(dashboard: Dashboard, browser: Browser) -> None:
    """With the longest values that a lake has: a series that is late by far, a long reason, a version's full name."""
    rows = written.bars(("AAPL", "HENRYHUB"), skip_last=10)
    came = pl.col("event_time") + timedelta(days=1)
    live = rows.with_columns(provider=pl.lit("yfinance"), ingested_at=came, processed_at=came)
    written.write(dashboard.lake, written.BARS, live)
    Universe(dashboard.lake, "yfinance").add([Instrument("AAPL", "stock"), Instrument("HENRYHUB", "commodity")])
    scored = written.gold_of(rows).with_columns(
        model_version=pl.lit("rf-20261127t213045-8c1f"),
        reason=pl.when(signal="HOLD").then(pl.lit("recent_reversal")),
    )
    written.write(dashboard.lake, written.PREDICTIONS, scored)
    written.write(dashboard.lake, written.SIGNALS, scored)
    with open_page(browser, width=1280, height=800) as (page, problems):
        page.goto(dashboard.url)
        expect(page.locator("#watch .late").first).to_contain_text("999+ late")
        assert page.evaluate(_CUT_OFF, "watch") == []
        page.goto(f"{dashboard.url}/signals")
        expect(page.locator("#signals")).to_contain_text("a bar shortly before had the opposite signal")
        assert page.evaluate(_CUT_OFF, "signals") == []
        assert (
            page.evaluate("document.querySelector('#signals .ag-body-horizontal-scroll-viewport').scrollWidth") <= 1280
        )
        assert problems == []


def _faults(page: Page) -> list[Any]:
    """What axe finds on what is shown."""
    at_rest(page)
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [(one["id"], [node["html"][:200] for node in one["nodes"]][:3]) for one in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", [*_SIGNS, "/nowhere"])
def test_axe_finds_nothing(dashboard: Dashboard, browser: Browser, path: str, scheme: Any) -> None:
    written.write_lake(dashboard.lake)
    if path == "/portfolio":
        written.write_portfolio(dashboard.lake)
    if path == "/lake":
        written.write_quarantine(dashboard.lake, ("not_json",))
    with open_page(browser, scheme=scheme, bypass_csp=True) as (page, _):  # axe is put into the page as a script
        page.goto(dashboard.url + path + ("?symbol=AAPL&bar=20130128000000&show=rsi-macd" if path == "/" else ""))
        expect(page.locator("#page")).not_to_be_empty()
        if path != "/nowhere":
            expect(page.locator("#page")).to_contain_text(_SIGNS[path])
        assert _faults(page) == []


def test_axe_finds_nothing_in_an_empty_lake(dashboard: Dashboard, browser: Browser) -> None:
    with open_page(browser, bypass_csp=True) as (page, _):
        for path, words in _EMPTY.items():
            page.goto(dashboard.url + path)
            expect(page.locator("#page")).to_contain_text(words)
            assert _faults(page) == [], path


def test_dark_is_dark_by_the_systems_wish(dashboard: Dashboard, browser: Browser) -> None:
    written.write_lake(dashboard.lake, ("AAPL",))
    with open_page(browser, scheme="dark") as (page, problems):
        page.goto(dashboard.url)
        _settled(page)
        fills = "getComputedStyle(document.querySelector('#candles .main-svg')).backgroundColor"
        assert page.evaluate(fills) == "rgb(21, 26, 34)"
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 17, 23)"
        page.emulate_media(color_scheme="light")
        page.wait_for_function(f"() => {fills} === 'rgb(255, 255, 255)'")
        assert problems == []


def test_what_is_printed_has_no_controls_and_dark_ink_on_white(dashboard: Dashboard, browser: Browser) -> None:
    written.write_lake(dashboard.lake, ("AAPL",))
    with open_page(browser, scheme="dark") as (page, problems):
        page.goto(dashboard.url)
        _settled(page)
        colour = "getComputedStyle(document.querySelector('h1')).color"
        assert page.evaluate(colour) == "rgb(232, 235, 240)"
        page.emulate_media(media="print")
        assert page.evaluate(colour) == "rgb(20, 24, 31)"
        expect(page.get_by_role("heading", name="AAPL")).to_be_visible()
        expect(page.locator("#candles")).to_be_visible()
        for control in ("#watch", "#symbol-select", "#navigation", "#pause", "#help-button"):
            expect(page.locator(control)).to_be_hidden()
        assert problems == []


def test_a_screen_reader_hears_new_signals_and_a_lost_connection_and_no_ages(
    dashboard: Dashboard, browser: Browser
) -> None:
    rows = written.bars(("BTC-USD",), skip_last=3)
    written.write_bars(dashboard.lake, rows)

    def sign(nth_last: int, signal: str) -> None:
        scored = written.gold_of(rows)[-nth_last]
        written.write(dashboard.lake, written.SIGNALS, scored.with_columns(signal=pl.lit(signal)))

    sign(9, "BUY")
    with open_page(browser) as (page, _):
        page.goto(f"{dashboard.url}/lake")  # they are heard on every view
        expect(page.locator("#status")).to_contain_text("Live")
        said = page.get_by_role("status").and_(page.locator("#said"))
        expect(said).to_be_empty()
        assert page.evaluate("document.querySelector('#status').closest('[role=status], [aria-live]')") is None
        sign(8, "SELL")
        expect(said).to_have_text("New signals: SELL BTC-USD 1d.")
        page.get_by_role("button", name="Pause").click()
        sign(7, "BUY")
        page.wait_for_timeout(1_500)
        page.get_by_role("button", name="Go on").click()
        sign(6, "HOLD")
        page.route("**/pulse*", lambda route: route.abort())
        expect(said).to_have_text("Disconnected.")
        page.unroute("**/pulse*")
        expect(said).to_have_text("Connected again.")
        sign(5, "SELL")
        expect(said).to_have_text("New signals: SELL BTC-USD 1d.")
