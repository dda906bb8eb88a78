"""What a person does with the chart in a real Chromium: move, draw, measure, compare, replay; and what is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from financelake_assets_tests.browser import open_page
from financelake_assets_tests.dash_app import written
from financelake_assets_tests.dash_app.conftest import Dashboard

pytestmark = pytest.mark.browser

_CHART = """() => {
  const chart = document.querySelector('#candles .js-plotly-plot');
  const prices = chart?.data?.find((trace) => trace.meta === 'prices');
  if (!prices) return null;
  const {meta, xaxis, yaxis, shapes, dragmode} = chart.layout;
  return {meta, bars: prices.x.length, first: prices.x[0], last: prices.x.at(-1), range: xaxis.range, dragmode,
    rise: yaxis.range, own: (shapes || []).filter((one) => one.editable).length, kind: prices.type};
}"""


def _chart(page: Page) -> dict[str, Any]:
    page.wait_for_function(f"() => ({_CHART})() !== null")
    found: dict[str, Any] = page.evaluate(_CHART)
    return found


def _until(page: Page, condition: str) -> dict[str, Any]:
    page.wait_for_function(f"() => {{ const chart = ({_CHART})(); return chart && ({condition}); }}")
    return _chart(page)


def _drag(page: Page, right: float, down: float = 0, *, from_middle: float = 0) -> None:
    box = page.locator("#candles .nsewdrag").first.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2 + from_middle
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + right, y + down, steps=6)
    page.mouse.up()


def test_a_chart_that_is_dragged_shows_older_bars_and_the_address_keeps_the_place(
    dashboard: Dashboard, browser: Browser
) -> None:
    rows = written.bars(("IBM",), 10, 2_500)
    written.write_bars(dashboard.lake, rows)
    with open_page(browser) as (page, problems):
        page.goto(f"{dashboard.url}/?symbol=IBM&bars=1000")
        before = _chart(page)
        assert (before["bars"], before["meta"]["older"]) == (1_000, True)
        _drag(page, 500)
        after = _until(page, f"chart.first < '{before['first']}'")
        page.wait_for_url("**/?*from=*&to=*")
        assert after["range"][0] < before["range"][0], "the visitor's place is kept"
        page.reload()
        again = _until(page, f"chart.first < '{before['first']}'")
        assert [text[:10] for text in again["range"]] == [text[:10] for text in after["range"]]
        page.goto(f"{dashboard.url}/?symbol=IBM&bars=10000")
        whole = _until(page, "chart.meta.group === 5")
        assert whole["bars"] == 500
        expect(page.locator("#candles-words")).to_contain_text("Each candle is 5 bars")
        assert problems == []


def test_drawings_stay_with_their_series_and_a_measure_tells_price_percent_bars_and_time(
    dashboard: Dashboard, browser: Browser
) -> None:
    written.write_lake(dashboard.lake, ("AAPL", "IBM"))
    with open_page(browser) as (page, problems):
        page.goto(f"{dashboard.url}/?symbol=AAPL")
        _chart(page)
        page.get_by_role("button", name="Level").click()
        assert _until(page, "chart.dragmode === 'drawline'")
        _drag(page, 60, 10)
        _until(page, "chart.own === 1 && chart.dragmode === 'pan'")
        page.get_by_role("button", name="Measure").click()
        _until(page, "chart.dragmode === 'drawrect'")
        _drag(page, 120, 60, from_middle=60)  # away from the level, which a drag would move
        _until(page, "chart.own === 2")
        words = page.locator("#tool-words").text_content() or ""
        assert "%" in words
        assert "bars" in words
        assert "days" in words
        kept = json.loads(page.evaluate("localStorage.getItem('financelake-drawings')"))
        level = kept[""]["AAPL|1d"][0]
        assert (level["xref"], level["y0"]) == ("paper", level["y1"])
        page.goto(f"{dashboard.url}/?symbol=IBM")
        assert _until(page, "chart.meta.series === 'IBM|1d'")["own"] == 0
        page.goto(f"{dashboard.url}/?symbol=AAPL")
        _until(page, "chart.own === 2")
        page.get_by_role("button", name="Undo").click()
        _until(page, "chart.own === 1")
        assert problems == []


def test_layouts_and_lists_are_kept_by_name(dashboard: Dashboard, browser: Browser) -> None:
    written.write_lake(dashboard.lake, ("AAPL", "IBM", "BTC-USD"))
    with open_page(browser) as (page, problems):
        page.goto(f"{dashboard.url}/?symbol=AAPL&show=rsi_14&bars=250")
        _chart(page)
        page.get_by_text("Layouts", exact=True).click()
        page.get_by_role("textbox", name="Name of the layout").fill("Mine")
        page.get_by_role("button", name="Save this layout").click()
        page.goto(f"{dashboard.url}/?symbol=IBM")
        _chart(page)
        page.get_by_text("Layouts", exact=True).click()
        page.get_by_role("button", name="Mine", exact=True).click()
        page.wait_for_url("**/?*symbol=IBM*")
        page.wait_for_url("**/?*show=rsi_14*")
        _until(page, "chart.bars === 250")
        page.goto(f"{dashboard.url}/?list=IBM,BTC-USD")
        expect(page.locator("#watch .num")).to_have_count(2)
        page.get_by_text("Own lists", exact=True).click()
        page.get_by_role("textbox", name="Name of the list").fill("Two")
        page.get_by_role("button", name="Save this list").click()
        page.goto(dashboard.url)
        expect(page.locator("#watch .num")).to_have_count(3)
        page.get_by_text("Own lists", exact=True).click()
        page.get_by_role("button", name="Two", exact=True).click()
        expect(page.locator("#watch .num")).to_have_count(2)
        page.get_by_role("button", name="Delete list Two").click()
        expect(page.get_by_role("button", name="Two", exact=True)).to_have_count(0)
        assert problems == []


def test_a_replay_steps_plays_seeks_and_hides_what_came_later(dashboard: Dashboard, browser: Browser) -> None:
    written.write_lake(dashboard.lake, ("AAPL", "IBM"))
    newest = written.bars(("AAPL",), 10)["event_time"][-1].strftime("%Y-%m-%d")
    with open_page(browser) as (page, problems):
        page.goto(f"{dashboard.url}/?symbol=AAPL&bars=250")
        last = _chart(page)["last"]
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("r")
        page.wait_for_url("**/?*replay=*")
        begun = _until(page, f"chart.last < '{last}'")
        expect(page.locator("#symbol-facts")).to_contain_text(begun["last"][:10])
        expect(page.locator("#model-card")).to_contain_text("has learnt from later bars")
        expect(page.locator("#page")).not_to_contain_text(newest)
        page.keyboard.press(".")
        stepped = _until(page, f"chart.last > '{begun['last']}'")
        page.keyboard.press(",")
        _until(page, f"chart.last < '{stepped['last']}'")
        page.get_by_role("button", name="Play").click()
        _until(page, f"chart.last > '{stepped['last']}'")
        page.get_by_role("button", name="Pause", exact=True).last.click()
        length = page.evaluate("history.length")
        page.locator("#replay-go").fill("2012-06-01")
        page.locator("#replay-go").press("Enter")
        _until(page, "chart.last.startsWith('2012-06-01')")
        assert page.evaluate("history.length") == length, "a step is no place to go back to"
        page.get_by_role("button", name="Leave").click()
        _until(page, f"chart.last === '{last}'")
        assert problems == []


def test_symbols_are_compared_in_percent(dashboard: Dashboard, browser: Browser) -> None:
    written.write_lake(dashboard.lake, ("AAPL", "IBM"))
    with open_page(browser) as (page, problems):
        page.goto(f"{dashboard.url}/?symbol=AAPL")
        _chart(page)
        page.get_by_role("textbox", name="Symbols to compare with, in percent").click()
        page.get_by_role("option", name="IBM").click()
        page.wait_for_url("**/?symbol=AAPL&with=IBM")
        _until(page, "chart.kind === 'scatter'")
        expect(page.locator("#candles .legendtext").filter(has_text="IBM")).to_contain_text("%")
        assert problems == []


def test_colours_candles_tour_and_pause(dashboard: Dashboard, browser: Browser) -> None:
    written.write_lake(dashboard.lake, ("BTC-USD",), skip_last=2)
    with open_page(browser) as (page, problems):
        page.goto(dashboard.url)
        _chart(page)
        page.get_by_role("button", name="Take the tour").click()
        for number in range(1, 6):
            expect(page.get_by_role("dialog", name="Tour")).to_contain_text(f"{number} of 5")
            if number < 5:
                page.get_by_role("button", name="Next", exact=True).click()
        page.get_by_role("button", name="Close", exact=True).click()
        page.get_by_role("textbox", name="Colours").click()
        page.get_by_role("option", name="Dark").click()
        page.wait_for_function("() => getComputedStyle(document.body).backgroundColor === 'rgb(13, 17, 23)'")
        _chart(page)
        page.get_by_role("textbox", name="Candles").click()
        page.get_by_role("option", name="Blue up").click()
        rising = "document.querySelector('#candles .js-plotly-plot')?.data?.find((one) => one.meta)?.increasing"
        page.wait_for_function(f"() => {rising}?.line.color === '#6cb6ff'")
        expect(page.locator("#tour-offer")).to_be_hidden()
        page.get_by_role("button", name="Pause", exact=True).click()
        expect(page.locator("#status")).to_contain_text("Paused")
        bars = written.bars(("BTC-USD",), 1, 1)
        written.write_bars(dashboard.lake, bars)
        shown = bars["event_time"][0].strftime("%Y-%m-%d")
        page.wait_for_timeout(1_500)
        expect(page.locator("#symbol-facts")).not_to_contain_text(f"Newest bar{shown}")
        page.get_by_role("button", name="Go on").click()
        expect(page.locator("#symbol-facts")).to_contain_text(f"Newest bar{shown}")
        assert problems == []


def test_trades_are_narrowed_by_symbol(dashboard: Dashboard, browser: Browser) -> None:
    written.write_lake(dashboard.lake, ("AAPL", "IBM"))
    written.write_portfolio(dashboard.lake)
    with open_page(browser, accept_downloads=True) as (page, problems):
        page.goto(f"{dashboard.url}/portfolio")
        expect(page.locator("#trades")).to_contain_text("By symbol")
        page.get_by_role("textbox", name="Symbol of the trades").click()
        page.get_by_role("option", name="IBM").click()
        page.wait_for_url("**/portfolio?*symbol=IBM*")
        expect(page.locator("#trades tbody").first).not_to_contain_text("AAPL")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download CSV").click()
        assert all(",IBM," in line for line in download.value.path().read_text().splitlines()[1:])
        assert problems == []
