"""A folder of installed plug-ins for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from financelake_assets_tests.plugins.site import Site


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = Site(tmp_path / "site", monkeypatch)
    yield made
    made.restart()
