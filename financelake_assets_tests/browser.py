"""A real Chromium for the tests, and a page that remembers everything that went wrong in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

expect.set_options(timeout=60_000)  # how long a busy machine may take to show what is expected

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = ["--no-sandbox", "--disable-background-networking"]
_HOW = (
    "no Chromium on this machine. On Debian or Ubuntu: `apt-get install chromium`; elsewhere: "
    "`uv run playwright install chromium`; or set CHROMIUM to the path of one"
)


def chromium_path() -> str | None:
    """Where Chromium is, by CHROMIUM, the PATH, then Playwright's own download."""
    named = os.environ.get("CHROMIUM")
    if named:
        return named
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found:
        return found
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium. Without one the test is skipped, in CI it fails: there nothing is skipped."""
    path = chromium_path()
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(_HOW)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(
    browser: Browser, *, width: int = 1440, height: int = 900, scheme: Literal["light", "dark"] = "light", **more: Any
) -> Iterator[tuple[Page, list[str]]]:
    """A page of its own, and the list of what goes wrong in it: errors, warnings, failed and foreign requests."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, **more)
    context.set_default_timeout(60_000)
    page = context.new_page()
    problems: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            problems.append(f"{message.type}: {message.text}")

    def asked(request: Request) -> None:
        if not request.url.startswith(("http://127.0.0.1", "http://localhost", "data:", "blob:")):
            problems.append(f"asked a foreign host: {request.url}")

    page.on("console", heard)
    page.on("pageerror", lambda error: problems.append(f"uncaught: {error}"))
    page.on("request", asked)
    try:
        yield page, problems
    finally:
        context.close()


_AT_REST = """() => {
  const count = document.getElementsByTagName('*').length, now = performance.now();
  if (window.elementsBefore !== count) Object.assign(window, {elementsBefore: count, sameSince: now});
  return now - window.sameSince > 500;
}"""


def at_rest(page: Page) -> None:
    """Wait until nothing has been added or taken away for half a second: not while grid and charts are drawn."""
    page.wait_for_function(_AT_REST)
