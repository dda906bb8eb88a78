from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.bronze.universe import Universe, calendars, known_symbols
from financelake_assets.bronze.universe_file import UniverseFileError, read_universe_file, remember, requests
from financelake_assets.config import Settings
from financelake_assets.providers.base import Instrument
from financelake_assets.providers.request import IngestRequest

GOOD = """\
defaults: {provider: yfinance, interval: 1d}
symbols:
  - {symbol: aapl, asset_class: stock}
  - symbol: VOD.L
    asset_class: stock
    calendar: XLON
    currency: GBP
  - {symbol: BTC-USD, asset_class: crypto, interval: 1h}
  - {symbol: WTI, asset_class: commodity, provider: replay}
"""


def _file(folder: Path, text: str) -> Path:
    file = folder / "universe.yaml"
    file.write_text(text)
    return file


def test_entries_take_defaults(tmp_path: Path) -> None:
    entries = read_universe_file(_file(tmp_path, GOOD))
    assert [(one.symbol, one.calendar, one.currency, one.provider, one.interval) for one in entries] == [
        ("AAPL", "", "USD", "yfinance", "1d"),
        ("VOD.L", "XLON", "GBP", "yfinance", "1d"),
        ("BTC-USD", "", "USD", "yfinance", "1h"),
        ("WTI", "", "USD", "replay", "1d"),
    ]


def test_symbols_are_asked_for_together_where_they_can_be(tmp_path: Path) -> None:
    entries = read_universe_file(_file(tmp_path, GOOD))
    history = [
        {"provider": "replay", "interval": "1d", "asset_class": "commodity", "symbols": ("WTI",)},
        {"provider": "yfinance", "interval": "1d", "asset_class": "stock", "symbols": ("AAPL",)},
        {"provider": "yfinance", "interval": "1d", "asset_class": "stock", "symbols": ("VOD.L",), "calendar": "XLON"},
        {"provider": "yfinance", "interval": "1h", "asset_class": "crypto", "symbols": ("BTC-USD",)},
    ]
    assert requests(entries, None, live=False) == history
    assert requests(entries, "bloomberg", live=True) == []
    live = {"provider": "yfinance", "interval": "tick", "symbols": ("AAPL", "VOD.L", "BTC-USD"), "live": True}
    assert requests(entries, "yfinance", live=True) == [*history[1:], live]
    with pytest.raises(UniverseFileError, match="choose with --provider"):
        requests(entries, None, live=True)
    for fields in (*history, live):
        IngestRequest.model_validate(fields)


def test_its_symbols_are_made_known_to_the_lake(tmp_path: Path) -> None:
    lake = Settings(data_dir=tmp_path / "lake")
    entries = read_universe_file(_file(tmp_path, GOOD))
    remember(lake, entries)
    assert known_symbols(UNIVERSE.ensure(lake)) == {
        "AAPL": "stock",
        "VOD.L": "stock",
        "BTC-USD": "crypto",
        "WTI": "commodity",
    }
    universe = pl.read_delta(UNIVERSE.path(lake))
    assert {symbol: calendar.name for symbol, calendar in calendars(universe).items()} == {
        "AAPL": "XNYS",
        "VOD.L": "XLON",
        "BTC-USD": "24/7",
        "WTI": "CMES",
    }
    assert dict(universe.select("symbol", "currency").iter_rows())["VOD.L"] == "GBP"


def test_saying_it_again_writes_nothing_and_saying_something_else_changes_it(tmp_path: Path) -> None:
    lake = Settings(data_dir=tmp_path / "lake")
    entries = read_universe_file(_file(tmp_path, GOOD))
    remember(lake, entries)
    version = UNIVERSE.ensure(lake).version()
    remember(lake, entries)
    assert UNIVERSE.ensure(lake).version() == version
    remember(lake, read_universe_file(_file(tmp_path, GOOD.replace("XLON", "XETR"))))
    assert calendars(pl.read_delta(UNIVERSE.path(lake)))["VOD.L"].name == "XETR"


