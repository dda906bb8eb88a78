"""Providers by name: those that come with FinanceLake, and those that installed packages register.

Input: a request. Output: a provider. Another package adds one with an entry point in the group
``financelake.providers`` whose object takes an ``IngestRequest`` and returns a ``Provider`` (see docs/providers.md).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points

from financelake_assets.intervals import BAR_LENGTHS, CANONICAL, TICK
from financelake_assets.providers.base import Provider, ProviderError
from financelake_assets.providers.request import IngestRequest

GROUP = "financelake.providers"

# imported only when asked for: yfinance takes a second
_OURS = {
    "binance": "financelake_assets.providers.binance",
    "coinbase": "financelake_assets.providers.coinbase",
    "csv": "financelake_assets.providers.files",
    "kraken": "financelake_assets.providers.kraken",
    "replay": "financelake_assets.providers.replay",
    "synthetic": "financelake_assets.providers.synthetic",
    "yfinance": "financelake_assets.providers.yahoo",
}


def names() -> list[str]:
    """Every provider that can be asked for."""
    return sorted({*_OURS, *(point.name for point in entry_points(group=GROUP))})


def make_provider(request: IngestRequest) -> Provider:
    """The provider that a request names, set up for it.

    Raises:
        ProviderError: there is no such provider, or the request is not one that it can serve.
    """
    if request.interval is not None and request.interval not in CANONICAL:
        raise ProviderError(
            f"{request.interval!r} is no interval of a lake; it has {', '.join(BAR_LENGTHS)} and {TICK}"
        )
    if request.provider in _OURS:
        factory: Callable[[IngestRequest], Provider] = import_module(_OURS[request.provider]).from_request
        return factory(request)
    for point in entry_points(group=GROUP, name=request.provider):
        provider = point.load()(request)
        if not isinstance(provider, Provider):
            raise ProviderError(f"{point.value} is not a provider: it lacks a part of providers.base.Provider")
        return provider
    raise ProviderError(f"no provider {request.provider!r}; there are {', '.join(names())}")
