"""A user's own files: CSV (plain or compressed) and Parquet, one or a folder of them, streamed.

Enters: text or typed columns. Leaves: every row of them. What can be read is typed; a row with a value that cannot be
is passed on with its text, for silver to say what is wrong with it. No network is ever used.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from financelake_assets.providers import columns as guessing
from financelake_assets.providers.base import (
    COLUMNS,
    NUMBERS,
    TICK,
    Capabilities,
    Chunk,
    OddRow,
    Part,
    ProviderError,
    typed,
)
from financelake_assets.providers.request import IngestRequest

SUFFIXES = (".csv", ".csv.gz", ".csv.zst", ".csv.bz2", ".txt", ".tsv", ".parquet", ".pq")

_BLOCK_BYTES = 2 << 20
_BATCH_ROWS = 20_000
_SAMPLE_ROWS = 1_000
_MOST_LINES_ABOVE = 5
_MOST_RAGGED = 10_000
_ABSENT = ("", "null", "none", "na", "n/a", "-")
_TEXTS = ("symbol", "asset_class", "interval", "trade_id")


@dataclass(frozen=True)
class Reading:
    """How a file is read: which column is which field, how times are written, and what its columns do not say."""

    columns: dict[str, str]
    time: guessing.TimeFormat | None
    symbol: str | None
    asset_class: str | None
    interval: str | None

    def notes(self, file: Path, zone: str) -> tuple[str, ...]:
        """What was found out, for the user to check."""
        mapping = ", ".join(f"{field}={column}" for field, column in self.columns.items())
        written = "typed" if self.time is None else self.time.pattern
        in_zone = "" if self.time is None or self.time.zoned or self.time.is_epoch else f" in {zone}"
        fixed = ", ".join(
            f"{name} {value}"
            for name, value in (
                ("symbol", self.symbol),
                ("asset class", None if "asset_class" in self.columns else self.asset_class or self._guessed_class()),
                ("interval", self.interval),
            )
            if value
        )
        return (f"{file.name}: columns {mapping}", f"{file.name}: times {written}{in_zone}; {fixed}")

    def _guessed_class(self) -> str:
        return f"{guessing.guess_class(self.symbol)} (by its symbol)" if self.symbol else "by each symbol"


class FileProvider:
    """The files that a request names."""

    name = "csv"
    capabilities = Capabilities(history=True, live=False, network=False)

    def __init__(self, request: IngestRequest) -> None:
        self._request = request
        self._files = _files(request.path)

    def history(self) -> Iterator[Part]:
        """One part a file, in order of names."""
        for file in self._files:
            reading = find_out(file, self._request)
            yield Part(
                identity=_identity(file, reading, self._request.timezone),
                chunks=_chunks(file, reading, self._request.timezone),
                total=pq.read_metadata(file).num_rows if _is_parquet(file) else None,
                notes=reading.notes(file, self._request.timezone),
            )

    def live(self, start: int = 0) -> Iterator[Chunk]:  # noqa: ARG002  # the protocol's signature
        """Files do not go on."""
        raise ProviderError("files have no live part")


def from_request(request: IngestRequest) -> FileProvider:
    """The files that a request names."""
    return FileProvider(request)


# -- finding out ----------------------------------------------------------------------------------------


def find_out(file: Path, request: IngestRequest) -> Reading:
    """How a file is to be read, from its first rows and what the request says.

    Raises:
        ProviderError: something cannot be known without the user.
    """
    sample = next(_batches(file), None)
    if sample is None or sample.height == 0:
        raise ProviderError(f"{file} has no rows")
    sample = sample.head(_SAMPLE_ROWS)
    found = guessing.guess_columns(sample.columns, request.columns)
    times = sample[found["event_time"]]
    written = None
    if times.dtype == pl.String or times.dtype.is_numeric():
        values = [value for value in times.cast(pl.String).str.strip_chars().to_list() if value]
        written = guessing.guess_time(values, request.time_format)
    symbol = request.symbol or (None if "symbol" in found else _symbol_of_name(file))
    if symbol:
        found.pop("symbol", None)
    if request.asset_class:
        found.pop("asset_class", None)
    interval = request.interval
    if interval:
        found.pop("interval", None)
    elif "interval" not in found:
        interval = _interval(sample, Reading(found, written, symbol, request.asset_class, TICK), request.timezone)
        if interval is None:
            raise ProviderError(f"{file.name}: the interval of its rows is not clear; give it with --interval")
    return Reading(found, written, symbol, request.asset_class, interval)


def _interval(sample: pl.DataFrame, reading: Reading, zone: str) -> str | None:
    rows = _typed_rows(sample, reading, zone).drop_nulls("event_time")
    if rows.height == 0:
        return None
    first = rows.filter(pl.col("symbol") == rows["symbol"][0])
    times = first["event_time"].dt.epoch("us").unique().sort().to_list()
    return guessing.guess_interval(times, has_range={"high", "low"} <= reading.columns.keys())


def _symbol_of_name(file: Path) -> str:
    stem = file.name.split(".")[0].split("_")[0].split(" ")[0].upper()
    if not stem or stem in ("DATA", "PRICES", "HISTORY", "EXPORT", "DOWNLOAD"):
        raise ProviderError(f"{file.name} has no symbol column and no symbol in its name; say which with --symbol")
    return stem


def _files(path: Path | None) -> list[Path]:
    if path is None:
        raise ProviderError("say which file or folder with --path")
    if not path.exists():
        raise ProviderError(f"{path} does not exist")
    if path.is_file():
        return [path]
    found = sorted(file for file in path.iterdir() if file.name.lower().endswith(SUFFIXES))
    if not found:
        raise ProviderError(f"{path} holds no file with {', '.join(SUFFIXES)}")
    return found


def _identity(file: Path, reading: Reading, zone: str) -> str:
    """The contents and how they are read, not the name: a copy is the same load."""
    digest = hashlib.sha256(repr((reading, zone)).encode())
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return f"csv-{digest.hexdigest()[:16]}"


# -- reading --------------------------------------------------------------------------------------------


def _is_parquet(file: Path) -> bool:
    return file.suffix.lower() in (".parquet", ".pq")


def _batches(file: Path, ragged: list[str] | None = None) -> Iterator[pl.DataFrame]:
    """The rows as they are: all columns of a CSV are text, those of Parquet have their types."""
    try:
        if _is_parquet(file):
            for batch in pq.ParquetFile(file).iter_batches(_BATCH_ROWS):
                yield pl.DataFrame(pl.from_arrow(batch))
        else:
            yield from _csv_batches(file, [] if ragged is None else ragged)
    except (pa.ArrowException, OSError) as error:
        raise ProviderError(f"{file} cannot be read: {error}") from error


def _csv_batches(file: Path, ragged: list[str]) -> Iterator[pl.DataFrame]:
    header, delimiter, above = _header(file)

    def keep(row: pc.InvalidRow) -> str:
        ragged.append(row.text)
        return "skip" if len(ragged) <= _MOST_RAGGED else "error"

    reader = pc.open_csv(
        file,
        read_options=pc.ReadOptions(column_names=header, skip_rows=above + 1, block_size=_BLOCK_BYTES),
        parse_options=pc.ParseOptions(delimiter=delimiter, invalid_row_handler=keep),
        convert_options=pc.ConvertOptions(column_types=dict.fromkeys(header, pa.binary())),
    )
    for batch in reader:
        table = pl.DataFrame(pl.from_arrow(batch))
        yield table.select(_text(table[name]) for name in header)


def _text(raw: pl.Series) -> pl.Series:
    """Bytes as text. What is not UTF-8 is kept readable: a symbol spoilt by it is unknown, a number is no number."""
    try:
        return raw.cast(pl.String)
    except pl.exceptions.ComputeError:
        return raw.map_elements(lambda value: value.decode(errors="replace"), pl.String)


def _header(file: Path) -> tuple[list[str], str, int]:
    """The columns' names, the delimiter, and how many lines are above the names."""
    with pa.input_stream(str(file), compression="detect") as stream:
        start = stream.read(64 * 1024).decode("utf-8-sig", errors="replace")
    lines = start.splitlines()[:_MOST_LINES_ABOVE]
    if not lines:
        raise ProviderError(f"{file} is empty")
    if lines[0].lstrip().startswith(("<", "{")):
        raise ProviderError(f"{file} is not CSV: it begins with {lines[0][:60]!r}")
    delimiter = max(",;\t|", key=lambda one: max(line.count(one) for line in lines))
    # some sources put their address or a title above the names
    above = next(at for at, line in enumerate(lines) if delimiter in line or delimiter not in "".join(lines))
    names = [name.strip() for name in next(csv.reader([lines[above]], delimiter=delimiter))]
    if guessing.looks_like_data(names):
        raise ProviderError(f"{file} has no header: it begins with {lines[above][:80]!r}. Put the columns' names there")
    if len(set(names)) < len(names):
        raise ProviderError(f"{file} has two columns of the same name: {', '.join(names)}")
    return names, delimiter, above


