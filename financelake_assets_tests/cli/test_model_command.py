from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from financelake_assets.cli import model_command
from financelake_assets.config import Settings, get_settings
from financelake_assets_tests.cli.main_command import run


@pytest.fixture
def empty(offline_lake: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FINANCELAKE_DATA_DIR", str(offline_lake.data_dir))
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.mark.usefixtures("empty")
def test_an_empty_registry_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert run(monkeypatch, "model", "list") in (0, None)
    assert "No champion: there are no signals" in capsys.readouterr().err


@pytest.mark.usefixtures("empty")
def test_an_unknown_version_is_refused_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert run(monkeypatch, "model", "rollback", "rf-none") == 1
    said = capsys.readouterr().err
    assert "no model rf-none" in said
    assert "financelake model list" in said


@pytest.mark.parametrize(("age", "says"), [(1, "is the champion"), (91, "every signal is HOLD (model_expired)")])
def test_the_age_of_the_champion_is_said(age: int, says: str):
    trained = (datetime.now(UTC) - timedelta(days=age)).isoformat()
    row = {"model_version": "rf-1", "status": "champion", "trained_at": trained}
    assert says in model_command.state([row], 90)
