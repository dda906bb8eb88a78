"""Puts an exchange, its two addresses and the courtesy that its server is due together to a provider."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit

from financelake_assets.providers.courtesy import Courtesy
from financelake_assets.providers.exchanges.exchange import Exchange
from financelake_assets.providers.exchanges.provider import ExchangeProvider
from financelake_assets.providers.exchanges.rest import Rest
from financelake_assets.providers.request import IngestRequest


def set_up(
    request: IngestRequest, exchange: Exchange, rest_url: str, stream_url: str, per_minute: int
) -> ExchangeProvider:
    """A provider whose questions share one limit with everything else that asks this server."""
    courtesy = _courtesy(exchange.title, urlsplit(rest_url).netloc, per_minute)
    return ExchangeProvider(request, exchange, Rest(exchange.title, rest_url, courtesy), stream_url)


@lru_cache(maxsize=8)
def _courtesy(title: str, host: str, per_minute: int) -> Courtesy:
    return Courtesy(f"{title}-{host.replace(':', '-')}", per_minute=per_minute)