def _chunks(file: Path, reading: Reading, zone: str) -> Iterator[Chunk]:
    first = 0
    ragged: list[str] = []
    for batch in _batches(file, ragged):
        yield _chunk(batch, reading, zone, file.name, first)
        first += batch.height
    if ragged:
        # at the end, because a reader that reads ahead finds them when it likes
        known = {"symbol": reading.symbol, "asset_class": reading.asset_class or "stock"}
        yield Chunk(pl.DataFrame(schema=dict(COLUMNS)), tuple({**known, "line": line} for line in ragged))


def _chunk(batch: pl.DataFrame, reading: Reading, zone: str, file: str, first: int) -> Chunk:
    """A batch typed, with the rows set apart that have a value which cannot be."""
    rows = _typed_rows(batch, reading, zone)
    if "trade_id" not in reading.columns:
        # trades without an identity get their place in the file: read again, they are the same trades
        place = pl.format("{}:{}", pl.lit(file), pl.int_range(first, first + rows.height))
        rows = rows.with_columns(trade_id=pl.when(pl.col("interval") == TICK).then(place))
    unreadable = [
        rows[field].is_null() & ~_absent(batch[column])
        for field, column in reading.columns.items()
        if field in (*NUMBERS, "event_time")
    ]
    odd = pl.Series([False] * rows.height) if not unreadable else unreadable[0]
    for more in unreadable[1:]:
        odd |= more
    if not odd.any():
        return Chunk(rows)
    return Chunk(rows.filter(~odd), tuple(_odd_rows(rows.filter(odd), batch.filter(odd), reading)))


