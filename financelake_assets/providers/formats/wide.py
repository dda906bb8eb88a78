"""Wide frames, which have a column for each field of each symbol, and their long form."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from financelake_assets.providers.formats.series_names import split_names
from financelake_assets.providers.formats.text import Layout

SERIES_COLUMN = "Ticker"
"""The column of symbols of a frame that was wide."""


def places_of(layout: Layout) -> list[str]:
    """Names that are different also where a wide frame repeats them."""
    # not a NUL: Arrow ends names there
    return [f"{name}\x1f{at}" for at, name in enumerate(layout.names)] if layout.series else list(layout.names)


def long_names(layout: Layout) -> tuple[str, ...]:
    """The columns' names of the long form."""
    if not layout.series:
        return layout.names
    fields = dict.fromkeys(name for name, symbol in zip(layout.names, layout.series, strict=True) if symbol)
    return (_index(layout), *fields, SERIES_COLUMN)


def _index(layout: Layout) -> str:
    """The column of a wide frame that belongs to no symbol: its times."""
    return layout.names[layout.series.index("")]


def to_long(frame: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """A wide frame with a row for each symbol; a symbol that has no value at a time has no row."""
    if not layout.series:
        return frame
    places = places_of(layout)
    fields = long_names(layout)[1:-1]
    parts = []
    for symbol in dict.fromkeys(one for one in layout.series if one):
        of = {
            name: place
            for name, place, series in zip(layout.names, places, layout.series, strict=True)
            if series == symbol
        }
        part = frame.select(
            pl.col(places[layout.series.index("")]).alias(_index(layout)),
            *(pl.col(of[name]).alias(name) if name in of else pl.lit(None, pl.String).alias(name) for name in fields),
            pl.lit(symbol).alias(SERIES_COLUMN),
        )
        empty = pl.all_horizontal(
            pl.col(name).is_null()
            | pl.col(name).cast(pl.String).str.strip_chars().str.to_lowercase().is_in(["", "nan", "null"])
            for name in fields
        )
        parts.append(part.filter(~empty))
    return pl.concat(parts, how="vertical_relaxed")


def columnar_layout(names: Sequence[str]) -> Layout:
    """The layout of typed columns."""
    split = split_names(names)
    return Layout(split[0], 0, series=split[1]) if split else Layout(tuple(names), 0)
