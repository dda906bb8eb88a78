"""A lake with empty topics on the run's broker; no Spark is started for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from financelake_assets.bronze.topics import delete_topics, ensure_topics
from financelake_assets.config import Settings


@pytest.fixture
def bronze_lake(tmp_path: Path, broker: str) -> Settings:
    settings = Settings.model_validate({"data_dir": tmp_path / "lake", "kafka": {"bootstrap": broker}})
    delete_topics(settings)
    ensure_topics(settings)
    return settings
