"""Output of query answers: a table, CSV, JSON, Parquet, an Arrow stream."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from financelake_assets.cli.console import err, out
from financelake_assets.cli.output_format import Format
from financelake_assets.lake import Answer

SHOWN_ROWS = 1_000
"""Rows of a table on the screen; the other formats write all rows."""


def deliver(answer: Answer, form: Format, output: Path | None) -> None:
    """Show an answer, or write it to standard output or to a file."""
    if form is Format.TABLE:
        shown, more = show(answer, out)
        err.print(f"the first {shown} rows; --format csv writes all" if more else f"{shown} rows")
    elif output is None:
        write(answer, form, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        write_file(answer, form, output)


def write(answer: Answer, form: Format, target: IO[bytes]) -> None:
    """Write a complete answer, batch by batch, in any format except a table."""
    if form is Format.JSON:
        _write_json(answer, target)
    elif form is Format.CSV:
        with pa_csv.CSVWriter(target, answer.schema) as csv:
            for batch in answer.batches:
                csv.write_batch(batch)
    elif form is Format.PARQUET:
        with pq.ParquetWriter(target, answer.schema) as parquet:
            for batch in answer.batches:
                parquet.write_batch(batch)
    else:
        with pa.ipc.new_stream(target, answer.schema) as stream:
            for batch in answer.batches:
                stream.write_batch(batch)


def _write_json(answer: Answer, target: IO[bytes]) -> None:
    """A list of objects. Times are ISO 8601 in UTC; values that JSON lacks (NaN, infinity) are null."""
    target.write(b"[")
    for number, row in enumerate(rows(answer)):
        text = json.dumps({name: plain(value) for name, value in row.items()}, ensure_ascii=False, allow_nan=False)
        target.write((",\n" if number else "\n").encode() + text.encode())
    target.write(b"\n]\n")


def rows(answer: Answer) -> Iterator[dict[str, Any]]:
    """The rows as Python values, one at a time."""
    for batch in answer.batches:
        yield from batch.to_pylist()


def plain(value: Any) -> Any:
    """A value for JSON."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, date):
        return value.isoformat()
    return int(value) if hasattr(value, "as_tuple") and value == value.to_integral_value() else _number_or_text(value)


def _number_or_text(value: Any) -> Any:
    return float(value) if hasattr(value, "as_tuple") else str(value)


def show(answer: Answer, console: Console) -> tuple[int, bool]:
    """Print a table; return how many rows were printed, and whether there are more."""
    all_rows = rows(answer)
    first = list(islice(all_rows, SHOWN_ROWS))
    table = Table(box=None, header_style="bold", pad_edge=False)
    for field in answer.schema:
        number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_decimal(field.type)
        table.add_column(escape(field.name), justify="right" if number else "left", overflow="fold")
    for row in first:
        table.add_row(*(escape(_shown(value)) for value in row.values()))
    console.print(table)
    return len(first), next(all_rows, None) is not None


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(sep=" ")
    if isinstance(value, float):
        return f"{value:.10g}"
    return str(plain(value))


def write_file(answer: Answer, form: Format, output: Path) -> None:
    """Write a complete file or none; an existing file stays until then."""
    part = output.with_name(f".{output.name}.part")
    try:
        with part.open("wb") as target:
            write(answer, form, target)
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
