"""The rows of a source as frames, whatever it is: CSV and JSON as text, Parquet and Arrow with their types.

Wide frames, which have a column for each field of each symbol, come out long. A frame has some thousand rows, so that
memory does not grow with the file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from financelake_assets.providers.formats import excel
from financelake_assets.providers.formats.json_rows import lines_of, records_of
from financelake_assets.providers.formats.sources import Source
from financelake_assets.providers.formats.text import SAMPLE_BYTES, Dialect, Layout, find_layout, sniff
from financelake_assets.providers.formats.wide import columnar_layout, long_names, places_of, to_long

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
    preamble: tuple[str, ...] = ()

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
    return Table(
        source,
        long_names(layout),
        layout.header,
        _csv_batches,
        dialect,
        layout.repeated,
        preamble=dialect.preamble,
    )


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
            named = [_as_text(frame.to_series(at)).alias(name) for at, name in enumerate(places_of(dialect.layout))]
            yield to_long(pl.DataFrame(named), dialect.layout)


def _as_text(raw: pl.Series) -> pl.Series:
    """Bytes as text. What is not UTF-8 is kept readable: a symbol spoilt by it is unknown, a number is no number."""
    try:
        return raw.cast(pl.String)
    except pl.exceptions.ComputeError:
        return raw.map_elements(lambda value: value.decode(errors="replace"), pl.String)


# -- columnar files -------------------------------------------------------------------------------------


def _parquet(source: Source, given: Sequence[str]) -> Table:  # noqa: ARG001
    with source.seekable() as path:
        schema = pq.read_schema(path)
    layout = columnar_layout(schema.names)

    def batches(table: Table) -> Iterator[pl.DataFrame]:
        with table.source.seekable() as path:
            for batch in pq.ParquetFile(path).iter_batches(_BATCH_ROWS):
                yield _renamed(batch, layout)

    return Table(source, long_names(layout), header=True, read=batches)


def _arrow(source: Source, given: Sequence[str]) -> Table:  # noqa: ARG001
    with source.seekable() as path, pa.memory_map(str(path)) as file:
        layout = columnar_layout(ipc.open_file(file).schema.names)

    def batches(table: Table) -> Iterator[pl.DataFrame]:
        with table.source.seekable() as path, pa.memory_map(str(path)) as file:
            opened = ipc.open_file(file)
            for at in range(opened.num_record_batches):
                yield _renamed(opened.get_batch(at), layout)

    return Table(source, long_names(layout), header=True, read=batches)


def _renamed(batch: pa.RecordBatch, layout: Layout) -> pl.DataFrame:
    renamed = pa.RecordBatch.from_arrays(batch.columns, names=places_of(layout))
    return to_long(pl.DataFrame(pl.from_arrow(renamed)), layout)


# -- JSON -----------------------------------------------------------------------------------------------


def _json(source: Source, given: Sequence[str]) -> Table:
    constants: dict[str, str] = {}
    lines = lines_of(source)
    if lines is not None:
        first = list(islice(lines(), 100))
        names = tuple(dict.fromkeys(key for row in first for key in row))
        rows = lines
    else:
        with source.open() as stream:
            text = stream.read(_MOST_JSON + 1)
        if len(text) > _MOST_JSON:
            raise ProviderError("is JSON of more than 512 MB; write JSON lines, CSV or Parquet")
        records = records_of(orjson.loads(text), constants)
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


def _excel(source: Source, given: Sequence[str]) -> Table:
    """The sheet that a source names, or the first that holds a table."""
    with source.seekable() as path:
        sheets = excel.sheets(path.read_bytes(), source.sheet)
    problem: ProviderError | None = None
    for rows in sheets.values():
        try:
            layout = find_layout(rows, given)
        except ProviderError as error:
            problem = problem or error
            continue
        frame = pl.DataFrame(rows[layout.first :], schema=places_of(layout), orient="row")
        long = to_long(frame, layout)

        def batches(_: Table, long: pl.DataFrame = long) -> Iterator[pl.DataFrame]:
            yield from long.iter_slices(_BATCH_ROWS)

        above = tuple(" ".join(one for one in row if one) for row in rows[: layout.first])
        names = long_names(layout)
        return Table(source, names, layout.header, batches, repeated=layout.repeated, preamble=above)
    raise problem or ProviderError(f"{source.label} has no sheet with rows")


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
