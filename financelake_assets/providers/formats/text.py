"""The dialect of a text file: its encoding, its separator, and which of its first lines holds the columns' names.

Input: the first bytes. Output: a ``Dialect``. Titles above the names, blank lines, a separator at the end of rows,
``#`` before the names and several lines of names (yfinance's frames) are told apart from data by what cells look like.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from financelake_assets.providers.base import ProviderError
from financelake_assets.providers.formats import names as naming
from financelake_assets.providers.formats.questions import UnsureError
from financelake_assets.providers.formats.series_names import split_names

SAMPLE_BYTES = 256 * 1024
_MOST_LINES = 200
_DELIMITERS = ",;\t|"
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LEGACY = ("cp1252", "gb18030", "cp932", "cp1251", "cp949", "cp1250", "cp1254")
_NUMBER = re.compile(r"(?=.*\d)[-+\d.,:/%$€£ '\u2019eEKMBTZ]+")
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}.*|\d{1,2}[-/. ](\d{1,2}|[A-Za-z]{3,9})[-/. ]\d{2,4}.*|\d{5,19}(\.\d+)?"
)
_EMPTY = ("", "nan", "null", "none", "na", "n/a", "-")


@dataclass(frozen=True)
class Layout:
    """Which cells are names and which are data.

    ``names``: one of each column, made different where the file repeats them; ``first``: the first row of data;
    ``series``: of a wide frame, the symbol of each column (empty for the column of times).
    """

    names: tuple[str, ...]
    first: int
    header: bool = True
    repeated: tuple[str, ...] = ()
    series: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dialect:
    """How the text of a file is cut into cells."""

    encoding: str
    delimiter: str
    skip: int
    layout: Layout
    quoted: bool
    preamble: tuple[str, ...] = ()


def sniff(start: bytes, whole: bool, given: Sequence[str] = ()) -> Dialect:
    """The dialect of a file that begins with these bytes.

    Args:
        start: the first bytes, unpacked.
        whole: whether they are all of the file.
        given: names of the columns that the user gave for a file without a header.

    Raises:
        ProviderError: this is no table of text.
        UnsureError: the names of its columns are not there.
    """
    if not start.strip():
        raise ProviderError("is empty")
    encoding = _encoding(start)
    found = _cut(start.decode(encoding, errors="replace").lstrip("\ufeff"), whole, given)
    if encoding == "utf-8" and "\ufffd" in "".join(found[0].names):
        encoding, found = _legacy(start, whole, given)
    layout, delimiter, above, quoted = found
    return Dialect(encoding, delimiter, layout.first, layout, quoted, above)


def _encoding(start: bytes) -> str:
    for bom, encoding in _BOMS:
        if start.startswith(bom):
            return encoding
    head = start[:2_000]
    for offset, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros = head[offset::2].count(0)
        if zeros > 0.4 * len(head) / 2 and head[1 - offset :: 2].count(0) == 0:
            return encoding
    if b"\0" in head:
        raise ProviderError("is not text, nor a kind of file that is known here")
    return "utf-8"


def _legacy(start: bytes, whole: bool, given: Sequence[str]) -> tuple[str, tuple[Layout, str, tuple[str, ...], bool]]:
    """Names that are not UTF-8: the encoding in which most of them are known words."""
    tried = []
    for encoding in _LEGACY:
        found = _cut(start.decode(encoding, errors="replace"), whole, given)
        tried.append((naming.how_many_known(found[0].names), encoding, found))
    _, encoding, found = max(tried, key=lambda one: one[0])
    return encoding, found


def _cut(text: str, whole: bool, given: Sequence[str]) -> tuple[Layout, str, tuple[str, ...], bool]:
    lines = re.split(r"\r\n|\n|\r", text)
    if not whole:
        lines = lines[:-1]
    lines = lines[:_MOST_LINES]
    if re.match(r"\s*(<!|<\?|<html|<head|<body|<table)", text, re.IGNORECASE):
        raise ProviderError(f"is not CSV: it begins with {text.strip()[:60]!r}")
    delimiter = _delimiter(lines)
    rows = [next(csv.reader([line], delimiter=delimiter), []) for line in lines]
    layout = find_layout(rows, given)
    quoted = any(line.lstrip().startswith('"') or f'{delimiter}"' in line for line in lines[layout.first :])
    return layout, delimiter, tuple(lines[: layout.first]), quoted


def _delimiter(lines: Sequence[str]) -> str:
    """The separator by which most lines have the same number of cells, then the one that makes more of them."""

    def agreement(delimiter: str) -> tuple[int, int]:
        counts = Counter(len(row) for row in csv.reader((one for one in lines if one.strip()), delimiter=delimiter))
        width, often = max(counts.items(), key=lambda item: (item[1] if item[0] > 1 else 0, item[0]))
        return (often, width) if width > 1 else (0, 0)

    best = max(_DELIMITERS, key=agreement)
    if agreement(best) == (0, 0):
        raise ProviderError(
            f"is no table: its lines, such as {next(one for one in lines if one.strip())[:60]!r}, hold one value each"
        )
    return best


def looks_like_data(cells: Sequence[str]) -> bool:
    """Whether a row of cells is data rather than names: a date comes first, or half of it is numbers."""
    filled = [cell.strip() for cell in cells if cell.strip().lower() not in _EMPTY]
    if not filled:
        return False
    if _DATE.fullmatch(cells[0].strip()):
        return True
    return 2 * sum(bool(_NUMBER.fullmatch(cell) or _DATE.fullmatch(cell)) for cell in filled) >= len(filled)


def find_layout(rows: Sequence[Sequence[str]], given: Sequence[str] = ()) -> Layout:
    """Which rows are names and which are data.

    Raises:
        ProviderError: there are no rows of data.
        UnsureError: there are no names.
    """
    counts = Counter(len(row) for row in rows if len(row) > 1)
    if not counts:
        raise ProviderError("is empty")
    width = max(counts.items(), key=lambda item: (item[1], item[0]))[0]
    first = next((at for at, row in enumerate(rows) if len(row) == width and looks_like_data(row)), None)
    if first is None:
        raise ProviderError("has no rows")
    heads = _heads(rows, first, width)
    if given:
        named = [*given, *(f"-{at}" for at in range(len(given), width))]
        if len(named) > width:
            raise UnsureError(f"has {width} columns and --columns names {len(given)}", "--columns")
        return Layout(tuple(f"-{at}" if one == "-" else one for at, one in enumerate(named)), first, header=bool(heads))
    if not heads:
        names = tuple(f"column {at}" for at in range(1, width + 1))
        return Layout(names, first, header=False)
    best = max(heads, key=lambda at: (naming.how_many_known(rows[at]), at))
    data = [row for row in rows[first : first + 50] if len(row) == width]
    return _named(rows[best], [rows[at] for at in heads if at != best], first, data)


def _heads(rows: Sequence[Sequence[str]], first: int, width: int) -> list[int]:
    """The rows right above the data that can hold names."""
    found: list[int] = []
    for at in range(first - 1, -1, -1):
        row = rows[at]
        if not any(cell.strip() for cell in row) and len(row) < 2:
            if found:
                break
            continue
        if not (len(row) == width or (not found and abs(len(row) - width) == 1)) or looks_like_data(row):
            break
        found.append(at)
    return found


def _named(names: Sequence[str], others: Sequence[Sequence[str]], first: int, data: Sequence[Sequence[str]]) -> Layout:
    width = len(data[0])
    cells = [name.strip().lstrip("\ufeff").strip() for name in names]
    cells[0] = cells[0].lstrip("#").strip()
    if len(cells) == width - 1:
        cells = _with_one_more(cells, data)
    elif len(cells) == width + 1:
        cells = cells[:-1]
    series = _series(cells, [list(row) for row in others if len(row) == width])
    if series:
        index = next((row[0] for row in others if row[0].strip() and not any(row[1:])), "")
        cells[0] = index.strip() or "Date"
        return Layout(tuple(cells), first, series=series)
    if split := split_names(cells):
        return Layout(split[0], first, series=split[1])
    repeated = tuple(name for name, count in Counter(cells).items() if count > 1 and name)
    return Layout(_different(cells), first, repeated=repeated)


def _with_one_more(cells: list[str], data: Sequence[Sequence[str]]) -> list[str]:
    """Names for rows that have one cell more: a separator ends each row, or the index in front has no name.

    Raises:
        UnsureError: neither is so; a decimal comma may have cut a number in two.
    """
    if not any(row[-1].strip() for row in data):
        return [*cells, ""]
    dates = [sum(bool(_DATE.fullmatch(row[at].strip())) for row in data) for at in (0, 1)]
    if naming.bare(cells[0]) in ("open", "close", "price") or (dates[1] > dates[0] and naming.known(cells[0])):
        return ["", *cells]
    raise UnsureError(
        f"has {len(cells)} names and {len(data[0])} cells in each row, such as {','.join(data[0])[:80]!r}. Is the "
        "comma the decimal sign as well as the separator? Write the file again with another separator, or name all "
        "columns with --columns",
        "--columns",
    )


def _different(cells: Sequence[str]) -> tuple[str, ...]:
    seen: Counter[str] = Counter()
    named = []
    for at, cell in enumerate(cells):
        name = cell or f"Unnamed: {at}"
        seen[name] += 1
        named.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(named)


def _series(cells: Sequence[str], others: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The symbol of each column where a row of names beside the fields' holds symbols."""
    index_row = any(row[0].strip() and not any(cell.strip() for cell in row[1:]) for row in others)
    for row in others:
        symbols = [cell.strip() for cell in row[1:]]
        if not all(symbols) or naming.how_many_known(symbols) > 1:
            continue
        told = naming.bare(row[0]) in ("ticker", "tickers", "symbol", "symbols") or naming.bare(cells[0]) == "price"
        if told or index_row or len(set(cells[1:])) < len(cells) - 1:
            return ("", *symbols)
    return ()


def is_footer(line: str, delimiter: str, width: int) -> bool:
    """Whether a line with the wrong number of cells is a remark of the source rather than a broken row."""
    cells = next(csv.reader([line], delimiter=delimiter), [])
    digits = sum(1 for cell in cells if any(letter.isdigit() for letter in cell))
    return len(cells) < width and digits <= 1
