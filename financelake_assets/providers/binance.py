"""Binance as a provider: see ``exchanges``. No key is needed; what its terms allow is in docs/providers.md."""

from __future__ import annotations

from financelake_assets.config import get_settings
from financelake_assets.providers.exchanges.binance import Binance
from financelake_assets.providers.exchanges.provider import ExchangeProvider
from financelake_assets.providers.exchanges.setup import set_up
from financelake_assets.providers.request import IngestRequest


def from_request(request: IngestRequest) -> ExchangeProvider:
    """Binance's data of the symbols that a request names."""
    feed = get_settings().feed
    return set_up(request, Binance(), feed.binance_rest, feed.binance_stream, feed.requests_per_minute)
