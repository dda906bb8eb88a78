"""Quarantine: counted, shown to the byte, and sent through bronze again exactly once."""

from __future__ import annotations

import json
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from financelake_assets.bronze.topics import watermarks
from financelake_assets.cli import app as cli
from financelake_assets.config import Settings, get_settings
from financelake_assets.silver import quarantine, replays
from financelake_assets.silver.backfill import backfill
from financelake_assets.silver.committing import write_cleaned
from financelake_assets.silver.ledger import read_ledger
from financelake_assets.silver.quarantine import Place
from financelake_assets.silver.repairs import Repair, RepairError, topic_and_key
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets_tests.silver import kafka
from financelake_assets_tests.silver.messages import IDS, START, cleaned, message

GARBAGE = b"\xff\x00{"


@pytest.fixture
def refused(offline_lake: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A lake whose quarantine holds three messages."""
    bad = [
        message(0, reason="invalid_utf8", raw=GARBAGE, key=b"BTC-USD"),
        message(1, reason="missing_price", raw=b'{"symbol":"BTC-USD"}', ingested_at=START + timedelta(seconds=9)),
        message(2, reason="missing_price", raw=b'{"symbol":"ETH-USD"}'),
    ]
    write_cleaned(OpenTables(offline_lake), cleaned(bad), IDS)
    monkeypatch.setenv("FINANCELAKE_DATA_DIR", str(offline_lake.data_dir))
    get_settings.cache_clear()
    yield offline_lake
    get_settings.cache_clear()


def run(*arguments: str) -> str:
    result = CliRunner().invoke(cli.app, ["quarantine", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_counts_by_reason(refused: Settings):
    found = json.loads(run("list", "--json"))
    assert [(row["reason"], row["messages"], row["replayed"]) for row in found] == [
        ("missing_price", 2, 0),
        ("invalid_utf8", 1, 0),
    ]
    assert found[0]["means"] == "close is absent"


def test_the_messages_of_a_reason_with_their_places(refused: Settings):
    found = json.loads(run("list", "--reason", "missing_price", "--json"))
    assert [row["place"] for row in found] == ["bronze.crypto/0/1", "bronze.crypto/0/2"]


def test_an_unknown_reason_is_wrong_usage_that_names_the_reasons(refused: Settings):
    result = CliRunner().invoke(cli.app, ["quarantine", "list", "--reason", "bad_hair"])
    assert result.exit_code == 2
    assert "missing_price" in result.output


def test_show_writes_the_bytes_as_they_came(refused: Settings):
    result = CliRunner().invoke(cli.app, ["quarantine", "show", "bronze.crypto/0/0"])
    assert result.stdout_bytes == GARBAGE
    assert "invalid_utf8" in result.stderr


@pytest.mark.parametrize("text", ["bronze.stock", "bronze.stock/0", "bronze.stock/x/1", "bronze.stock/0/-1", "/0/1"])
def test_what_is_no_place_is_refused(text: str):
    with pytest.raises(RepairError, match="not a place"):
        Place.parse(text)


def test_a_place_that_is_not_in_quarantine_is_refused(refused: Settings):
    with pytest.raises(RepairError, match=r"bronze\.crypto/0/77 is not in quarantine"):
        quarantine.at(refused, [Place("bronze.crypto", 0, 1), Place("bronze.crypto", 0, 77)])


def test_a_dry_run_shows_the_repaired_message(refused: Settings):
    (found,) = json.loads(
        run("replay", "bronze.crypto/0/1", "--set", "close=5.5", "--set", "note=a b", "--dry-run", "--json")
    )
    assert json.loads(found["sends"]) == {"symbol": "BTC-USD", "close": 5.5, "note": "a b"}


@given(st.dictionaries(st.text(), st.text() | st.integers()), st.dictionaries(st.text(), st.integers(), max_size=3))
def test_a_repair_sets_its_fields_and_keeps_the_others(value: dict[str, object], fields: dict[str, object]):
    mended = json.loads(Repair(fields).mend(json.dumps(value).encode()))
    assert mended == {**value, **fields}


@given(st.binary())
def test_without_changes_the_bytes_stay(raw: bytes):
    assert Repair().mend(raw) == raw


@pytest.mark.parametrize("raw", [None, b"[]", b"{", b"\xff", b"1"])
def test_what_is_no_object_has_no_fields_to_set(raw: bytes | None):
    with pytest.raises(RepairError, match="--file"):
        Repair({"close": 1}).mend(raw)


def test_a_repaired_message_goes_where_its_own_fields_say():
    value = b'{"symbol":" ibm ","asset_class":"stock"}'
    assert topic_and_key(value, "bronze.crypto", b"X") == ("bronze.stock", b"IBM")
    assert topic_and_key(b"{", "bronze.crypto", b"X") == ("bronze.crypto", b"X")
    assert topic_and_key(b'{"symbol":7}', "bronze.crypto", None) == ("bronze.crypto", b"")


@pytest.mark.integration
def test_a_repaired_message_becomes_a_bar_and_is_sent_once_whatever_is_killed(
    lake: Settings, spark: object, monkeypatch: pytest.MonkeyPatch
):
    kafka.add_universe(lake)
    no_price = b'{"symbol":"IBM","interval":"1d","event_time":"2024-01-01"}'
    kafka.produce(lake, [kafka.garbage("IBM", no_price), kafka.garbage("IBM", b"{")])
    backfill(spark, lake)
    messages = quarantine.rows(lake, "missing_price")
    assert messages["raw"].to_list() == [no_price]

    # killed between the acknowledgement and the note of it
    with monkeypatch.context() as patch:
        patch.setattr(replays, "_confirm", _killed)
        with pytest.raises(KeyboardInterrupt):
            replays.replay(lake, messages, Repair({"close": 7.5}))
    on_topics = _messages(lake)
    done = replays.replay(lake, messages, Repair({"close": 7.5}))
    assert (done.sent, len(done.before)) == ({}, 1)
    # killed before it: nothing is on the topic, so it is sent now
    other = quarantine.rows(lake, "not_json")
    with monkeypatch.context() as patch:
        patch.setattr(replays, "_publish", _killed)
        with pytest.raises(KeyboardInterrupt):
            replays.replay(lake, other, Repair())
    assert _messages(lake) == on_topics
    assert len(replays.replay(lake, other, Repair(bytes_instead=no_price)).sent) == 1
    assert replays.replay(lake, other, Repair()).sent == {}

    backfill(spark, lake)
    assert pl.read_delta(BARS.path(lake))["close"].to_list() == [7.5]
    assert _messages(lake) == 4
    ledger = read_ledger(lake, patience_seconds=0)
    assert (ledger.silver, ledger.quarantine) == (1, 3)
    assert sorted(quarantine.counts(lake)["replayed"].to_list()) == [1, 1]


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def _messages(lake: Settings) -> int:
    return sum(high for of in watermarks(lake).values() for _, high in of.values())
