"""Addresses that are set up by page or command: owner-only files that are never shown again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from financelake_assets.alerting import address_book, rules_file
from financelake_assets.alerting.address_book import AddressError
from financelake_assets.alerting.addresses import address, send
from financelake_assets.config import SECRETS_DIR, Settings

TELEGRAM = SecretStr("tgram://123456789:abcdefg_hunter2/12315544")


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.delenv(SECRETS_DIR, raising=False)
    return Settings(data_dir=tmp_path / "lake")


@pytest.fixture
def everything_said(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    caplog.set_level(logging.DEBUG)
    yield caplog
    assert "hunter2" not in "\n".join(record.getMessage() for record in caplog.get_records("call"))


def refused(lake: Settings, name: str, to: str) -> str:
    with pytest.raises(AddressError) as error:
        address_book.set_up(lake, name, SecretStr(to))
    assert error.value.remedy
    return f"{error.value}\n{error.value.remedy}"


def test_an_address_is_a_file_that_only_its_owner_reads_and_is_listed_by_kind_and_day(lake: Settings) -> None:
    address_book.set_up(lake, "OPS_TELEGRAM", TELEGRAM)
    file = lake.addresses_dir / "OPS_TELEGRAM"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert address("OPS_TELEGRAM", lake) == TELEGRAM
    (found,) = address_book.listed(lake)
    day = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    assert (found.name, str(found)) == ("OPS_TELEGRAM", f"Telegram, set up {day:%Y-%m-%d}")
    assert "hunter2" not in repr(found)
    address_book.remove(lake, "OPS_TELEGRAM")
    assert address_book.listed(lake) == []
    assert not file.exists()


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("tgrm://hunter2:abc/1", "Did you mean tgram://"),
        ("nonsense://hunter2", "discord://WEBHOOK_ID"),
        ("hunter2hunter2", "begins with its kind"),
        ("tgram://hunter2", "Telegram address.\nWrite it as tgram://BOT_TOKEN/CHAT_ID"),
        ("slack://hunter2", "Slack address"),
        ("mailto://hunter2", "e-mail address"),
        ("https://example.org/hunter2", "does not know its kind"),
        ("  ", "There is no address"),
        ("json://a\njson://hunter2", "one line"),
        ("json://" + "hunter2" * 1000, "one line"),
    ],
)
def test_what_apprise_does_not_understand_is_refused_and_never_told(
    lake: Settings, everything_said: pytest.LogCaptureFixture, to: str, said: str
) -> None:
    text = refused(lake, "OPS", to)
    assert said in text
    assert "hunter2" not in text
    assert not lake.addresses_dir.exists() or address_book.listed(lake) == []


def test_a_file_that_apprise_does_not_understand_is_not_told_when_something_is_sent(
    everything_said: pytest.LogCaptureFixture,
) -> None:
    assert "not an address" in str(send(SecretStr("tgram://hunter2"), "title", "text", "info"))
    logging.getLogger("apprise").error("of others is still said")
    assert "of others is still said" in everything_said.text


def test_the_lakes_own_secrets_are_no_addresses(lake: Settings) -> None:
    lake.addresses_dir.mkdir(mode=0o700, parents=True)
    token = lake.addresses_dir / "FINANCELAKE_WEB_TOKEN"
    token.write_text("json://looks-like-one")
    assert address_book.listed(lake, ["FINANCELAKE_WEB_TOKEN"]) == []
    refused(lake, "FINANCELAKE_WEB_TOKEN", "json://host/path")
    refused(lake, "financelake_web_token", "json://host/path")
    with pytest.raises(AddressError, match="no address"):
        address_book.remove(lake, "FINANCELAKE_WEB_TOKEN")
    assert token.read_text() == "json://looks-like-one"


@given(st.text(max_size=80) | st.from_regex(r"[./A-Za-z0-9_-]{1,70}", fullmatch=True))
def test_a_name_leads_to_no_other_folder_and_to_none_of_the_lakes_own(name: str) -> None:
    if address_book.is_address_name(name):
        assert Path(name).name == name
        assert not name.upper().startswith("FINANCELAKE_")
        assert name.isidentifier()


def test_a_name_that_is_taken_is_replaced_only_where_that_is_asked_for(
    lake: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address_book.set_up(lake, "OPS", TELEGRAM)
    assert "already" in refused(lake, "OPS", "json://host/path")
    address_book.set_up(lake, "OPS", SecretStr("json://host/path"), replace=True)
    assert address("OPS", lake) == SecretStr("json://host/path")
    monkeypatch.setenv("VARIABLE", "json://host/path")
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted" / "MOUNTED").write_text("json://host/path")
    monkeypatch.setenv(SECRETS_DIR, str(tmp_path / "mounted"))
    for name in ("VARIABLE", "MOUNTED"):
        with pytest.raises(AddressError, match="was not set up here"):
            address_book.set_up(lake, name, TELEGRAM, replace=True)
        with pytest.raises(AddressError, match=name):
            address_book.remove(lake, name)
    assert [one.name for one in address_book.listed(lake, ["VARIABLE"])] == ["MOUNTED", "OPS", "VARIABLE"]


def test_an_address_that_a_rule_uses_is_kept(lake: Settings) -> None:
    address_book.set_up(lake, "OPS", TELEGRAM)
    rule = rules_file.checked({"name": "high", "rule": "close crosses 100", "to": "OPS"})
    rules_file.add(lake.rules_path, rule)
    with pytest.raises(AddressError, match="still used by a rule: high") as error:
        address_book.remove(lake, "OPS")
    assert "replace" in error.value.remedy
    rules_file.remove(lake.rules_path, "high")
    address_book.remove(lake, "OPS")
    with pytest.raises(AddressError, match="no address of that name"):
        address_book.remove(lake, "OPS")


def test_a_folder_that_others_can_enter_takes_no_address(lake: Settings, tmp_path: Path) -> None:
    lake.addresses_dir.mkdir(parents=True)
    lake.addresses_dir.chmod(0o755)
    assert "chmod 700" in refused(lake, "OPS", "json://host/path")
    lake.addresses_dir.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    lake.addresses_dir.symlink_to(tmp_path / "elsewhere")
    assert "link" in refused(lake, "OPS", "json://host/path")


def test_a_folder_of_addresses_of_its_own_is_read_beside_that_of_the_secrets(lake: Settings, tmp_path: Path) -> None:
    both = Settings(data_dir=lake.data_dir, alerts={"addresses_dir": tmp_path / "book"})
    address_book.set_up(lake, "OLD", TELEGRAM)
    address_book.set_up(both, "NEW", TELEGRAM)
    assert (tmp_path / "book" / "NEW").is_file()
    assert {one.name: one.removable for one in address_book.listed(both)} == {"NEW": True, "OLD": False}
    (lake.addresses_dir / "folder").mkdir()
    (lake.addresses_dir / "bytes").write_bytes(b"\xff\xfe")
    assert [one.name for one in address_book.listed(lake)] == ["OLD"]
