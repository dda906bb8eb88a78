"""How one file is to be read, from its first rows, its name, and what the user says.

Enters: an opened table and a request. Leaves: a ``Reading``, or an ``UnsureError`` with everything that must be asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

import polars as pl

from financelake_assets.intervals import TICK
from financelake_assets.providers import bar_intervals as intervals
from financelake_assets.providers.base import CLOCK, EVENTS, NUMBERS, PRICES, ProviderError
from financelake_assets.providers.formats import known, names, symbols, times
from financelake_assets.providers.formats.numbers import NumberFormat, absent, guess_numbers
from financelake_assets.providers.formats.plan import Reading
from financelake_assets.providers.formats.questions import UnsureError
from financelake_assets.providers.formats.rows import RowReader
from financelake_assets.providers.formats.sources import Source
from financelake_assets.providers.formats.tables import Table, open_table
from financelake_assets.providers.request import IngestRequest

SAMPLE_ROWS = 1_000
_LARGEST_WHOLE_PRICE = 1e10

T = TypeVar("T")


def find_out(source: Source, request: IngestRequest) -> tuple[Table, Reading]:
    """A source opened, and how it is to be read.

    Raises:
        UnsureError: something cannot be known without the user.
        ProviderError: it cannot be read.
    """
    table, form = _recognised(source, request)
    sample = _sample(table)
    if sample.height == 0:
        raise ProviderError(f"{source.label} has no rows")
    try:
        return table, _Finder(table, sample, request, form).reading()
    except UnsureError as error:
        raise UnsureError.of([_about(table, error)] if len(error.questions) == 1 else [error]) from error


def _sample(table: Table) -> pl.DataFrame:
    """The first rows, of as many batches as it takes."""
    batches, rows = [], 0
    for batch in table.batches():
        batches.append(batch)
        rows += batch.height
        if rows >= SAMPLE_ROWS:
            break
    return pl.concat(batches, how="vertical_relaxed").head(SAMPLE_ROWS) if batches else pl.DataFrame()


def _recognised(source: Source, request: IngestRequest) -> tuple[Table, known.Format | None]:
    """The table with names for its columns, and the format that it has."""
    forced = known.named(request.format) if request.format else []
    if request.format and not forced:
        raise ProviderError(f"no format {request.format!r}; `financelake formats` lists them")
    table = open_table(source, request.header)
    if table.header or request.header:
        by_names = known.by_header(table.names)
        return table, next((one for one in forced if one.header), forced[0]) if forced else by_names
    rows = _first_rows(table)
    form = next((one for one in forced if one.columns), None) or known.by_shape(rows, source.name)
    if form is None:
        shown = ",".join(rows[0])[:80] if rows else ""
        raise UnsureError(
            f"{source.label} has no header: it begins with {shown!r}. Name its {len(table.names)} columns in order "
            "with --columns, for example --columns time,open,high,low,close,volume (- for one to leave out), "
            "or put the names there",
            "--columns",
        )
    return open_table(source, form.columns[: len(table.names)]), form


def _first_rows(table: Table) -> list[list[str]]:
    batch = next((one for one in table.batches() if one.height), None)
    rows = [] if batch is None else batch.head(50).iter_rows()
    return [["" if cell is None else str(cell) for cell in row] for row in rows]


class _Finder:
    """One file's first rows, and what is asked of them one after the other; questions are collected."""

    def __init__(self, table: Table, sample: pl.DataFrame, request: IngestRequest, form: known.Format | None) -> None:
        self._table = table
        self._sample = sample
        self._request = request
        self._form = form
        self._errors: list[UnsureError] = []

    def reading(self) -> Reading:

        request, form = self._request, self._form
        found = names.guess_columns(self._sample.columns, self._given())
        self._refuse_repeated(found)
        written, clock = self._try(lambda: self._time(found)) or (None, False)
        timeless = bool(self._errors)
        style = self._try(lambda: self._numbers(found)) or NumberFormat()
        symbol = self._try(lambda: self._symbol(found))
        told = "timezone" in request.model_fields_set
        reading = Reading(
            format=form.name if form else self._table.source.kind.replace("text", "csv"),
            columns=found,
            time=written,
            zone=request.timezone if told or not (form and form.timezone) else form.timezone,
            zone_told=told or bool(form and form.timezone),
            numbers=style,
            symbol=symbol,
            asset_class=request.asset_class or (form.asset_class if form and "asset_class" not in found else None),
            interval=TICK,
            clock=clock,
        )
        if request.asset_class:
            found.pop("asset_class", None)
        if not timeless:
            rows = RowReader(replace(reading, symbol=reading.symbol or "?"), self._table).typed(self._sample)
            ordered = rows["event_time"].drop_nulls()
            reading = replace(
                reading,
                descending=len(ordered) > 1 and ordered[0] > ordered[-1],
                interval=self._try(lambda: self._interval(found, rows, reading)),
            )
            if reading.interval:
                self._try(lambda: self._check_days(reading))
        if self._errors:
            raise UnsureError.of([_about(self._table, one) for one in self._errors])
        if reading.interval != TICK and "interval" not in found:
            found.pop("trade_id", None)
        return reading

    def _try(self, step: Callable[[], T]) -> T | None:
        try:
            return step()
        except UnsureError as error:
            self._errors.append(error)
            return None

    def _given(self) -> dict[str, str]:
        of_format = {}
        for field, name in (self._form.fields if self._form else {}).items():
            match = next((one for one in self._sample.columns if names.bare(one) == names.bare(name)), None)
            if match is not None and field not in self._request.columns:
                of_format[field] = match
        return {**of_format, **self._request.columns}

    def _refuse_repeated(self, found: Mapping[str, str]) -> None:
        twice = [column for column in found.values() if column in self._table.repeated]
        if twice:
            raise UnsureError(
                f"{self._table.source.label} has two columns of the same name: {', '.join(twice)}. "
                f"The second is called {twice[0]!r} (2): say which is meant with --map, or rename one",
                "--map",
            )

    def _texts(self, column: str, rows: int = SAMPLE_ROWS) -> list[str]:
        cells = self._sample[column].head(rows).cast(pl.String, strict=False)
        header = names.bare(column)
        return [cell for cell in cells.str.strip_chars().to_list() if cell and names.bare(cell) != header]

    # -- time -------------------------------------------------------------------------------------------

    def _time(self, found: dict[str, str]) -> tuple[times.TimeFormat | None, bool]:
        """How times are written, of the first column that can be understood; with a clock of a column of its own."""
        request, form = self._request, self._form
        given = request.time_format or (form.time_format if form else None)
        columns = [found["event_time"]]
        if "event_time" not in request.columns:
            others = names.columns_of("event_time", self._sample.columns)
            columns += [one for one in others if one not in found.values()]
        first: UnsureError | None = None
        for column in columns:
            try:
                written = self._time_of(column, given)
            except UnsureError as error:
                first = first or error
                continue
            found["event_time"] = column
            return self._with_clock(found, written)
        if first is None:
            raise UnsureError("there is no time column", "--map event_time=")
        raise first

    def _time_of(self, column: str, given: str | None) -> times.TimeFormat | None:
        kind = self._sample.schema[column]
        if not (kind == pl.String or kind.is_numeric()):
            if kind == pl.Date:
                return times.TimeFormat("%Y-%m-%d")
            if isinstance(kind, pl.Datetime):
                return None
            raise UnsureError(f"the column {column} is of type {kind}, which is no time", "--map event_time=")
        if given == times.DAY_MS:
            match = re.match(self._form.file, self._table.source.name) if self._form else None
            if match is None:
                raise UnsureError("the day of these times is in no column and not in the file's name", "--time-format")
            return times.TimeFormat(times.DAY_MS, fixed=True, day=match["day"])
        texts = self._texts(column)
        if given is None and texts and times.looks_like_clock(texts) and not _all_epochs(texts):
            raise UnsureError(
                f"the column {column} holds clocks such as {texts[0]!r} without a date; say where the date is with "
                "--map event_time=COLUMN and --map time_of_day=" + column,
                "--map event_time=",
            )
        written = times.guess_time(texts, given)
        if written.zone == "name":
            self._check_zones(column)
        return written

    def _check_zones(self, column: str) -> None:
        named = times.zone_names(times.tidy(self._sample[column])).drop_nulls().unique().to_list()
        strange = [one for one in named if times.zone_of(one) is None]
        if strange or not named:
            raise UnsureError(
                f"the zone {', '.join(strange) or '?'} behind times such as {self._texts(column)[0]!r} can be several; "
                "write names such as America/New_York or offsets such as -05:00 into the file",
            )

    def _with_clock(
        self, found: dict[str, str], written: times.TimeFormat | None
    ) -> tuple[times.TimeFormat | None, bool]:
        """A date's column together with the column of its clock, where there is one."""
        if written is None or not (written.only_days or CLOCK in self._request.columns):
            return written, False
        taken = {*found.values()}
        columns = (
            [self._request.columns[CLOCK]]
            if CLOCK in self._request.columns
            else [one for one in names.columns_of(CLOCK, self._sample.columns) if one not in taken]
        )
        for column in columns:
            kind = self._sample.schema[column]
            if kind == pl.Time:
                found[CLOCK] = column
                return times.TimeFormat(f"{written.pattern} %H:%M:%S%.f", written.zone), True
            texts = times.clock_texts(self._sample[column]).drop_nulls()
            values = [one for one in texts.to_list() if one and names.bare(one) != names.bare(column)]
            if not times.looks_like_clock(values):
                continue
            if all(re.fullmatch(r"[0:.]*", one) for one in values):
                found[CLOCK] = column
                pattern = times.guess_time([f"2000-01-02 {one}" for one in values], None).pattern
                return times.TimeFormat(f"{written.pattern} {pattern.partition(' ')[2]}"), True
            clock = times.guess_time([f"2000-01-02 {one}" for one in values], None)
            found[CLOCK] = column
            return times.TimeFormat(f"{written.pattern} {clock.pattern.partition(' ')[2]}", clock.zone), True
        return written, False

    # -- numbers ----------------------------------------------------------------------------------------

    def _numbers(self, found: Mapping[str, str]) -> NumberFormat:
        request, form = self._request, self._form
        columns = [found[field] for field in NUMBERS if field in found]
        texts = [cell for column in columns if self._sample.schema[column] == pl.String for cell in self._texts(column)]
        dialect = self._table.dialect
        style = guess_numbers(
            texts,
            given=request.decimal or (form.decimal if form else None),
            thousands=request.thousands,
            comma_file=dialect is None or (dialect.delimiter == "," and not dialect.quoted),
        )
        if not request.decimal and form and form.decimal:
            style = replace(style, told=False)
        return replace(style, scale=self._scale(found))

    def _scale(self, found: Mapping[str, str]) -> float:
        if self._request.scale is not None:
            return self._request.scale
        prices = [value for field in PRICES if field in found for value in self._texts(found[field])]
        whole = bool(prices) and all(re.fullmatch(r"-?\d+", value) for value in prices)
        if self._form and self._form.scale != 1.0:
            return self._form.scale if whole else 1.0
        if whole and sorted(abs(int(value)) for value in prices)[len(prices) // 2] >= _LARGEST_WHOLE_PRICE:
            raise UnsureError(
                f"prices such as {prices[0]} look like fixed point; say what to multiply them with by --scale, for "
                "example --scale 1e-9 (--scale 1 where they are meant so)",
                "--scale",
                ("1e-9", "1"),
            )
        return 1.0

    # -- symbol -----------------------------------------------------------------------------------------

    def _symbol(self, found: dict[str, str]) -> str | None:
        """The symbol of all rows, or ``None`` where a column says it."""
        source = self._table.source
        column = found.get("symbol")
        if column and not self._request.symbol:
            values = self._texts(column)
            general = names.general(column) and "symbol" not in self._request.columns
            if values and not (general and any(value != value.upper() or " " in value for value in values)):
                return None
        found.pop("symbol", None)
        symbol = self._request.symbol or self._table.constants.get("symbol", "").upper()
        if not symbol and self._form and self._form.file:
            match = re.match(self._form.file, source.name)
            symbol = match["symbol"].upper() if match else ""
        symbol = symbol or symbols.of_name(source.name).symbol or ""
        if symbol:
            return symbol
        told = f" The column {column} does not look like symbols." if column else self._candidates(found)
        raise UnsureError(
            f"{source.label} has no symbol column and no symbol in its name; say which with --symbol.{told}", "--symbol"
        )

    def _candidates(self, found: Mapping[str, str]) -> str:
        texts = [
            column
            for column in self._sample.columns
            if column not in found.values()
            and self._sample.schema[column] == pl.String
            and (values := self._texts(column, 100))
            and all(symbols.looks_like_symbol(one) and re.search(r"[A-Z]", one) for one in values)
        ]
        return f" Or is it in a column: --map symbol={texts[0]}?" if texts else ""

    # -- interval ---------------------------------------------------------------------------------------

    def _interval(self, found: dict[str, str], rows: pl.DataFrame, reading: Reading) -> str | None:
        interval = self._request.interval
        if interval:
            found.pop("interval", None)
        elif "interval" in found:
            codes = set(self._texts(found["interval"]))
            wrong = sorted(code for code in codes if intervals.of_code(code) is None)
            if not wrong:
                if len(codes) > 1:
                    return None
                interval = intervals.of_code(codes.pop()) if codes else None
            found.pop("interval")
        step = self._step(rows)
        hint = symbols.of_name(self._table.source.name).interval
        hint = intervals.canonical(self._table.constants.get("interval", "")) or hint
        if self._form and self._form.file and (match := re.match(self._form.file, self._table.source.name)):
            hint = intervals.canonical(match.groupdict().get("interval") or "") or hint
        interval = interval or hint or (self._form.interval if self._form else None) or self._by_steps(found, rows)
        if interval is None:
            raise UnsureError(
                "it is not clear what its rows are bars of; say so with --interval: "
                + intervals.KNOWN
                + (". Bars of a second or a month are not kept" if step is not None else ""),
                "--interval",
            )
        self._check_step(interval, step, reading)
        return interval

    def _step(self, rows: pl.DataFrame) -> int | None:
        return intervals.usual_step(self._times(rows))

    def _times(self, rows: pl.DataFrame) -> list[int]:
        usable = rows.drop_nulls("event_time")
        if usable.height == 0:
            return []
        first = usable.filter(pl.col("symbol") == usable["symbol"][0])
        return first["event_time"].dt.epoch("us").unique().sort().to_list()

    def _by_steps(self, found: Mapping[str, str], rows: pl.DataFrame) -> str | None:
        return intervals.guess_interval(self._times(rows), has_range={"high", "low"} <= found.keys())

    def _check_step(self, interval: str, step: int | None, reading: Reading) -> None:
        if reading.time is not None and reading.time.only_days and (interval == TICK or interval[-1] in "mh"):
            raise UnsureError(
                f"its times are days without a clock, which bars of {interval} cannot have; is the clock in another "
                "column (--map time_of_day=COLUMN), or are these bars of a day (--interval 1d)?",
                "--map time_of_day=",
            )
        if (
            step is not None
            and step < intervals.length(interval)
            and not (interval[-1] in "dw" and step % intervals.DAY == 0)
        ):
            shown = intervals.of_length(step) or f"{step / intervals.SECOND:g} seconds"
            raise UnsureError(
                f"its rows are {shown} apart, and bars of {interval} cannot be; say what they are with --interval, "
                "or how the times are written with --time-format",
                "--interval",
            )

    def _check_days(self, reading: Reading) -> None:
        """A day's bar at a moment whose date depends on the place is asked about."""
        if reading.zone_told or reading.interval is None or reading.interval[-1] not in "dw":
            return
        moments = RowReader(reading, self._table).moments(self._sample)
        late = (moments["utc"].dt.replace_time_zone(None) == moments["written"]) & (moments["utc"].dt.hour() >= 15)
        typed_or_zoned = reading.time is None or reading.time.zoned
        if typed_or_zoned and late.any():
            example = moments["utc"].filter(late)[0]
            raise UnsureError(
                f"bars of {reading.interval} at {example:%H:%M} UTC are of that day or, east of it, of the next; say "
                "where with --timezone, for example Asia/Tokyo (or UTC)",
                "--timezone",
            )


def _all_epochs(texts: list[str]) -> bool:
    return all(len(text) >= 8 for text in texts)


def _about(table: Table, error: UnsureError) -> UnsureError:
    label = table.source.label
    if label in str(error):
        return error
    question = error.questions[0]
    return UnsureError(f"{label}: {error}", question.option, question.choices)


__all__ = ["EVENTS", "Reading", "absent", "find_out"]
