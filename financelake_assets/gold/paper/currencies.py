"""Currencies of an account: that its symbols are quoted in several, in words, so that nobody takes it for one currency.

Input: the universe and the symbols of an account. Output: a sentence, or nothing. An account adds returns, not prices,
so no price of one currency meets that of another; what it leaves out are moves of exchange rates. Pure.
"""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from financelake_assets.providers.units import MINOR_UNITS

_UNNAMED = "a currency that nobody named"


def mixed(universe: pl.DataFrame, symbols: Collection[str]) -> str | None:
    """That an account's symbols are quoted in different currencies, and what its figures leave out.

    Args:
        universe: rows of reference/universe.
        symbols: of the account; one that the universe does not know has no named currency.

    Returns:
        Two sentences; ``None`` where all are quoted in the same currency, or none is named.
    """
    told = dict(universe.select("symbol", "currency").iter_rows())
    # hundredths have the same returns as their currency
    codes = [str(code) for code in map(told.get, symbols) if code]
    named = {MINOR_UNITS.get(code, code) for code in codes}
    unnamed = [_UNNAMED] if len(codes) < len(symbols) else []
    found = [*sorted(named), *unnamed]
    if len(found) < 2:
        return None
    return (
        f"Its symbols are quoted in {', '.join(found[:-1])} and {found[-1]}. The account adds their returns as they "
        "are: nothing is converted, and moves of exchange rates are left out."
    )
