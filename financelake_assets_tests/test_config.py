"""Settings: defaults, overrides, and what is refused."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from financelake_assets.config import Settings


def test_a_lake_listens_on_this_machine_only_unless_told_otherwise():
    assert Settings().host == "127.0.0.1"


def test_the_offset_moves_every_port():
    plain, moved = Settings(), Settings(port_offset=100)
    for name in ("kafka_bootstrap", "spark_remote", "dagster_url", "dashboard_url"):
        assert getattr(plain, name) != getattr(moved, name)
    assert moved.kafka_bootstrap == "127.0.0.1:9192"


def test_everything_lies_under_the_data_folder(tmp_path: Path):
    settings = Settings(data_dir=tmp_path)
    assert settings.table("silver", "bars") == str(tmp_path / "delta" / "silver" / "bars")
    assert settings.checkpoint("silver") == str(tmp_path / "checkpoints" / "silver")


def test_a_relative_data_folder_is_made_absolute():
    assert Settings(data_dir=Path("somewhere")).data_dir.is_absolute()


def test_the_streams_session_is_named_in_the_url():
    assert ";session_id=" in Settings().streams_remote
    remote = Settings.model_validate({"spark": {"remote": "sc://host:1/;use_ssl=true"}})
    assert remote.streams_remote.startswith("sc://host:1/;use_ssl=true;session_id=")


def test_the_environment_overrides(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FINANCELAKE_SIGNALS__MIN_CONFIDENCE", "0.6")
    assert Settings().signals.min_confidence == 0.6


@pytest.mark.parametrize(
    "wrong",
    [
        {"kafka": {"port": 0}},
        {"kafka": {"heap": "lots"}},
        {"kafka": {"prot": 9092}},
        {"model": {"horizon": 0}},
        {"signals": {"cost_bps": {"stock": 1.0}}},
        {"signals": {"cost_bps": {"stock": -1.0, "crypto": 1.0, "commodity": 1.0}}},
        {"feed": {"provider": "yahoo"}},
        {"alerts": {"stale_seconds": 0}},
    ],
)
def test_nonsense_is_refused(wrong: dict[str, object]):
    with pytest.raises(ValidationError):
        Settings.model_validate(wrong)


def test_settings_cannot_be_changed_afterwards():
    with pytest.raises(ValidationError):
        Settings().host = "0.0.0.0"  # type: ignore[misc] # noqa: S104
