"""The first rows of a file, with what is known of it: what every part of finding out looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from financelake_assets.providers.formats import known, names
from financelake_assets.providers.formats.numbers import NumberFormat, parse
from financelake_assets.providers.formats.tables import Table
from financelake_assets.providers.request import IngestRequest

SAMPLE_ROWS = 1_000


@dataclass(frozen=True)
class Sample:
    """A table's first rows, the request that it is read for, and the known format that it has, if any."""

    table: Table
    rows: pl.DataFrame
    request: IngestRequest
    form: known.Format | None

    @property
    def name(self) -> str:
        """The file's name."""
        return self.table.source.name

    @property
    def label(self) -> str:
        """What to call the file."""
        return self.table.source.label

    def kind(self, column: str) -> pl.DataType:
        """The type of a column."""
        return self.rows.schema[column]

    def texts(self, column: str, rows: int = SAMPLE_ROWS) -> list[str]:
        """A column's values as texts, without the absent ones and without repeated headers."""
        cells = self.rows[column].head(rows).cast(pl.String, strict=False)
        header = names.bare(column)
        return [cell for cell in cells.str.strip_chars().to_list() if cell and names.bare(cell) != header]

    def numbers(self, column: str, style: NumberFormat) -> pl.Series:
        """A column's values as numbers."""
        return parse(self.rows[column], style)

    def unused(self, found: Mapping[str, str]) -> Sequence[str]:
        """The columns that are no field."""
        taken = set(found.values())
        return [one for one in self.rows.columns if one not in taken]


def first_rows(table: Table) -> pl.DataFrame:
    """The first rows of a table, of as many batches as it takes."""
    batches, rows = [], 0
    for batch in table.batches():
        batches.append(batch)
        rows += batch.height
        if rows >= SAMPLE_ROWS:
            break
    return pl.concat(batches, how="vertical_relaxed").head(SAMPLE_ROWS) if batches else pl.DataFrame()
