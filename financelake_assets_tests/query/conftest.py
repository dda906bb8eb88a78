"""Small lakes to ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from financelake_assets.config import Settings
from financelake_assets_tests.query.rows import add


@pytest.fixture
def asked_lake(tmp_path: Path) -> Settings:
    """Three commits of one signal each, on the days 0, 1 and 2."""
    settings = Settings(data_dir=tmp_path / "lake")
    for day in range(3):
        add(settings, day)
    return settings
