"""``financelake init``: questions at a terminal, options without one, and nothing that is there is lost."""

from __future__ import annotations

import io

import pytest

from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.bronze.universe import known_symbols
from financelake_assets.bronze.universe_file import Entry, read_universe_file
from financelake_assets.config import Settings
from financelake_assets_tests.cli import main_command
from financelake_assets_tests.cli.main_command import Run


class Terminal(io.StringIO):
    """Somebody who types these lines."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def init(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    return lambda *arguments: main_command.run(monkeypatch, "init", *arguments)


def entries(settings: Settings) -> list[tuple[object, ...]]:
    def shown(one: Entry) -> tuple[object, ...]:
        return one.symbol, one.provider, one.asset_class, one.interval, one.live

    return [shown(one) for one in read_universe_file(settings.universe_path)]


def test_answers_make_a_file_of_several_providers(
    settings: Settings, init: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kraken = ["", "btc/usd, XBT/EUR", "5m", "2024-01-01", "", "y"]
    yahoo = ["", "AAPL,GC=F,BTC-USD", "", "", "n", ""]
    monkeypatch.setattr("sys.stdin", Terminal("\n".join([*kraken, *yahoo, "y", ""])))
    assert init() in (0, None)
    assert entries(settings) == [
        ("BTC/USD", "kraken", "crypto", "5m", True),
        ("BTC/EUR", "kraken", "crypto", "5m", True),
        ("AAPL", "yfinance", "stock", "1d", False),
        ("GC=F", "yfinance", "commodity", "1d", False),
        ("BTC-USD", "yfinance", "crypto", "1d", False),
    ]
    assert len(known_symbols(UNIVERSE.ensure(settings))) == 5
    told = capsys.readouterr()
    assert "5 symbols are in" in told.out
    assert "financelake up" in told.err
    assert "for personal use" in told.err


def test_a_no_at_the_end_writes_nothing(settings: Settings, init: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("\n".join(["", "", "", "", "", "n", "n", ""])))
    assert init() == 1
    assert not settings.universe_path.exists()


def test_options_do_without_a_terminal(settings: Settings, init: Run) -> None:
    assert init("BTC/USD", "eth/usd", "--provider", "kraken", "--interval", "1h", "--live") in (0, None)
    assert entries(settings) == [
        ("BTC/USD", "kraken", "crypto", "1h", True),
        ("ETH/USD", "kraken", "crypto", "1h", True),
    ]


def test_a_file_that_is_there_is_replaced_only_when_that_is_said(
    settings: Settings, init: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init("BTC/USD", "--provider", "kraken") in (0, None)
    before = settings.universe_path.read_text()
    assert init("AAPL", "--provider", "yfinance") == 1
    assert "--replace" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", Terminal("\n"))
    assert init("AAPL", "--provider", "yfinance") == 1
    assert settings.universe_path.read_text() == before
    assert init("AAPL", "--provider", "yfinance", "--replace") in (0, None)
    assert entries(settings) == [("AAPL", "yfinance", "stock", "1d", False)]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "no terminal"),
        (("BTC/USD",), "--provider"),
        (("BTC/USD", "--provider", "nobody"), "no provider 'nobody'"),
        (("BTC/USD", "--provider", "kraken", "--interval", "2m"), "has no bars of 2m"),
        (("BTC/USD", "--provider", "csv"), "no market to follow"),
        (("BTC/USD", "--provider", "kraken", "--asset-class", "stock"), "nothing but crypto"),
        (("A B", "--provider", "yfinance"), "is no symbol"),
    ],
)
def test_what_cannot_be_followed_is_refused_and_nothing_is_written(
    settings: Settings, init: Run, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    assert init(*arguments) == 1
    assert told in capsys.readouterr().err
    assert not settings.universe_path.exists()