def _odd_rows(rows: pl.DataFrame, batch: pl.DataFrame, reading: Reading) -> Iterator[OddRow]:
    texts = batch.select(pl.all().cast(pl.String, strict=False))
    for row, text in zip(rows.iter_rows(named=True), texts.iter_rows(named=True), strict=True):
        given = {field: text[column] for field, column in reading.columns.items() if field not in _TEXTS}
        read = {field: row[field] for field in given if row[field] is not None}
        yield {**{field: row[field] for field in _TEXTS}, **given, **read}


def _typed_rows(batch: pl.DataFrame, reading: Reading, zone: str) -> pl.DataFrame:
    """A batch with the columns of a chunk; what cannot be read is null."""
    of = reading.columns
    symbol = pl.lit(reading.symbol) if reading.symbol else pl.col(of["symbol"]).cast(pl.String)
    fields = {"symbol": symbol.str.strip_chars().str.to_uppercase()}
    for field in ("asset_class", "interval"):
        fixed = reading.asset_class if field == "asset_class" else reading.interval
        if fixed is not None:
            fields[field] = pl.lit(fixed)
        elif field in of:
            fields[field] = pl.col(of[field]).cast(pl.String).str.strip_chars()
    if "trade_id" in of:
        fields["trade_id"] = pl.col(of["trade_id"]).cast(pl.String).str.strip_chars().replace("", None)
    for field in NUMBERS:
        if field in of:
            fields[field] = _number(of[field], batch.schema[of[field]])
    fields["event_time"] = _time(of["event_time"], batch.schema[of["event_time"]], reading.time, zone)
    rows = batch.select(**fields)
    if "asset_class" not in fields:
        classes = {one: guessing.guess_class(one) for one in rows["symbol"].drop_nulls().unique()}
        rows = rows.with_columns(asset_class=pl.col("symbol").replace_strict(classes, return_dtype=pl.String))
    return typed(rows)


def _number(column: str, kind: pl.DataType) -> pl.Expr:
    values = pl.col(column)
    return (values.str.strip_chars() if kind == pl.String else values).cast(pl.Float64, strict=False)


def _time(column: str, kind: pl.DataType, written: guessing.TimeFormat | None, zone: str) -> pl.Expr:
    values = pl.col(column)
    target = COLUMNS["event_time"]
    if written is None:
        if isinstance(kind, pl.Datetime) and kind.time_zone is not None:
            return values.cast(target)
        return _localised(values.cast(pl.Datetime("us")), zone)
    if written.is_epoch:
        # whole numbers stay exact; seconds may have a fraction
        factor = guessing.EPOCHS[written.pattern]
        number = values.cast(pl.String).str.strip_chars().cast(pl.Float64, strict=False)
        whole = values.cast(pl.String).str.strip_chars().cast(pl.Int64, strict=False)
        micros = pl.coalesce(
            whole * factor if factor else whole // 1000, (number * factor if factor else number / 1000).cast(pl.Int64)
        )
        return micros.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    texts = values.cast(pl.String).str.strip_chars()
    if written.zoned:
        with_zone = texts.str.replace(guessing.UTC_SUFFIX, "+00:00")
        return with_zone.str.to_datetime(written.pattern, time_unit="us", strict=False).dt.convert_time_zone("UTC")
    return _localised(texts.str.to_datetime(written.pattern, time_unit="us", strict=False), zone)


def _localised(times: pl.Expr, zone: str) -> pl.Expr:
    """Times of a zone as UTC; of an hour that the clock shows twice, the first; of one that it skips, none."""
    return times.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")


def _absent(values: pl.Series) -> pl.Series:
    if values.dtype != pl.String:
        return values.is_null()
    return values.is_null() | values.str.strip_chars().str.to_lowercase().is_in(_ABSENT)
