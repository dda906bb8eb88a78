"""``financelake symbols``: a list of symbols that a lake keeps, without a network and without a running lake."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from financelake_assets.bronze.feed_choice import followed_providers
from financelake_assets.bronze.feed_state import FeedState, state_file
from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.bronze.universe import Universe, known_symbols
from financelake_assets.config import Settings, get_settings
from financelake_assets.operations import lake
from financelake_assets.own_process import say
from financelake_assets.providers.base import Instrument
from financelake_assets_tests.cli import main_command
from financelake_assets_tests.cli.main_command import Run


@pytest.fixture
def symbols(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    return lambda *arguments: main_command.run(monkeypatch, "symbols", *arguments)


def listed(symbols: Run, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    capsys.readouterr()
    assert symbols("list", "--json") in (0, None)
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def test_symbols_are_added_listed_and_removed(
    settings: Settings, symbols: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert listed(symbols, capsys) == []
    assert symbols("add", "xbt/usd", "--provider", "kraken", "--live", "--interval", "1h") in (0, None)
    assert "financelake up" in capsys.readouterr().err
    assert symbols("add", "AAPL", "--provider", "yfinance", "--asset-class", "stock", "--start", "2015-01-01") in (
        0,
        None,
    )
    rows = listed(symbols, capsys)
    assert [(row["symbol"], row["provider"], row["interval"], row["live"]) for row in rows] == [
        ("BTC/USD", "kraken", "1h", True),
        ("AAPL", "yfinance", "1d", False),
    ]
    assert rows[1]["start"] == "2015-01-01 00:00:00+00:00"
    assert followed_providers(settings) == ("kraken", "yfinance")
    assert known_symbols(UNIVERSE.ensure(settings)) == {"BTC/USD": "crypto", "AAPL": "stock"}
    assert symbols("remove", "BTCUSD") in (0, None)
    assert [row["symbol"] for row in listed(symbols, capsys)] == ["AAPL"]
    assert symbols("remove", "AAPL") in (0, None)
    assert not settings.universe_path.exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("BTC/USD", "--provider", "nobody"), "no provider 'nobody'"),
        (("ETH/USD", "--provider", "kraken", "--interval", "2m"), "no bars of 2m; it has 1m"),
        (("AAPL", "--provider", "yfinance"), "asset_class: Field required"),
        (("ACME", "--provider", "csv", "--asset-class", "stock"), "no market to follow"),
        (("B TC", "--provider", "kraken"), "is no symbol"),
        (("btcusd", "--provider", "kraken"), "more than once: BTC/USD"),
        (("ETH/USD", "--provider", "kraken", "--asset-class", "stock"), "has nothing but crypto"),
        (("SOL/USD", "--provider", "kraken"), "SOL/USD is a stock in this lake"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    settings: Settings, symbols: Run, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    assert symbols("add", "BTC/USD", "--provider", "kraken") in (0, None)
    Universe(settings, "csv").add([Instrument("SOL/USD", "stock")])
    before = settings.universe_path.read_text()
    assert symbols("add", *arguments) == 1
    assert told in " ".join(capsys.readouterr().err.split())
    assert settings.universe_path.read_text() == before


def test_removing_what_is_not_there_names_what_is(symbols: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert symbols("add", "BTC/USD", "--provider", "kraken") in (0, None)
    assert symbols("remove", "ETH/USD") == 1
    assert "there are BTC/USD" in " ".join(capsys.readouterr().err.split())


def test_a_lake_that_has_played_the_replay_takes_no_real_symbol(
    settings: Settings, symbols: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    say(state_file(settings), FeedState("live", "replay", 7, 9, "2026-01-01T00:00:00+00:00", 1))
    assert symbols("add", "BTC/USD", "--provider", "kraken") == 1
    assert "holds a replay" in " ".join(capsys.readouterr().err.split())
    assert not settings.universe_path.exists()


def test_a_file_that_up_is_given_is_remembered_and_edited_where_it_is(
    settings: Settings,
    symbols: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("symbols:\n  - {symbol: BTC/USD, provider: kraken}  # my own\n")
    monkeypatch.setenv("FINANCELAKE_UNIVERSE_FILE", str(mine))
    get_settings.cache_clear()
    lake._remember_universe(get_settings(), lambda _: None)
    monkeypatch.delenv("FINANCELAKE_UNIVERSE_FILE")
    get_settings.cache_clear()
    assert followed_providers(get_settings()) == ("kraken",)
    assert symbols("add", "ETH/USD", "--provider", "kraken") in (0, None)
    assert "# my own" in mine.read_text()
    assert "ETH/USD" in mine.read_text()
    assert settings.universe_path.is_symlink()
    assert symbols("remove", "ETH/USD") in (0, None)
    assert symbols("remove", "BTC/USD") == 1
    assert "the last symbol" in " ".join(capsys.readouterr().err.split())
    assert mine.exists()


def test_a_file_of_the_lakes_own_is_not_replaced_by_another(
    settings: Settings, symbols: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert symbols("add", "BTC/USD", "--provider", "kraken") in (0, None)
    mine = tmp_path / "mine.yaml"
    mine.write_text("symbols:\n  - {symbol: SOL/USD, provider: kraken}\n")
    monkeypatch.setenv("FINANCELAKE_UNIVERSE_FILE", str(mine))
    get_settings.cache_clear()
    with pytest.raises(Exception, match="has a universe file of its own"):
        lake._remember_universe(get_settings(), lambda _: None)
    assert "BTC/USD" in settings.universe_path.read_text()
    del os.environ["FINANCELAKE_UNIVERSE_FILE"]
