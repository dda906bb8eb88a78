"""Settings: defaults, overrides, and what is refused."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsError

from financelake_assets.config import Settings
from financelake_assets.explanations import explained


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


def test_a_secret_is_read_from_the_file_named_like_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "FINANCELAKE_KAFKA__PASSWORD").write_text("from a file\n")
    monkeypatch.setenv("FINANCELAKE_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("FINANCELAKE_KAFKA__USERNAME", "lake")
    kafka = Settings().kafka
    assert kafka.password is not None
    assert (kafka.username, kafka.password.get_secret_value()) == ("lake", "from a file")


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "FINANCELAKE_SPARK__TOKEN").write_text("old")
    monkeypatch.setenv("FINANCELAKE_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("FINANCELAKE_SPARK__TOKEN", "new")
    token = Settings().spark.token
    assert token is not None
    assert token.get_secret_value() == "new"


def test_a_folder_of_secrets_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FINANCELAKE_SECRETS_DIR", "/no/such/folder")
    with pytest.raises(SettingsError) as raised:
        Settings()
    assert "FINANCELAKE_SECRETS_DIR" in explained(raised.value)


def test_a_message_about_a_wrong_secret_does_not_show_it():
    with pytest.raises(ValidationError) as raised:
        Settings.model_validate({"dashboard": {"login": "nocolon-topsecret"}})
    said = explained(raised.value)
    assert "FINANCELAKE_DASHBOARD__LOGIN" in said
    assert "topsecret" not in said


def test_what_goes_to_another_process_holds_every_setting_and_no_secret():
    secret = {
        "kafka": {"password": "hidden-1", "admin_password": "hidden-2", "partitions": 7},
        "spark": {"token": "hidden-3", "cluster_secret": "hidden-4"},
        "dagster": {"postgres": "postgresql://hidden-5"},
        "dashboard": {"login": "name:hidden-6789"},
        "alerts": {"urls": ["json://hidden-7"]},
    }
    lake = Settings.model_validate(secret)
    sent = lake.without_secrets()
    assert "hidden" not in sent
    assert "***" not in sent  # a mask would be taken for the secret
    arrived = Settings.model_validate_json(sent)
    assert arrived.kafka.partitions == 7
    assert arrived.signals == lake.signals


def test_the_token_is_in_no_remote_without_one_and_escaped_in_one_with():
    assert "authorization" not in Settings().spark_remote
    lake = Settings.model_validate({"spark": {"remote": "sc://host:1/;use_ssl=true", "token": "a;b=c"}})
    assert lake.spark_remote == "sc://host:1/;use_ssl=true;authorization=Bearer%20a%3Bb%3Dc"


def test_queries_on_demand_must_begin_before_their_work_is_an_alert():
    late = {"streams": {"continuous": False, "start_seconds": 300}}
    with pytest.raises(ValidationError, match=r"must be below alerts\.stale_seconds, 300"):
        Settings.model_validate(late)
    assert Settings.model_validate({"streams": {"start_seconds": 300}}).streams.continuous
