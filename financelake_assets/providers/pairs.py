"""How exchanges spell a pair: one name for what people write as BTC/USD, XBT/USD, BTC-USD, BTC_USD or BTCUSDT.

Input: what a user wrote, and the provider. Output: the provider's own name of the pair, which is the symbol in the
lake. What does not look like a pair stays as it is; the exchange then says that it does not know it.
"""

from __future__ import annotations

import re

SEPARATORS = {"kraken": "/", "coinbase": "-", "binance": ""}
"""By provider, what stands between the two currencies of its symbols."""

_OLD_NAMES = {"XBT": "BTC", "XDG": "DOGE"}
# the longer ones first: BTCUSDT is no pair of BTCUSD and T
_QUOTES = (
    *("FDUSD", "USDT", "USDC", "PYUSD", "RLUSD", "EURC", "DAI"),
    *("USD", "EUR", "GBP", "JPY", "CHF", "CAD", "AUD", "BTC", "XBT", "ETH"),
)
_SEPARATED = re.compile(r"([A-Z0-9.]+)[/\-_:]([A-Z0-9.]+)")
_JOINED = re.compile(rf"([A-Z0-9.]+?)({'|'.join(_QUOTES)})")


def pair(text: str) -> tuple[str, str] | None:
    """Base and quote currency by their usual names; ``None`` where the text is no pair."""
    plain = text.strip().upper()
    match = _SEPARATED.fullmatch(plain) or _JOINED.fullmatch(plain)
    if match is None:
        return None
    base, quote = match.groups()
    return _OLD_NAMES.get(base, base), _OLD_NAMES.get(quote, quote)


def canonical(provider: str, text: str) -> str:
    """The name of a pair at a provider; other providers' symbols stay as they are."""
    separator, found = SEPARATORS.get(provider), pair(text)
    return text if separator is None or found is None else separator.join(found)
