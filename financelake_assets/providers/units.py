"""The unit that a provider's prices come in, and the one that the lake keeps them in: pence become pounds, exactly.

Input: what a provider says, and what the lake knows of a symbol. Output: one unit for all prices of the symbol, always
the same, or an error where they would mix. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, runtime_checkable

import polars as pl

from financelake_assets.providers.base import PRICES, ProviderError

MINOR_UNITS: Mapping[str, str] = {"GBp": "GBP", "GBX": "GBP", "ZAc": "ZAR", "ZAC": "ZAR", "ILA": "ILS"}
"""Hundredths in which some exchanges quote → the currency."""

UNSAID = "?"
"""What is noted of prices that came without a unit."""

_THREE_LETTERS: Mapping[str, str] = {"GBp": "GBX", "ZAc": "ZAC"}
_MONEY = (*PRICES, "dividend")
_NEW_LAKE = (
    "All of them come in one currency in a new lake: another folder (FINANCELAKE_DATA_DIR), or `financelake reset`"
)


class UnitError(ProviderError):
    """Prices of two units would come into one series."""


@dataclass(frozen=True)
class KnownUnit:
    """What the lake knows of a symbol: who brought it, what prices were quoted in, and its currency.

    ``quoted`` is ``None`` where a release brought the symbol that converted nothing, and empty where nothing that says
    its unit has come yet. ``currency`` is what the lake's prices are in where ``quoted`` is a minor unit; before that
    it is what the user said.
    """

    provider: str
    quoted: str | None
    currency: str | None


@dataclass(frozen=True)
class PriceUnit:
    """``quoted``: as the provider says; empty where it does not. ``kept``: what the lake's prices are in."""

    quoted: str
    kept: str

    @property
    def is_converted(self) -> bool:
        """Whether prices are divided by a hundred."""
        return MINOR_UNITS.get(self.quoted) == self.kept

    @property
    def is_odd(self) -> bool:
        """Whether prices are in no currency that somebody named."""
        return not self.quoted or (self.quoted in MINOR_UNITS and not self.is_converted)

    @property
    def words(self) -> str:
        """The unit for people, with the remedy where it is not the currency."""
        whole = MINOR_UNITS.get(self.quoted)
        if not self.quoted:
            return "a unit that it does not say: prices are kept as they come"
        if whole is None:
            return self.quoted
        if self.is_converted:
            return f"{whole}, converted from {self.quoted} (hundredths)"
        return f"{self.quoted}, hundredths of {whole}, as the older prices of this lake. {_NEW_LAKE}"


@runtime_checkable
class TellsUnits(Protocol):
    """A provider that knows what its prices are quoted in, and converts minor units."""

    units: dict[str, PriceUnit]
    """By symbol, as soon as it is known."""

    def know(self, known: Mapping[str, KnownUnit]) -> None:
        """Take note of what the lake knows of its symbols, before anything is asked."""


def decide(symbol: str, said: str | None, known: KnownUnit | None, provider: str) -> PriceUnit:
    """The unit in which prices of a symbol are kept.

    Args:
        symbol: whose.
        said: the currency by the provider's answer; ``None`` where it says none.
        known: what the lake knows of it; ``None`` where it is new.
        provider: who says it.

    Raises:
        UnitError: the lake's prices of it have another unit, or one that nobody said.
    """
    before = known.quoted if known else ""
    quoted = said or _noted_or_declared(known)
    whole = MINOR_UNITS.get(quoted)
    if before and MINOR_UNITS.get(before) != whole:
        raise UnitError(
            f"{symbol}: {provider} says that prices are in {quoted or 'no unit'}, and the lake has some that were in "
            f"{'no unit' if before == UNSAID else before}. They would mix, so nothing is published. {_NEW_LAKE}"
        )
    if whole is None or known is None:
        return PriceUnit(quoted, whole or quoted)
    minor = three_letters(quoted)
    if before:
        return PriceUnit(quoted, whole if known.currency == whole else minor)
    if before is None:
        return PriceUnit(quoted, minor)
    if known.provider == provider:
        return PriceUnit(quoted, whole)
    if known.currency not in (whole, minor):
        raise UnitError(
            f"{symbol} came to this lake from {known.provider} first, and {provider} quotes it in {quoted}: prices may "
            f"mix, so nothing is published. Say in the universe file what the lake's prices of it are in: "
            f"currency {whole}, or {minor}"
        )
    return PriceUnit(quoted, known.currency)


def _noted_or_declared(known: KnownUnit | None) -> str:
    """What holds where an answer says no unit."""
    if known is None:
        return ""
    if known.quoted:
        return "" if known.quoted == UNSAID else known.quoted
    return known.currency if known.currency is not None and known.currency in MINOR_UNITS else ""


def noted(unit: PriceUnit, before: str | None) -> str | None:
    """What ``KnownUnit.quoted`` is from now on. An older release's prices stay that where an answer says no unit."""
    return unit.quoted or (None if before is None else before or UNSAID)


def three_letters(currency: str) -> str:
    """A currency or minor unit as the universe has it: GBp is GBX."""
    return _THREE_LETTERS.get(currency, currency)


def converted(rows: pl.DataFrame, unit: PriceUnit) -> pl.DataFrame:
    """Rows of one symbol in the unit that is kept; volumes and splits are no money, and stay."""
    if not unit.is_converted:
        return rows
    return rows.with_columns(pl.col(*_MONEY).map_elements(hundredth, pl.Float64))


def hundredth(value: float) -> float:
    """A hundredth of a price as it is written: 7312.5 → 73.125; a float divided by 100 may differ in its last digit."""
    return float(Decimal(repr(value)).scaleb(-2))
