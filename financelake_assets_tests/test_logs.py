"""What a process prints: one JSON object a line where that is asked for, whoever logs and whatever goes wrong."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import logging
import structlog
from financelake_assets import logs
from financelake_assets.config import Settings
log = structlog.get_logger()  # as modules do, before anything is set up
logs.set_up(Settings(log_format="{format}"))
log.warning("the feed waits", problem="two\\nlines")
logging.getLogger("library").info("of a library: %s", 7)
def divide(secret):
    return 1 / 0
try:
    divide("hunter" + str(2))
except ZeroDivisionError:
    logging.getLogger("page").exception("a request failed")
"""


def said(format_: str) -> str:
    program = [sys.executable, "-c", PROGRAM.replace("{format}", format_)]
    return subprocess.run(program, capture_output=True, text=True, check=True).stderr


def test_every_line_is_an_object_with_its_fields():
    ours, library, failure = (json.loads(line) for line in said("json").splitlines())
    assert (ours["event"], ours["problem"], ours["level"]) == ("the feed waits", "two\nlines", "warning")
    assert (library["event"], library["logger"], library["level"]) == ("of a library: 7", "library", "info")
    assert "ZeroDivisionError" in failure["exception"]
    assert {"timestamp"} <= ours.keys() & library.keys() & failure.keys()


def test_people_get_plain_lines_without_colours():
    text = said("text")
    assert "the feed waits" in text
    assert "of a library: 7" in text
    assert "ZeroDivisionError" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("format_", ["json", "text"])
def test_a_failure_shows_no_values_of_variables(format_: str):
    """They may be a secret, such as the address of an alert."""
    text = said(format_)
    assert "divide" in text
    assert "hunter2" not in text