def test_symbols_of_a_lake_that_knew_no_calendars_have_that_of_their_class(tmp_path: Path) -> None:
    lake = Settings(data_dir=tmp_path / "lake")
    older = {"symbol": ["GC=F"], "asset_class": ["commodity"], "provider": ["replay"]}
    pl.DataFrame(older).with_columns(added_at=pl.lit(datetime(2026, 1, 1, tzinfo=UTC))).write_delta(UNIVERSE.path(lake))
    Universe(lake, "csv").add([Instrument("AAPL", "stock")])
    found = calendars(pl.read_delta(UNIVERSE.path(lake)))
    assert {symbol: calendar.name for symbol, calendar in found.items()} == {"GC=F": "CMES", "AAPL": "XNYS"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD.replace("XLON", "XLOND"), r"line 6, calendar: .*no calendar 'XLOND'"),
        (GOOD.replace("GBP", "pounds"), r"line 7, currency: "),
        (GOOD.replace("crypto", "coin"), r"line 8, asset_class: Input should be 'stock', 'crypto' or 'commodity'"),
        (GOOD.replace("VOD.L", "VOD L"), r"line 4, symbol: .*'VOD L' is no symbol"),
        (GOOD.replace("    currency", "    curency"), r"line 7, curency: Extra inputs are not permitted"),
        (GOOD.replace(", asset_class: commodity", ""), r"line 9, asset_class: Field required"),
        (
            GOOD.replace("provider: replay", "provider: bloomberg"),
            r"line 9, provider: .*there are binance, coinbase, csv, kraken",
        ),
        (GOOD.replace("VOD.L", "AAPL"), r"line 3, symbols: .*more than once: AAPL"),
        (GOOD.replace("interval: 1h", "interval: fortnight"), r"line 8, interval: "),
        ("symbols: []", r"line 1, symbols: List should have at least 1 item"),
        ("universe: [AAPL]", r"line 1, universe: Extra inputs"),
        ("symbols: [AAPL]", r"line 1, symbols: Input should be a valid dictionary"),
        ("- AAPL", "has no list `symbols:`"),
        ("symbols: [", r"is not YAML: .*line 1, column 11"),
    ],
)
def test_what_is_wrong_is_named_with_line_and_field(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UniverseFileError, match=told):
        read_universe_file(_file(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UniverseFileError, match=r"none.yaml cannot be read: No such file"):
        read_universe_file(tmp_path / "none.yaml")


def test_the_setting_is_made_absolute() -> None:
    found = Settings(universe_file=Path("universe.yaml")).universe_file
    assert found is not None
    assert found.is_absolute()


@pytest.mark.parametrize("written", ["GBX", "GBp"])
def test_pence_are_not_pounds(tmp_path: Path, written: str) -> None:
    text = f"symbols:\n  - {{symbol: VOD.L, asset_class: stock, calendar: XLON, currency: {written}}}\n"
    (entry,) = read_universe_file(_file(tmp_path, text))
    assert entry.currency == "GBX"


def test_symbols_of_india_are_taken_and_a_class_that_no_lake_has_is_named(tmp_path: Path) -> None:
    good = '  - {symbol: "M&M.NS", asset_class: stock, calendar: XBOM, currency: INR}\n'
    (entry,) = read_universe_file(_file(tmp_path, f"symbols:\n{good}"))
    assert (entry.symbol, entry.calendar, entry.currency) == ("M&M.NS", "XBOM", "INR")
    with pytest.raises(UniverseFileError, match=r"line 3.*asset_class.*'stock', 'crypto' or 'commodity'"):
        read_universe_file(_file(tmp_path, f"symbols:\n{good}  - {{symbol: EURUSD=X, asset_class: forex}}\n"))


def test_a_pair_of_an_exchange_has_one_name_and_needs_no_class(tmp_path: Path) -> None:
    text = """\
defaults: {provider: kraken, live: true, start: 2024-01-01}
symbols:
  - {symbol: xbt/usd}
  - {symbol: ETHUSDT, interval: 1h, start: "2025-06-01T12:00:00+02:00"}
  - {symbol: BTC_EUR, provider: coinbase, live: false}
"""
    entries = read_universe_file(_file(tmp_path, text))
    assert [(one.symbol, one.asset_class, one.currency, one.live) for one in entries] == [
        ("BTC/USD", "crypto", "USD", True),
        ("ETH/USDT", "crypto", "USDT", True),
        ("BTC-EUR", "crypto", "EUR", False),
    ]
    assert [one.start for one in entries] == [
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2025, 6, 1, 10, tzinfo=UTC),
        datetime(2024, 1, 1, tzinfo=UTC),
    ]
    asked = requests(entries, "coinbase", live=False)
    assert asked == [
        {
            "provider": "coinbase",
            "interval": "1d",
            "asset_class": "crypto",
            "symbols": ("BTC-EUR",),
            "start": "2024-01-01T00:00:00+00:00",
        }
    ]
    with pytest.raises(UniverseFileError, match="more than once: BTC/USD"):
        read_universe_file(
            _file(tmp_path, "symbols: [{symbol: BTC/USD, provider: kraken}, {symbol: XBTUSD, provider: kraken}]")
        )
