"""One note of a symbol's unit holds for history, refresh and files, after every restart."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from deltalake import write_deltalake

from financelake_assets.bronze.ingest import IngestRequest, ingest, refresh
from financelake_assets.bronze.load import Load
from financelake_assets.bronze.price_units import PriceUnits, known_units
from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.bronze.universe import Universe
from financelake_assets.bronze.universe_file import Entry, remember
from financelake_assets.config import Settings
from financelake_assets.providers.base import COLUMNS, Chunk, Instrument, ProviderError
from financelake_assets.providers.registry import make_provider
from financelake_assets.providers.units import KnownUnit, PriceUnit
from financelake_assets.providers.yahoo import YahooProvider
from financelake_assets_tests.bronze.observed import messages
from financelake_assets_tests.providers.test_yahoo import days
from financelake_assets_tests.providers.test_yahoo import yahoo as yahoo  # the server of history
from financelake_assets_tests.providers.yahoo_server import ChartServer, Listing

VODAFONE = Entry(symbol="VOD.L", asset_class="stock", provider="yfinance", calendar="XLON")
REQUEST = IngestRequest(provider="yfinance", symbols=("VOD.L",), start=datetime(2024, 1, 1, tzinfo=UTC))
ROWS = Chunk(pl.DataFrame([{"symbol": "VOD.L", "close": 1.0}], schema=dict(COLUMNS)))


def provider_of(lake: Settings) -> tuple[YahooProvider, PriceUnits]:
    provider = make_provider(REQUEST)
    assert isinstance(provider, YahooProvider)
    return provider, PriceUnits(lake, provider)


def of_an_older_release(lake: Settings) -> None:
    """The universe as releases wrote it that knew no units."""
    row = {"symbol": "VOD.L", "asset_class": "stock", "provider": "yfinance", "currency": "USD"}
    write_deltalake(UNIVERSE.path(lake), pl.DataFrame([row]).to_arrow())


def test_what_was_said_is_noted_and_the_currency_is_the_one_that_the_lake_has(offline_lake: Settings) -> None:
    remember(offline_lake, [VODAFONE])
    provider, units = provider_of(offline_lake)
    provider.units["VOD.L"] = PriceUnit("GBp", "GBP")
    units.note(Chunk(ROWS.rows.clear()))
    assert known_units(offline_lake) == {"VOD.L": KnownUnit("yfinance", "", "USD")}, "nothing is published yet"
    units.note(ROWS)
    noted = {"VOD.L": KnownUnit("yfinance", "GBp", "GBP")}
    assert known_units(offline_lake) == noted
    version = UNIVERSE.ensure(offline_lake).version()
    for currency in ("USD", "GBX"):
        remember(offline_lake, [VODAFONE.model_copy(update={"currency": currency})])
    units.note(ROWS)
    assert known_units(offline_lake) == noted, "a file does not change what prices are in"
    assert UNIVERSE.ensure(offline_lake).version() == version, "nothing new is not written"


def test_a_currency_that_is_no_minor_unit_is_the_users_word(offline_lake: Settings) -> None:
    remember(offline_lake, [VODAFONE.model_copy(update={"currency": "EUR"})])
    provider, units = provider_of(offline_lake)
    provider.units["VOD.L"] = PriceUnit("USD", "USD")
    units.note(ROWS)
    assert known_units(offline_lake) == {"VOD.L": KnownUnit("yfinance", "USD", "EUR")}


def test_a_lake_of_an_older_release_keeps_its_unit_and_the_page_is_told(offline_lake: Settings) -> None:
    of_an_older_release(offline_lake)
    remember(offline_lake, [VODAFONE])
    assert known_units(offline_lake)["VOD.L"].quoted is None
    provider, units = provider_of(offline_lake)
    provider.units["VOD.L"] = PriceUnit("", "")
    units.note(ROWS)
    assert known_units(offline_lake)["VOD.L"].quoted is None, "an answer without a unit decides nothing"
    provider.units["VOD.L"] = PriceUnit("GBp", "GBX")
    units.note(ROWS)
    assert known_units(offline_lake) == {"VOD.L": KnownUnit("yfinance", "GBp", "GBX")}
    assert "as the older prices of this lake" in units.words["VOD.L"]


@pytest.mark.integration
def test_history_refresh_and_a_file_come_in_one_unit(bronze_lake: Settings, yahoo: ChartServer, tmp_path: Path) -> None:
    yahoo.listings["VOD.L"] = Listing(currency="GBp", zone="Europe/London", offset=0, bars=days(8, 9))
    remember(bronze_lake, [VODAFONE.model_copy(update={"currency": "GBX"})])
    result = ingest(REQUEST, bronze_lake)
    assert result.units == {"VOD.L": "GBP, converted from GBp (hundredths)"}
    yahoo.listings["VOD.L"].currency = None  # it may leave it out
    yahoo.listings["VOD.L"].bars |= days(10)
    with Load(bronze_lake, "refresh", "yfinance") as load:
        refreshed = refresh(REQUEST, bronze_lake, load, datetime(2024, 1, 9, tzinfo=UTC))
    assert refreshed.published == 1
    closes = [json.loads(message.value())["close"] for message in messages(bronze_lake)]
    assert closes == [0.095, 0.105, 0.115]
    file = tmp_path / "VOD.L.csv"
    file.write_text("Date,Open,High,Low,Close,Volume\n2024-01-11,1,1,1,1,5\n")
    asked = {"provider": "csv", "path": file, "asset_class": "stock", "interval": "1d", "symbol": "VOD.L"}
    loaded = ingest(IngestRequest.model_validate(asked), bronze_lake)
    assert any("keeps its prices in GBP, yfinance quotes them in GBp" in note for note in loaded.notes)


@pytest.mark.integration
def test_prices_of_a_file_are_not_mixed_with_yahoos(bronze_lake: Settings, yahoo: ChartServer) -> None:
    yahoo.listings["VOD.L"] = Listing(currency="GBp", zone="Europe/London", offset=0, bars=days(8))
    Universe(bronze_lake, "csv").add([Instrument("VOD.L", "stock")])
    with pytest.raises(ProviderError, match=r"VOD\.L came to this lake from csv first"):
        ingest(REQUEST, bronze_lake)
    assert messages(bronze_lake) == []
