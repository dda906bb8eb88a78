"""A lake of their own for commands that run in the tests' process."""

from __future__ import annotations

from pathlib import Path

import pytest

from financelake_assets.config import Settings, get_settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a command in an empty folder: no lake runs there, and none was."""
    monkeypatch.setenv("FINANCELAKE_DATA_DIR", str(tmp_path / "lake"))
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()
    return get_settings()
