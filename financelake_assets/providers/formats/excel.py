"""Excel files: their sheets as rows of text, and which of them hold a table."""

from __future__ import annotations

import io
import re

import polars as pl

from financelake_assets.providers.base import ProviderError
from financelake_assets.providers.formats.text import find_layout


def sheets(content: bytes, sheet: str | None = None) -> dict[str, list[list[str]]]:
    """The cells of all sheets, or of one, as texts.

    Raises:
        ProviderError: it cannot be read.
    """
    try:
        read = pl.read_excel(
            io.BytesIO(content),
            sheet_id=0,
            has_header=False,
            infer_schema_length=0,
            raise_if_empty=False,
            drop_empty_rows=False,
        )
    except Exception as error:  # the reader in Rust has exceptions of its own
        raise ProviderError(
            f"is an Excel file that cannot be read; save it as CSV ({str(error).splitlines()[0]})"
        ) from error
    chosen = {name: frame for name, frame in read.items() if sheet in (None, name)}
    return {name: [[_text(cell) for cell in row] for row in frame.iter_rows()] for name, frame in chosen.items()}


def tables_in(content: bytes) -> list[str]:
    """The names of the sheets that hold a table; none where there is one sheet, or nothing can be read."""
    try:
        found = sheets(content)
    except ProviderError:
        return []
    if len(found) < 2:
        return []
    named = []
    for name, rows in found.items():
        try:
            if find_layout(rows).header:
                named.append(name)
        except ProviderError:
            continue
    return named


def _text(cell: object) -> str:
    """A cell as text; a clock is a moment of the last day of 1899 in Excel."""
    return "" if cell is None else re.sub(r"^(?:1899-12-3[01]|1900-01-0[01]) (?=\d{2}:)", "", str(cell))
