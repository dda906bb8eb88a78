"""What a rule can name: the fields of bars, signals and the paper portfolio, with their units. Pure.

The page's screener reads the same language on one source of its own: bars, signals and the model's features together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from financelake_assets.config import ASSET_CLASSES
from financelake_assets.gold.verdicts import Signal
from financelake_assets.intervals import BAR_LENGTHS
from financelake_assets.model.features import FEATURES
from financelake_assets.providers.base import SYMBOL

Source = Literal["bars", "signals", "portfolio", "screen"]
Kind = Literal["price", "amount", "money", "number", "share", "bounded share", "word", "filter"]
"""``bounded share`` is from 0 to 1; a ``filter`` is the same in all rows of a series."""

KINDS: Mapping[Source, str] = {
    "bars": "bars",
    "signals": "signals",
    "portfolio": "the portfolio",
    "screen": "the screener",
}
"""The sources in words."""


@dataclass(frozen=True)
class FieldSpec:
    """A field: what its values are, what it means, and which words it can be."""

    kind: Kind
    meaning: str
    words: tuple[str, ...] | re.Pattern[str] = ()


_FILTERS = {
    "interval": FieldSpec("filter", "of the bars, such as 1h or 1d", tuple(BAR_LENGTHS)),
    "asset_class": FieldSpec("filter", ", ".join(ASSET_CLASSES), tuple(ASSET_CLASSES)),
}
_SYMBOL = {"symbol": FieldSpec("filter", 'such as BTC-USD; "quoted" if it has odd signs', SYMBOL)}

FIELDS: Mapping[Source, Mapping[str, FieldSpec]] = {
    "bars": {
        **{name: FieldSpec("price", f"{name} of the bar, not adjusted") for name in ("open", "high", "low", "close")},
        "volume": FieldSpec("amount", "volume of the bar"),
        "change": FieldSpec("share", "close against the close of the bar before: 5 % is a rise by 5 %"),
        **_SYMBOL,
        **_FILTERS,
    },
    "signals": {
        "signal": FieldSpec("word", "BUY, SELL or HOLD", tuple(Signal)),
        "confidence": FieldSpec("bounded share", "of the signal, 0 to 1"),
        "strength": FieldSpec("number", "of the signal, in standard deviations"),
        "close": FieldSpec("price", "close of the signal's bar"),
        **_SYMBOL,
        **_FILTERS,
    },
    "portfolio": {
        "drawdown": FieldSpec("bounded share", "loss since the account's highest equity, 0 to 1"),
        "equity": FieldSpec("money", "value of the account"),
        "cash": FieldSpec("money", "cash of the account"),
        "exposure": FieldSpec("share", "value of all positions, as a share of the equity"),
        "net_exposure": FieldSpec("share", "long less short positions, as a share of the equity"),
        "currency": FieldSpec("filter", "of the account, such as EUR", re.compile(r"[A-Z0-9.]{2,12}")),
        **_FILTERS,
    },
}
"""Every field of an alert's rule, by source."""

_SHARES = ("rsi", "close_in_range", "downside_share")
"""Features from 0 to 1."""

SCREEN: Mapping[Source, Mapping[str, FieldSpec]] = {
    "screen": {
        **{
            name: FieldSpec("bounded share" if name in _SHARES else "number", f"the model's feature {name}")
            for name in FEATURES
        },
        **FIELDS["bars"],
        **FIELDS["signals"],
    }
}
"""Every field of the screener."""

SPECS: Mapping[Source, Mapping[str, FieldSpec]] = {**FIELDS, **SCREEN}
