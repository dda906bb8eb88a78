"""The paper portfolio's accounts: one for each asset class, interval and currency, so that none mixes currencies. Pure.

Input: rows, and the currency of each symbol (``bronze.universe.currencies``). Output: the accounts that they belong to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import polars as pl


class AccountKey(NamedTuple):
    """An account, with its own clock and its own money. ``currency`` is ``None`` where nobody told it."""

    asset_class: str
    interval: str
    currency: str | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> AccountKey:
        """The account of a row."""
        return cls(*(row[name] for name in ACCOUNT))

    @property
    def name(self) -> str:
        """``stock 1d EUR``, or ``stock 1d`` where nobody told the currency."""
        return " ".join(part for part in self if part)

    @property
    def condition(self) -> pl.Expr:
        """Which rows of a table are those of the account."""
        told = pl.col("currency")
        own = told.is_null() if self.currency is None else told == self.currency
        return (pl.col("asset_class") == self.asset_class) & (pl.col("interval") == self.interval) & own


ACCOUNT = AccountKey._fields
"""The columns that name an account."""


def with_currency(rows: pl.DataFrame, currencies: Mapping[str, str]) -> pl.DataFrame:
    """Rows with the ``currency`` of their symbol.

    Args:
        rows: with a ``symbol``.
        currencies: by symbol; a symbol that is not in it has none.
    """
    told = pl.DataFrame(
        {"symbol": list(currencies), "currency": list(currencies.values())},
        schema={"symbol": pl.String, "currency": pl.String},
    )
    return rows.join(told, on="symbol", how="left", maintain_order="left")


def by_account(rows: pl.DataFrame) -> list[tuple[AccountKey, pl.DataFrame]]:
    """The rows of each account in their order; where nobody told the currency, the account is behind its siblings."""
    keys = rows.select(ACCOUNT).unique().sort(ACCOUNT, nulls_last=True)
    return [(key, rows.filter(key.condition)) for key in (AccountKey(*one) for one in keys.iter_rows())]
