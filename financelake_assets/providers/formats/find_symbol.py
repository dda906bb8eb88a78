"""Whose rows they are: by a column, by what the user or the source says, or by a name that is nothing but a symbol."""

from __future__ import annotations

import re
from collections.abc import Mapping

import polars as pl

from financelake_assets.providers.formats import names, symbols
from financelake_assets.providers.formats.questions import UnsureError
from financelake_assets.providers.formats.sample import Sample


def find_symbol(sample: Sample, found: dict[str, str]) -> str | None:
    """The symbol of all rows, or ``None`` where a column says it. ``found`` is brought up to date.

    Raises:
        UnsureError: nothing says it for sure.
    """
    source = sample.table.source
    column = found.get("symbol")
    if sample.request.symbol:
        found.pop("symbol", None)
        return sample.request.symbol
    if column:
        values = sample.texts(column)
        sure = not names.general(column) or "symbol" in sample.request.columns
        if values and (sure or symbols.are_symbols(values)):
            return None
        found.pop("symbol")
    symbol = sample.table.constants.get("symbol", "").upper()
    if not symbol and sample.form and sample.form.file:
        match = re.match(sample.form.file, source.name)
        symbol = (match.groupdict().get("symbol") or "").upper() if match else ""
    symbol = symbol or symbols.of_name(source.name).symbol or ""
    several = column is not None and len(set(sample.texts(column))) > 1
    others = _candidates(sample, found)
    if symbol and not several and not any(len(set(sample.texts(one))) > 1 for one in others):
        return symbol
    told = f" The column {column} does not look like symbols." if column else ""
    told += f" Or is it in a column: --map symbol={others[0]}?" if others else ""
    none = "no symbol in its name" if not symbol else f"several symbols, it seems, although its name says {symbol}"
    raise UnsureError(f"{source.label} has no symbol column and {none}; say which with --symbol.{told}", "--symbol")


def _candidates(sample: Sample, found: Mapping[str, str]) -> list[str]:
    """Columns without a known name that hold nothing but what can be symbols."""
    return [
        column
        for column in sample.unused(found)
        if sample.kind(column) in (pl.String, pl.Categorical)
        and not names.says_kind(column)
        and not names.known(column)
        and (values := sample.texts(column, 100))
        and all(symbols.looks_like_symbol(one) and re.search(r"[A-Z]{2}", one) for one in values)
        and not all(one.upper() in ("TRUE", "FALSE") for one in values)
    ]
