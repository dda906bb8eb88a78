"""The ten things that people do most on a chart's page, done by the names that they see, in a real Chromium.

FreqUI, TradingView and OpenBB Workspace have all of them in their menus. Each action is done as by somebody who has not
read a manual: only with texts, labels and keys that the page shows. Prints JSON: for each action its clicks and keys,
and the milliseconds from the first of them until the page shows the result, alone on a lake of real packaged history.
Ends with an error if one of them cannot be done.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dashboard import served
from playwright.sync_api import Locator, Page, expect

from financelake_assets_tests.browser import chromium
from financelake_assets_tests.dash_app import written
from financelake_assets_tests.shared_servers import laptop

SYMBOLS = ("AAPL", "IBM", "BTC-USD")


class Hand:
    """Does what a person does, and counts it."""

    def __init__(self, page: Page) -> None:
        self.page, self.steps = page, 0

    def click(self, what: Locator) -> None:
        """One click."""
        self.steps += 1
        what.click()

    def type(self, text: str) -> None:
        """A word counts as one step, and so does a key."""
        self.steps += 1
        if len(text) > 1 and text[0].isupper() and text in ("Enter", "Escape", "ArrowDown"):
            self.page.keyboard.press(text)
        else:
            self.page.keyboard.type(text)

    def drag(self, across: int, down: int, beside: int = 0) -> None:
        """In the middle of the chart, or beside it."""
        self.steps += 1
        box = self.page.locator("#candles .nsewdrag").first.bounding_box()
        assert box is not None  # noqa: S101  # the chart is there
        x, y = box["x"] + box["width"] / 2 + beside, box["y"] + box["height"] / 3
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + across, y + down, steps=5)
        self.page.mouse.up()


def open_a_symbol(hand: Hand) -> None:
    """Click it in the watch list."""
    hand.click(hand.page.locator("#watch").get_by_text("IBM"))
    expect(hand.page.get_by_role("heading", name="IBM")).to_be_visible()


def see_more_time(hand: Hand) -> None:
    """Choose 250 bars."""
    hand.click(hand.page.get_by_text("250", exact=True))
    expect(hand.page.locator("#candles-words")).to_contain_text("250 bars of IBM")


def add_an_indicator(hand: Hand) -> None:
    """Write its name into the field that asks for it."""
    hand.click(hand.page.get_by_placeholder("Indicator, such as EMA 50"))
    hand.type("EMA 50")
    hand.type("Enter")
    expect(hand.page.locator("#candles .legendtext").filter(has_text="EMA 50")).to_be_visible()
    hand.page.keyboard.press("Escape")


def read_a_bar(hand: Hand) -> None:
    """Point at it."""
    hand.steps += 1
    hand.page.locator("#candles .nsewdrag").first.hover(force=True)
    expect(hand.page.locator("#candles .hoverlayer")).to_contain_text("volume")


def draw_a_line(hand: Hand) -> None:
    """Line, then drag."""
    hand.click(hand.page.get_by_role("button", name="Line", exact=True))
    hand.drag(80, 30)
    hand.page.wait_for_function("() => document.querySelector('#candles .js-plotly-plot').layout.shapes?.length > 0")


def measure(hand: Hand) -> None:
    """Measure, then drag."""
    hand.click(hand.page.get_by_role("button", name="Measure"))
    hand.drag(-120, 60, beside=-60)  # a drag that begins on a drawing moves it
    expect(hand.page.locator("#tool-words")).to_contain_text("bars")


def compare(hand: Hand) -> None:
    """Choose another symbol in the field beside."""
    hand.click(hand.page.get_by_placeholder("Compare with"))
    hand.click(hand.page.get_by_role("option", name="AAPL"))
    expect(hand.page.locator("#candles .legendtext").filter(has_text="AAPL")).to_be_visible()
    hand.page.keyboard.press("Escape")


def replay(hand: Hand) -> None:
    """Replay, then one bar on."""
    hand.click(hand.page.get_by_role("button", name="Replay"))
    hand.page.wait_for_url("**/?*replay=*")
    before = hand.page.url
    hand.click(hand.page.get_by_role("button", name="Step"))
    hand.page.wait_for_function("(before) => window.location.href !== before", arg=before)
    hand.page.keyboard.press("r")
    hand.page.wait_for_function("() => !window.location.href.includes('replay=')")


def begin_an_alert(hand: Hand) -> None:
    """Alert me, which opens the form for this symbol."""
    hand.click(hand.page.get_by_role("link", name="Alert me"))
    expect(hand.page.get_by_role("heading", name="Alerts", exact=True)).to_be_visible()


def see_the_trades(hand: Hand) -> None:
    """Portfolio."""
    hand.click(hand.page.get_by_role("link", name="Portfolio"))
    expect(hand.page.locator("#trades")).to_contain_text("By symbol")


ACTIONS: tuple[Callable[[Hand], None], ...] = (
    open_a_symbol,
    see_more_time,
    add_an_indicator,
    read_a_bar,
    draw_a_line,
    measure,
    compare,
    replay,
    begin_an_alert,
    see_the_trades,
)


def main() -> None:
    """Do all of them once and print."""
    with tempfile.TemporaryDirectory(prefix="financelake-actions-") as folder:
        settings = laptop(Path(folder))
        written.write_lake(settings, SYMBOLS)
        written.write_portfolio(settings)
        with served(settings), chromium() as browser:
            page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
            page.goto(settings.dashboard_url)
            page.wait_for_function("() => document.querySelectorAll('#candles .trace').length > 0", timeout=60_000)
            page.get_by_role("button", name="Not now").click()
            found = [timed(action, page) for action in ACTIONS]
    print(json.dumps({"actions": found, "cores": os.cpu_count()}, indent=2))


def timed(action: Callable[[Hand], None], page: Page) -> dict[str, object]:
    """What an action took."""
    hand, began = Hand(page), time.perf_counter()
    action(hand)
    took = round((time.perf_counter() - began) * 1_000)
    return {"action": action.__name__.replace("_", " "), "steps": hand.steps, "milliseconds": took}


if __name__ == "__main__":
    main()
