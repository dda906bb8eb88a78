"""What a person sees, in a real Chromium over real tables."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from playwright.sync_api import Browser, Page, expect

from financelake_assets.bronze.universe import Universe, describe
from financelake_assets.providers.base import Instrument
from financelake_assets_tests.browser import open_page
from financelake_assets_tests.dash_app import written
from financelake_assets_tests.dash_app.conftest import Dashboard

pytestmark = pytest.mark.browser

_SETTLED = "() => document.querySelectorAll('#candles .trace').length > 0"
_RANGE = "() => document.querySelector('#candles .js-plotly-plot').layout.xaxis.range"
_POINTS = "() => document.querySelector('#candles .js-plotly-plot').data.find(t => t.type === 'candlestick').x.length"

_DRAWN = """() => document.querySelector('#candles .js-plotly-plot').data.map(
  ({x, y, open, high, low, close, text, customdata}) => ({x, y, open, high, low, close, text, customdata}))"""
_DRAWN_TEXT = f"() => JSON.stringify(({_DRAWN})())"


def _settled(page: Page) -> None:
    page.wait_for_function(_SETTLED)


def _next_bars(dashboard: Dashboard, symbol: str, skip_last: int) -> pl.DataFrame:
    """The bar that follows what is written, with gold on it."""
    rows = written.bars((symbol,), skip_last, count=60)
    written.write_bars(dashboard.lake, rows.tail(1))
    scored = written.gold_of(rows).tail(1)
    written.write(dashboard.lake, written.PREDICTIONS, scored)
    written.write(dashboard.lake, written.SIGNALS, scored)
    return rows.tail(1)


def test_shows_candles_signals_forecast_and_the_model_beside_the_naive_forecast(
    dashboard: Dashboard, browser: Browser
) -> None:
    written.write_lake(dashboard.lake)
    with open_page(browser) as (page, problems):
        page.goto(f"{dashboard.url}/?symbol=BTC-USD&bars=250")
        _settled(page)
        expect(page.get_by_role("heading", name="BTC-USD")).to_be_visible()
        expect(page.locator("#candles .boxes path.box").nth(100)).to_be_visible()
        names = page.locator("#candles .legendtext").all_text_contents()
        assert {"BUY", "SELL", "Predicted next close"} <= set(names)
        assert page.locator("#candles .textpoint").filter(has_text="BUY").count() > 0
        expect(page.locator("#model-card")).to_contain_text("was not evaluated on BTC-USD")
        page.goto(f"{dashboard.url}/?symbol=AAPL")
        expect(page.locator("#model-card")).to_contain_text("naive 0.9955")
        expect(page.locator("#symbol-facts")).to_contain_text("Predicted next close")
        expect(page.locator("#banner")).to_contain_text("replay")
        for symbol in written.SYMBOLS:
            expect(page.locator("#watch").get_by_text(symbol, exact=True)).to_be_visible()
        assert problems == []


def test_new_data_arrive_without_a_reload_and_keep_zoom_and_selection(dashboard: Dashboard, browser: Browser) -> None:
    written.write_lake(dashboard.lake, ("AAPL", "BTC-USD"), skip_last=3)
    with open_page(browser) as (page, problems):
        page.goto(f"{dashboard.url}/?symbol=BTC-USD&bars=1000")
        _settled(page)
        page.evaluate("window.sameDocument = true")
        plot = "document.querySelector('#candles .js-plotly-plot')"
        page.evaluate(f"Plotly.relayout({plot}, {{'xaxis.range': ['2025-08-01', '2025-08-20']}})")
        before, points = page.evaluate(_RANGE), page.evaluate(_POINTS)
        row = _next_bars(dashboard, "BTC-USD", skip_last=2)
        shown = row["event_time"][0].strftime("%Y-%m-%d")
        expect(page.locator("#symbol-facts")).to_contain_text(shown)
        page.wait_for_function(f"() => ({_POINTS})() === {points + 1}")
        assert page.evaluate(_RANGE) == before
        assert page.evaluate("window.sameDocument") is True
        expect(page.locator("#watch .ag-row-selected")).to_contain_text("BTC-USD")
        expect(page.locator("#status")).to_contain_text("Live")
        assert problems == []


def test_a_chart_that_moved_on_bar_by_bar_is_the_one_that_a_page_opened_now_shows(
    dashboard: Dashboard, browser: Browser
) -> None:
    written.write_lake(dashboard.lake, ("BTC-USD",), skip_last=10)
    address = f"{dashboard.url}/?symbol=BTC-USD&bars=250"
    with open_page(browser) as (page, problems), open_page(browser) as (fresh, _):
        page.goto(address)
        _settled(page)
        first = page.evaluate(_DRAWN)
        for skip_last in range(9, 3, -1):
            row = _next_bars(dashboard, "BTC-USD", skip_last)
            shown = row["event_time"][0].strftime("%Y-%m-%d")
            expect(page.locator("#symbol-facts")).to_contain_text(shown)
        fresh.goto(address)
        _settled(fresh)
        assert len(fresh.evaluate(_DRAWN)[2]["x"]) == 250
        page.wait_for_function(f"(all) => JSON.stringify(({_DRAWN})()) === all", arg=fresh.evaluate(_DRAWN_TEXT))
        assert page.evaluate(_DRAWN) != first
        assert problems == []


def test_a_visitor_chooses_time_zone_and_numbers_and_the_browser_keeps_them(
    dashboard: Dashboard, browser: Browser
) -> None:
    written.write_lake(dashboard.lake, ("AAPL", "BTC-USD", "WTI"))
    rows = f"{pl.read_delta(written.BARS.path(dashboard.lake)).height:,}"
    assert "," in rows
    with open_page(browser) as (page, problems):
        page.goto(f"{dashboard.url}/lake")
        expect(page.locator("#lake-page")).to_contain_text("Newest (UTC)")
        expect(page.locator("#lake-page")).to_contain_text(rows)
        page.get_by_role("textbox", name="Times in").fill("Kolkata")
        page.get_by_role("option", name="Asia/Kolkata").click()
        expect(page.locator("#lake-page")).to_contain_text("Newest (Asia/Kolkata)")
        page.get_by_role("textbox", name="Numbers as").click()
        page.get_by_role("option", name="1.234,56").click()
        # only the page that was asked for again says this: another view before it would race with its arrival
        expect(page.locator("#lake-page")).to_contain_text(rows.replace(",", "."))
        page.goto(f"{dashboard.url}/signals")
        expect(page.locator("#signals")).to_contain_text("Given (Asia/Kolkata), bar")
        assert problems == []


_HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_page_that_nobody_looks_at_asks_for_nothing_until_somebody_does(
    dashboard: Dashboard, browser: Browser
) -> None:
    written.write_lake(dashboard.lake, ("BTC-USD",), skip_last=2)
    with open_page(browser) as (page, problems):
        page.goto(f"{dashboard.url}/?symbol=BTC-USD")
        _settled(page)
        page.evaluate(_HIDE, True)
        page.wait_for_timeout(1_000)  # what was under way arrives
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        shown = _next_bars(dashboard, "BTC-USD", 1)["event_time"][0].strftime("%Y-%m-%d")
        page.wait_for_timeout(2_000)
        assert asked == []
        page.evaluate(_HIDE, False)
        expect(page.locator("#symbol-facts")).to_contain_text(shown)
        assert problems == []


_SLOW_ANSWERS = """
const plain = window.fetch;
window.fetch = async (...all) => {
  const answer = await plain(...all);
  const update = String(all[0]?.url || all[0]).includes("_dash-update-component");
  if (update) await new Promise((done) => setTimeout(done, 700));
  return answer;
};
"""
_HEAD_AND_LIST_MOVED = """(first) => {
  const [head, row] = [".last", "#watch .num"].map((one) => document.querySelector(one)?.textContent);
  return head !== first && head === row;
}"""


def test_where_answers_take_longer_than_news_head_and_list_still_move(dashboard: Dashboard, browser: Browser) -> None:
    written.write_lake(dashboard.lake, ("BTC-USD",), skip_last=300)
    stopped = threading.Event()

    def news() -> None:
        for skip_last in range(299, 0, -1):
            written.write_bars(dashboard.lake, written.bars(("BTC-USD",), skip_last, count=1))
            if stopped.wait(0.2):
                return

    with open_page(browser) as (page, problems):
        page.add_init_script(_SLOW_ANSWERS)
        page.goto(f"{dashboard.url}/?symbol=BTC-USD")
        _settled(page)
        first = page.locator(".last").text_content()
        thread = threading.Thread(target=news)
        thread.start()
        try:
            page.wait_for_function(_HEAD_AND_LIST_MOVED, arg=first)
            assert thread.is_alive()
        finally:
            stopped.set()
            thread.join()
        assert problems == []


def test_a_click_in_the_watch_list_is_in_the_address_and_can_be_gone_back(
    dashboard: Dashboard, browser: Browser
) -> None:
    written.write_lake(dashboard.lake, ("AAPL", "BTC-USD"))
    with open_page(browser) as (page, problems):
        page.goto(dashboard.url)
        expect(page.get_by_role("heading", name="AAPL")).to_be_visible()
        page.locator("#watch").get_by_text("BTC-USD").click()
        expect(page.get_by_role("heading", name="BTC-USD")).to_be_visible()
        page.wait_for_url("**/?symbol=BTC-USD")
        page.get_by_text("60", exact=True).click()
        page.wait_for_url("**/?symbol=BTC-USD&bars=60")
        page.reload()
        expect(page.locator("#candles-words")).to_contain_text("60 bars of BTC-USD")
        page.go_back()
        expect(page.locator("#candles-words")).to_contain_text("120 bars of BTC-USD")
        page.go_back()
        expect(page.get_by_role("heading", name="AAPL")).to_be_visible()
        assert problems == []


def test_the_keyboard_reaches_and_chooses_a_symbol(dashboard: Dashboard, browser: Browser) -> None:
    written.write_lake(dashboard.lake, ("AAPL", "BTC-USD"))
    with open_page(browser) as (page, _):
        page.goto(dashboard.url)
        _settled(page)
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.get_by_role("textbox", name="Symbol", exact=True).focus()
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type("btc")
        expect(page.get_by_role("option", name="BTC-USD")).to_be_visible()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="BTC-USD")).to_be_visible()
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("k")
        expect(page.get_by_role("heading", name="AAPL")).to_be_visible()
        page.keyboard.press("f")
        page.keyboard.type("symbol is BTC-USD and close > 0")
        page.keyboard.press("Enter")
        expect(page.locator("#screen-words")).to_contain_text("1 of 2 match.")
        expect(page.locator("#watch .num")).to_have_count(1)
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type("closed > 0")
        page.keyboard.press("Enter")
        expect(page.locator(".watch")).to_contain_text("Did you mean close?")
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_hidden()
        page.keyboard.press("2")
        page.wait_for_url("**/signals")


def test_an_empty_lake_says_what_it_waits_for_and_fills_by_itself(dashboard: Dashboard, browser: Browser) -> None:
    with open_page(browser) as (page, problems):
        page.goto(dashboard.url)
        expect(page.locator("#symbol-notice")).to_contain_text("No bars yet")
        expect(page.locator("#status")).to_contain_text("Waiting for the first bars")
        rows = written.bars(("AAPL",), skip_last=5)
        written.write_bars(dashboard.lake, rows)
        _settled(page)
        expect(page.locator("#model-card")).to_contain_text("339 of 500 labelled bars")
        expect(page.locator("#symbol-head")).to_contain_text("no signal yet")
        written.write_model(dashboard.lake)
        written.write_gold(dashboard.lake, rows)
        expect(page.locator("#model-card")).to_contain_text("naive 0.9955")
        assert problems == []


def test_old_data_are_called_stale_and_a_server_that_is_gone_disconnected(
    dashboard: Dashboard, browser: Browser
) -> None:
    written.write_bars(dashboard.lake, written.bars(("AAPL",)), at=datetime.now(UTC) - timedelta(minutes=5))
    with open_page(browser) as (page, _):
        page.goto(dashboard.url)
        expect(page.locator("#status")).to_contain_text("Stale · newest bar 5 min ago")
        _settled(page)
        page.route("**/pulse", lambda route: route.abort())
        expect(page.locator("#status")).to_contain_text("Disconnected")
        page.unroute("**/pulse")
        expect(page.locator("#status")).to_contain_text("Stale")


def test_words_of_the_data_are_never_markup(dashboard: Dashboard, browser: Browser) -> None:
    rows = written.bars(("AAPL",)).with_columns(
        pl.lit("<img src=x onerror=alert(1)>").alias("symbol"), pl.lit("<b>stock</b>").alias("asset_class")
    )
    written.write_bars(dashboard.lake, rows)
    with open_page(browser) as (page, problems):
        page.goto(dashboard.url)
        expect(page.get_by_role("heading", name="<img src=x onerror=alert(1)>")).to_be_visible()
        assert page.locator("img").count() == 0
        assert problems == []


def test_the_feed_of_signals_narrows_downloads_and_leads_to_the_chart(dashboard: Dashboard, browser: Browser) -> None:
    written.write_lake(dashboard.lake, ("AAPL", "BTC-USD"))
    with open_page(browser, accept_downloads=True) as (page, problems):
        page.goto(f"{dashboard.url}/signals")
        expect(page.locator("#signals .chip").first).to_be_visible()
        page.get_by_text("BUY", exact=True).first.click()
        page.wait_for_url("**/signals?signal=BUY")
        expect(page.locator("#signals .chip.hold")).to_have_count(0)
        with page.expect_download() as download:
            page.get_by_role("link", name="Download CSV").click()
        lines = download.value.path().read_text().splitlines()
        assert len(lines) > 1
        assert all(",BUY," in line for line in lines[1:])
        page.locator("#signals .chip.buy").first.click()
        page.wait_for_url("**/?symbol=*&bar=*")
        _settled(page)
        expect(page.locator("#why .chip.buy")).to_be_visible()
        expect(page.locator("#why")).to_contain_text("Bars it used")
        expect(page.locator("#candles .shapelayer path").first).to_be_attached()
        before = page.url
        box = page.locator("#candles .nsewdrag").first.bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2)
        page.wait_for_function("(before) => location.href !== before && location.search.includes('bar=')", arg=before)
        assert problems == []


def test_what_a_link_asks_for_is_shown_and_stays_in_the_address(dashboard: Dashboard, browser: Browser) -> None:
    written.write_lake(dashboard.lake, ("AAPL", "BTC-USD"))
    with open_page(browser) as (page, problems):
        page.goto(f"{dashboard.url}/?symbol=BTC-USD&class=crypto&show=sma_50-rsi&bars=250")
        _settled(page)
        expect(page.locator("#candles .legendtext").filter(has_text="RSI 14")).to_be_visible()
        expect(page.locator("#watch .num")).to_have_count(1)
        field = page.get_by_role("textbox", name="Indicators")
        field.fill("bollinger 20 2.5")
        field.press("Enter")
        page.wait_for_url("**/?symbol=BTC-USD&bars=250&class=crypto&show=sma_50-rsi_14-bands_20_2.5")
        expect(page.locator("#candles .legendtext").filter(has_text="Bollinger 20 2.5 upper")).to_be_visible()
        field.fill("macdd")
        field.press("Enter")
        expect(page.locator(".controls")).to_contain_text("Did you mean macd?")
        field.press("Backspace")
        expect(page.locator(".controls")).not_to_contain_text("Did you mean")
        page.keyboard.press("Escape")  # the list of indicators lies over the chart
        # the crosshair runs through all panes, and the values of all are told together
        page.locator("#candles .nsewdrag").first.hover(force=True)
        expect(page.locator("#candles .hoverlayer")).to_contain_text("RSI 14")
        expect(page.locator("#candles .hoverlayer")).to_contain_text("volume")
        page.get_by_text("Stock", exact=True).first.click()
        page.wait_for_url("**/?symbol=BTC-USD&bars=250&class=stock&show=sma_50-rsi_14-bands_20_2.5")
        expect(page.locator("#watch").get_by_text("AAPL")).to_be_visible()
        page.goto(f"{dashboard.url}/signals?signal=BUY")
        expect(page.locator("#signals .chip.buy").first).to_be_visible()
        expect(page.locator("#signals .chip.hold")).to_have_count(0)
        assert page.url.endswith("/signals?signal=BUY")
        assert problems == []


def test_an_account_of_the_portfolio_is_chosen_shared_and_moves_by_itself(
    dashboard: Dashboard, browser: Browser
) -> None:
    written.write_lake(dashboard.lake, ("AAPL", "IBM", "BTC-USD"), skip_last=5)
    Universe(dashboard.lake, "csv").add([Instrument("AAPL", "stock")])
    describe(dashboard.lake, pl.DataFrame({"symbol": ["AAPL"], "calendar": ["XETR"], "currency": ["EUR"]}))
    with open_page(browser) as (page, problems):
        page.goto(f"{dashboard.url}/portfolio")
        expect(page.locator("#portfolio-notice")).to_contain_text("first step")
        written.write_portfolio(dashboard.lake)
        expect(page.locator("#portfolio-words")).to_contain_text("Stock 1d")
        page.get_by_text("Crypto 1d", exact=True).click()
        page.wait_for_url("**/portfolio?class=crypto&interval=1d")
        expect(page.locator("#portfolio-words")).to_contain_text("Crypto 1d")
        before = page.locator("#equity-words").text_content() or ""
        _next_bars(dashboard, "BTC-USD", skip_last=4)
        written.write_portfolio(dashboard.lake)
        expect(page.locator("#equity-words")).not_to_have_text(before)
        page.reload()
        expect(page.locator("#portfolio-words")).to_contain_text("Crypto 1d")
        page.go_back()
        expect(page.locator("#portfolio-words")).to_contain_text("Stock 1d EUR")
        page.get_by_text("Stock 1d", exact=True).click()
        page.wait_for_url("**/portfolio?class=stock&interval=1d")
        expect(page.locator("#portfolio-words")).to_contain_text("Stock 1d signals")
        page.get_by_text("Stock 1d EUR", exact=True).click()
        page.wait_for_url("**/portfolio?class=stock&interval=1d&currency=EUR")
        expect(page.locator("#portfolio-words")).to_contain_text("Stock 1d EUR")
        assert problems == []
