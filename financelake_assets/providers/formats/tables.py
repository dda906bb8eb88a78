"""The rows of a source as frames, whatever it is: CSV and JSON as text, Parquet and Arrow with their types.

Wide frames, which have a column for each field of each symbol, come out long. A frame has some thousand rows, so that
memory does not grow with the file.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

from financelake_assets.providers.base import ProviderError
from financelake_assets.providers.formats import names as naming
from financelake_assets.providers.formats.sources import Source
from financelake_assets.providers.formats.text import SAMPLE_BYTES, Dialect, Layout, find_layout, sniff

SERIES_COLUMN = "Ticker"
"""The column of symbols of a frame that was wide."""

_BLOCK_BYTES = 2 << 20
_BATCH_ROWS = 20_000
_MOST_RAGGED = 10_000
_MOST_JSON = 512 << 20


@dataclass
class Table:
    """One source, opened: its columns' names and a way to go through its rows as often as needed.

    ``ragged`` collects lines with too few or too many cells, and ``footers`` those of them that hold no data.
    """

    source: Source
    names: tuple[str, ...]
    header: bool
    read: Callable[[Table], Iterator[pl.DataFrame]]
    dialect: Dialect | None = None
    repeated: tuple[str, ...] = ()
    constants: Mapping[str, str] = field(default_factory=dict)
    ragged: list[str] = field(default_factory=list)

    def batches(self) -> Iterator[pl.DataFrame]:
        """The rows as they are.

        Raises:
            ProviderError: the file cannot be read.
        """
        self.ragged.clear()
        try:
            for batch in self.read(self):
                partitions = {key: value for key, value in self.source.partitions.items() if key not in batch.columns}
                yield batch.with_columns(pl.lit(value).alias(key) for key, value in partitions.items())
        except (pa.ArrowException, pl.exceptions.PolarsError, OSError, EOFError, ValueError) as error:
            raise ProviderError(f"{self.source.label} cannot be read: {error}") from error


def open_table(source: Source, given: Sequence[str] = ()) -> Table:
    """A source with its columns' names.

    Args:
        source: what to read.
        given: names of the columns of a file without a header.

    Raises:
        ProviderError: it cannot be read, or is no table.
    """
    if source.problem:
        raise ProviderError(source.problem)
    opened = {"text": _text, "json": _json, "parquet": _parquet, "arrow": _arrow, "xlsx": _excel}[source.kind]
    try:
        table = opened(source, given)
    except (pa.ArrowException, pl.exceptions.PolarsError, OSError, EOFError, ValueError) as error:
        raise ProviderError(f"{source.path} cannot be read: {error}") from error
    except ProviderError as error:
        if source.label not in str(error):
            error.args = (f"{source.label} {error}",)
        raise
    table.names = (*table.names, *(key for key in source.partitions if key not in table.names))
    return table


# -- text -----------------------------------------------------------------------------------------------


def _text(source: Source, given: Sequence[str]) -> Table:
    with source.open() as stream:
        start = stream.read(SAMPLE_BYTES)
        whole = len(start) < SAMPLE_BYTES
    dialect = sniff(start, whole, given)
    layout = dialect.layout
    return Table(source, _long_names(layout), layout.header, _csv_batches, dialect, layout.repeated)


def _csv_batches(table: Table) -> Iterator[pl.DataFrame]:
    dialect = table.dialect
    assert dialect is not None  # noqa: S101  # _text made it
    places = [f"{at}" for at in range(len(dialect.layout.names))]

    def keep(row: pc.InvalidRow) -> str:
        table.ragged.append(row.text)
        return "skip" if len(table.ragged) <= _MOST_RAGGED else "error"

    with table.source.open() as stream:
        reader = pc.open_csv(
            stream,
            read_options=pc.ReadOptions(
                column_names=places, skip_rows=dialect.skip, block_size=_BLOCK_BYTES, encoding=dialect.encoding
            ),
            parse_options=pc.ParseOptions(delimiter=dialect.delimiter, invalid_row_handler=keep),
            convert_options=pc.ConvertOptions(column_types=dict.fromkeys(places, pa.binary())),
        )
        for batch in reader:
            frame = pl.DataFrame(pl.from_arrow(batch))
            named = [_as_text(frame.to_series(at)).alias(name) for at, name in enumerate(_places(dialect.layout))]
            yield _long(pl.DataFrame(named), dialect.layout)


def _as_text(raw: pl.Series) -> pl.Series:
    """Bytes as text. What is not UTF-8 is kept readable: a symbol spoilt by it is unknown, a number is no number."""
    try:
        return raw.cast(pl.String)
    except pl.exceptions.ComputeError:
        return raw.map_elements(lambda value: value.decode(errors="replace"), pl.String)


# -- wide frames ----------------------------------------------------------------------------------------


def _places(layout: Layout) -> list[str]:
    """Names that are different also where a wide frame repeats them."""
    return [f"{name}\0{at}" for at, name in enumerate(layout.names)] if layout.series else list(layout.names)


def _long_names(layout: Layout) -> tuple[str, ...]:
    if not layout.series:
        return layout.names
    fields = dict.fromkeys(name for name, symbol in zip(layout.names, layout.series, strict=True) if symbol)
    return (_index(layout), *fields, SERIES_COLUMN)


def _index(layout: Layout) -> str:
    """The column of a wide frame that belongs to no symbol: its times."""
    return layout.names[layout.series.index("")]


def _long(frame: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """A wide frame with a row for each symbol; a symbol that has no value at a time has no row."""
    if not layout.series:
        return frame
    places = _places(layout)
    fields = _long_names(layout)[1:-1]
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


# -- columnar files -------------------------------------------------------------------------------------


def _parquet(source: Source, given: Sequence[str]) -> Table:  # noqa: ARG001
    with source.seekable() as path:
        schema = pq.read_schema(path)
    layout = _columnar(schema.names)

    def batches(table: Table) -> Iterator[pl.DataFrame]:
        with table.source.seekable() as path:
            for batch in pq.ParquetFile(path).iter_batches(_BATCH_ROWS):
                yield _renamed(batch, layout)

    return Table(source, _long_names(layout), header=True, read=batches)


def _arrow(source: Source, given: Sequence[str]) -> Table:  # noqa: ARG001
    with source.seekable() as path, pa.memory_map(str(path)) as file:
        layout = _columnar(ipc.open_file(file).schema.names)

    def batches(table: Table) -> Iterator[pl.DataFrame]:
        with table.source.seekable() as path, pa.memory_map(str(path)) as file:
            opened = ipc.open_file(file)
            for at in range(opened.num_record_batches):
                yield _renamed(opened.get_batch(at), layout)

    return Table(source, _long_names(layout), header=True, read=batches)


def _renamed(batch: pa.RecordBatch, layout: Layout) -> pl.DataFrame:
    renamed = pa.RecordBatch.from_arrays(batch.columns, names=_places(layout))
    return _long(pl.DataFrame(pl.from_arrow(renamed)), layout)


def _columnar(names: Sequence[str]) -> Layout:
    """The layout of typed columns; pandas writes a name of several levels as a tuple: ('Close', 'AAPL')."""
    levels = [_level(name) for name in names]
    if sum(1 for one in levels if one and one[1]) < 2:
        return Layout(tuple(names), 0)
    fields = [one if one else (name, "") for name, one in zip(names, levels, strict=True)]
    if naming.how_many_known([one[1] for one in fields]) > naming.how_many_known([one[0] for one in fields]):
        fields = [(one[1], one[0]) if one[1] else one for one in fields]
    if sum(1 for _, series in fields if not series) != 1:
        return Layout(tuple(names), 0)
    return Layout(tuple(one[0] for one in fields), 0, series=tuple(one[1] for one in fields))


def _level(name: str) -> tuple[str, str] | None:
    if not (name.startswith("(") and name.endswith(")")):
        return None
    try:
        parts = ast.literal_eval(name)
    except (ValueError, SyntaxError):
        return None
    texts = isinstance(parts, tuple) and len(parts) == 2 and all(isinstance(one, str) for one in parts)
    return (parts[0], parts[1]) if texts else None


def _excel(source: Source, given: Sequence[str]) -> Table:
    """The first sheet that holds a table."""
    with source.seekable() as path:
        try:
            sheets = pl.read_excel(
                io.BytesIO(path.read_bytes()),
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
    problem: ProviderError | None = None
    for sheet in sheets.values():
        rows = [["" if cell is None else str(cell) for cell in row] for row in sheet.iter_rows()]
        try:
            layout = find_layout(rows, given)
        except ProviderError as error:
            problem = problem or error
            continue
        frame = pl.DataFrame(rows[layout.first :], schema=_places(layout), orient="row")
        long = _long(frame, layout)

        def batches(_: Table, long: pl.DataFrame = long) -> Iterator[pl.DataFrame]:
            yield from long.iter_slices(_BATCH_ROWS)

        return Table(source, _long_names(layout), layout.header, batches, repeated=layout.repeated)
    raise problem or ProviderError(f"{source.label} has no sheet with rows")


# -- JSON -----------------------------------------------------------------------------------------------


def _json(source: Source, given: Sequence[str]) -> Table:
    constants: dict[str, str] = {}
    lines = _json_lines(source)
    if lines is not None:
        first = list(islice(lines(), 100))
        names = tuple(dict.fromkeys(key for row in first for key in row))
        rows = lines
    else:
        with source.open() as stream:
            text = stream.read(_MOST_JSON + 1)
        if len(text) > _MOST_JSON:
            raise ProviderError("is JSON of more than 512 MB; write JSON lines, CSV or Parquet")
        records = _records(orjson.loads(text), constants)
        if not records:
            raise ProviderError("has no rows")
        names = tuple(dict.fromkeys(key for row in records[:1000] for key in row))
        rows = lambda: iter(records)  # noqa: E731
    header = not (names and names[0] == "column 1")
    if given and not header:
        names = (*given, *names[len(given) :])

    def batches(_: Table) -> Iterator[pl.DataFrame]:
        remaining = rows()
        while part := list(islice(remaining, _BATCH_ROWS)):
            if header:
                columns = {name: [_cell(row.get(name)) for row in part] for name in names}
            else:
                columns = {name: [_cell(row.get(f"column {at}")) for row in part] for at, name in enumerate(names, 1)}
            yield pl.DataFrame(columns, schema=dict.fromkeys(names, pl.String))

    return Table(source, names, header, batches, constants=constants)


def _json_lines(source: Source) -> Callable[[], Iterator[dict[str, Any]]] | None:
    """A reader of JSON lines, or ``None`` where the file is one JSON value."""
    with source.open() as stream:
        start = stream.read(SAMPLE_BYTES)
    first, separator, rest = start.strip().partition(b"\n")
    try:
        value = orjson.loads(first)
        second = orjson.loads(rest.split(b"\n")[0]) if rest.count(b"\n") else {}
    except orjson.JSONDecodeError:
        return None
    if not separator or type(value) is not type(second):
        return None

    def rows() -> Iterator[dict[str, Any]]:
        with source.open() as stream:
            pending = b""
            while block := stream.read(_BLOCK_BYTES):
                *lines, pending = (pending + block).split(b"\n")
                yield from (_record(orjson.loads(line)) for line in lines if line.strip())
            if pending.strip():
                yield _record(orjson.loads(pending))

    return rows


def _record(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {f"column {at}": one for at, one in enumerate(value, 1)}


def _records(value: Any, constants: dict[str, str]) -> list[dict[str, Any]]:
    """The rows in a JSON value: a list of objects or arrays, columns, or either of them within an object."""
    if isinstance(value, list):
        if not all(isinstance(one, dict | list) for one in value):
            raise ProviderError("is JSON, but no list of objects or arrays")
        return [_record(one) for one in value]
    if not isinstance(value, dict):
        raise ProviderError("is JSON, but holds no rows")
    _note_symbol(value, constants)
    lists = {key: one for key, one in value.items() if isinstance(one, list)}
    lengths = {len(one) for one in lists.values()}
    if len(lists) > 2 and len(lengths) == 1 and naming.how_many_known(list(lists)) > 2:
        return _transposed(lists)
    if {"columns", "data"} <= value.keys():
        return _split(value)
    objects = {key: one for key, one in value.items() if isinstance(one, dict)}
    if len(objects) > 2 and naming.how_many_known(list(objects)) > 2:
        keys = dict.fromkeys(key for one in objects.values() for key in one)
        return [{"time": key, **{name: one.get(key) for name, one in objects.items()}} for key in keys]
    for key, one in objects.items():
        if (named := re.fullmatch(r"Time Series.* \((Daily|Weekly|\d+min)\)", key)) and one:
            constants.setdefault("interval", named[1])  # Alpha Vantage
    if objects and all(isinstance(one, dict) and len(one) > 1 for one in objects.values()) and _are_times(objects):
        return [{"time": key, **one} for key, one in objects.items()]
    inner = [one for one in (*objects.values(), *lists.values()) if len(one) > 0]
    found = [rows for one in inner if (rows := _try_records(one, constants))]
    if len(found) != 1:
        raise ProviderError(
            f"is JSON with {len(found)} tables under {', '.join(list(value)[:8])}; "
            "write one as a list of objects, or CSV"
        )
    return found[0]


def _try_records(value: Any, constants: dict[str, str]) -> list[dict[str, Any]]:
    try:
        rows = _records(value, constants)
    except ProviderError:
        return []
    return rows if rows and len(rows[0]) > 1 else []


def _are_times(objects: Mapping[str, Any]) -> bool:
    return all(sum(letter.isdigit() for letter in key) >= 6 for key in objects)


def _transposed(lists: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def _split(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """As pandas writes it with orient='split'."""
    index: Iterable[Any] = value.get("index") or range(len(value["data"]))
    rows = zip(index, value["data"], strict=True)
    return [{naming.UNNAMED: at, **dict(zip(map(str, value["columns"]), row, strict=True))} for at, row in rows]


def _note_symbol(value: Mapping[str, Any], constants: dict[str, str]) -> None:
    for key, one in value.items():
        if isinstance(one, str) and naming.bare(key) in ("symbol", "ticker", "pair"):
            constants.setdefault("symbol", one)


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def is_footer(line: str, delimiter: str, width: int) -> bool:
    """Whether a line with the wrong number of cells is a remark of the source rather than a broken row."""
    cells = next(csv.reader([line], delimiter=delimiter), [])
    digits = sum(1 for cell in cells if any(letter.isdigit() for letter in cell))
    return len(cells) < width and digits <= 1
