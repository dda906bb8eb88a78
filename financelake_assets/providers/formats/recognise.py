"""Which of the known formats a file has, by the names of its columns or by their shapes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from financelake_assets.providers.formats.known import FORMATS, Format
from financelake_assets.providers.formats.names import bare

_FILE_ZONES = ((r"DAT_(?:ASCII|MT|MS|NT|XLSX)_[A-Z]{6}_", "Etc/GMT+5"),)
"""Names of files whose times are in one zone whatever their columns: HistData's are in EST without summer time."""
_BARS = ("open", "high", "low", "close")


def named(name: str) -> list[Format]:
    """The declarations of a format; a source with and without a header has several."""
    return [one for one in FORMATS if one.name == name]


def zone_of_file(name: str) -> str | None:
    """The zone that a file's name tells."""
    return next((zone for pattern, zone in _FILE_ZONES if re.match(pattern, name)), None)


def by_header(names: Sequence[str], above: Sequence[str] = ()) -> Format | None:
    """The format that has these columns, and such lines above them."""
    keys = {bare(name) for name in names}
    angle = any(name.startswith("<") for name in names)
    for one in FORMATS:
        fits = one.header and one.header <= keys and one.only in (None, len(names)) and (angle or not one.angle)
        if fits and (not one.above or any(re.search(one.above, line) for line in above)):
            return one
    return None


def by_shape(rows: Sequence[Sequence[str]], path: Path, name: str, forced: Sequence[Format] = ()) -> Format | None:
    """The format whose columns have the shapes of these rows of a file without a header.

    Where the columns are a bar's, its high and low must be that in every row: exchanges order them in several ways.

    Args:
        rows: the first rows.
        path: the file, or the archive that it is in.
        name: its name, or that of the archive's member.
        forced: the declarations of the format that the user named; only those are tried, and not by the file's name.
    """
    for one in forced or FORMATS:
        if one.columns and _fits(one, rows) and (forced or _is_there(one, path, name)):
            return one
    return next((one for one in forced if one.columns), None)


def perhaps(rows: Sequence[Sequence[str]]) -> list[Format]:
    """The formats whose columns have the shapes of these rows, whatever the file is called and wherever it lies."""
    return [one for one in FORMATS if one.columns and (one.file or one.path) and _fits(one, rows)]


def _is_there(one: Format, path: Path, name: str) -> bool:
    whole = path.absolute().as_posix()
    return (not one.file or bool(re.match(one.file, name))) and (not one.path or bool(re.search(one.path, whole)))


def _fits(one: Format, rows: Sequence[Sequence[str]]) -> bool:
    shapes = [re.compile(shape) for shape in one.shapes]
    fitting = bool(rows) and all(
        len(row) == len(shapes) and all(shape.fullmatch(cell.strip()) for shape, cell in zip(shapes, row, strict=True))
        for row in rows
    )
    return fitting and all(_is_bar(one, row) for row in rows)


def _is_bar(one: Format, row: Sequence[str]) -> bool:
    if not set(_BARS) <= set(one.columns):
        return True
    first, high, low, last = (float(row[one.columns.index(field)]) for field in _BARS)
    return high >= max(first, last) and low <= min(first, last)
