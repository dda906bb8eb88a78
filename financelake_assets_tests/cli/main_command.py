"""``financelake`` in the tests' own process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from financelake_assets.cli import app

Run = Callable[..., int | str | None]
"""A command with its arguments; gives its exit code."""


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    """Run a command; its exit code. What it prints goes to the test's own output."""
    monkeypatch.setattr("sys.argv", ["financelake", *arguments])
    try:
        app.main()
    except SystemExit as end:
        return end.code
    return 0
