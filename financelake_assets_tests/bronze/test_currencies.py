"""The currency of a symbol's prices, as the universe tells it."""

from __future__ import annotations

import polars as pl
import pytest

from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.bronze.universe import currencies
from financelake_assets_tests.gold.frames import frame


@pytest.mark.parametrize(
    ("symbol", "provider", "quoted", "currency", "found"),
    [
        ("AAPL", "csv", "", "USD", "USD"),
        ("AAPL", "csv", "", None, None),
        ("AAPL", "replay", None, None, None),
        ("AAPL", "yfinance", "USD", None, "USD"),
        ("SAP.DE", "yfinance", "EUR", "USD", "EUR"),  # the file says USD where its user says nothing
        ("SAP.DE", "yfinance", "?", "EUR", "EUR"),
        ("SAP.DE", "yfinance", "?", None, None),
        ("VOD.L", "yfinance", "GBp", "GBP", "GBP"),
        ("VOD.L", "yfinance", "GBp", "GBX", "GBP"),  # pence and pounds have the same returns
        ("VOD.L", "csv", "", "GBX", "GBP"),
        ("BTC/EUR", "kraken", "", "USD", "EUR"),
        ("BTCUSDT", "binance", "", None, "USDT"),
        ("XBTUSD", "coinbase", "", None, "USD"),
        ("BTC-EUR", "csv", "", None, None),  # a name alone tells nothing
        ("ODD", "kraken", "", "USD", "USD"),
    ],
)
def test_what_prices_came_in_comes_before_what_a_file_says(
    symbol: str, provider: str, quoted: str | None, currency: str | None, found: str | None
) -> None:
    row = {"symbol": symbol, "provider": provider, "quoted": quoted, "currency": currency}
    assert currencies(frame(UNIVERSE, [row])) == ({} if found is None else {symbol: found})


def test_an_empty_universe_tells_nothing() -> None:
    assert currencies(pl.DataFrame(UNIVERSE.empty)) == {}
