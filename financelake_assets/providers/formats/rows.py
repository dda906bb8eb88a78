"""A file's cells as rows of market data: typed, in UTC, odd ones set apart with their text.

The hour that a clock shows twice is told apart by the order of rows: where times of a symbol step back within it, the
second hour has begun. That needs a state, so one ``RowReader`` goes through a file once, from its first row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from financelake_assets.intervals import TICK
from financelake_assets.providers.bar_intervals import of_code
from financelake_assets.providers.base import CLOCK, COLUMNS, EVENTS, NUMBERS, PRICES, OddRow, typed
from financelake_assets.providers.formats import symbols, zones
from financelake_assets.providers.formats import time_formats as times
from financelake_assets.providers.formats import time_parsing as parsing
from financelake_assets.providers.formats.numbers import absent, parse
from financelake_assets.providers.formats.plan import Reading
from financelake_assets.providers.formats.tables import Table
from financelake_assets.providers.formats.text import is_footer

_TEXTS = ("symbol", "asset_class", "interval", "trade_id")


@dataclass(frozen=True)
class Piece:
    """Some rows, and the odd ones; ``remarks`` of those are lines of the source that hold no data."""

    rows: pl.DataFrame
    odd: tuple[OddRow, ...]
    remarks: int = 0


class RowReader:
    """Goes through the rows of one file once."""

    def __init__(self, reading: Reading, table: Table) -> None:
        self._reading = reading
        self._table = table
        self._first = 0
        self._turned: dict[tuple[str, datetime], tuple[datetime, bool]] = {}
        self._classes: dict[str, str] = {}
        self.twice = 0
        """Times in an hour that the clock shows twice."""

    def pieces(self) -> Iterator[Piece]:
        """All rows of the file, then the lines that are none.

        Raises:
            ProviderError: the file cannot be read to its end.
        """
        for batch in self._table.batches():
            yield self._piece(batch)
            self._first += batch.height
        ragged, dialect = self._table.ragged, self._table.dialect
        if ragged and dialect is not None:
            # at the end, because a reader that reads ahead finds them when it likes
            known = {"symbol": self._reading.symbol, "asset_class": self._reading.asset_class or "stock"}
            width = len(dialect.layout.names)
            remarks = sum(is_footer(line, dialect.delimiter, width) for line in ragged)
            odd = tuple({**known, "line": line} for line in ragged)
            yield Piece(pl.DataFrame(schema=dict(COLUMNS)), odd, remarks)

    def _piece(self, batch: pl.DataFrame) -> Piece:
        reading = self._reading
        rows = self.typed(batch)
        if "trade_id" not in reading.columns:
            # trades without an identity get their place in the file: read again, they are the same trades
            place = pl.format(
                "{}:{}", pl.lit(self._table.source.name), pl.int_range(self._first, self._first + rows.height)
            )
            rows = rows.with_columns(trade_id=pl.when(pl.col("interval") == TICK).then(place))
        odd = pl.Series([False]).new_from_index(0, rows.height)
        for field, column in reading.columns.items():
            if field in NUMBERS or field == "event_time":
                nulls = rows[field].is_null()
                if nulls.any():  # only then is it worth the look at what stands there
                    absent_ones = self._absent(batch.filter(nulls), field, column)
                    odd = odd.scatter(nulls.arg_true().filter(~absent_ones), True)
        if not odd.any():
            return Piece(rows, ())
        wrong = batch.filter(odd)
        column = reading.columns["event_time"]
        header = wrong[column].cast(pl.String).str.strip_chars().str.to_lowercase() == column.strip().lower()
        found = tuple(self._odd_rows(rows.filter(odd), wrong))
        empty = [absent(wrong[one]) for field, one in reading.columns.items() if field in NUMBERS]
        remark = rows.filter(odd)["event_time"].is_null()
        for one in empty:
            remark &= one
        return Piece(rows.filter(~odd), found, int((header | remark).sum() or 0))

    def _absent(self, batch: pl.DataFrame, field: str, column: str) -> pl.Series:
        missing = absent(batch[column])
        if field in EVENTS:  # written as zero, or a split as one, where there is none
            value = parse(batch[column], self._reading.numbers)
            missing |= value.is_in([0.0, 1.0] if field == "split" else [0.0]).fill_null(False)
        return missing

    def _odd_rows(self, rows: pl.DataFrame, batch: pl.DataFrame) -> Iterator[OddRow]:
        texts = batch.select(pl.all().cast(pl.String, strict=False))
        columns = self._reading.columns.items()
        for row, text in zip(rows.iter_rows(named=True), texts.iter_rows(named=True), strict=True):
            given = {field: text[column] for field, column in columns if field not in (*_TEXTS, CLOCK)}
            if CLOCK in self._reading.columns and given["event_time"] is not None:
                given["event_time"] = f"{given['event_time']} {text[self._reading.columns[CLOCK]] or ''}".strip()
            read = {field: row[field] for field in given if row[field] is not None}
            yield {**{field: row[field] for field in _TEXTS}, **given, **read}

    def typed(self, batch: pl.DataFrame) -> pl.DataFrame:
        """A batch with the columns of a chunk; what cannot be read is null."""
        reading, of = self._reading, self._reading.columns
        fields: dict[str, pl.Series | pl.Expr] = {}
        fields["symbol"] = (
            pl.lit(reading.symbol)
            if reading.symbol
            else batch[of["symbol"]].cast(pl.String).str.strip_chars().str.to_uppercase()
        )
        fields["interval"] = pl.lit(reading.interval) if reading.interval else self._intervals(batch)
        if reading.asset_class is not None:
            fields["asset_class"] = pl.lit(reading.asset_class)
        elif "asset_class" in of:
            fields["asset_class"] = batch[of["asset_class"]].cast(pl.String).str.strip_chars()
        if "trade_id" in of:
            fields["trade_id"] = batch[of["trade_id"]].cast(pl.String).str.strip_chars().replace("", None)
        for field in NUMBERS:
            if field in of:
                fields[field] = self._number(batch[of[field]], field)
        moments = self.moments(batch)
        rows = batch.select(moments["utc"], moments["written"], **fields)
        daily = pl.col("interval").str.contains("[dw]$").fill_null(False)
        day = pl.col("written").dt.truncate("1d").dt.replace_time_zone("UTC")
        rows = rows.with_columns(event_time=pl.when(daily).then(day).otherwise(pl.col("utc")))
        if "asset_class" not in fields:
            for one in rows["symbol"].drop_nulls().unique():
                self._classes.setdefault(one, symbols.guess_class(one))
            rows = rows.with_columns(
                asset_class=pl.col("symbol").replace_strict(self._classes, default=None, return_dtype=pl.String)
            )
        return typed(rows)

    def _intervals(self, batch: pl.DataFrame) -> pl.Series:
        codes = batch[self._reading.columns["interval"]].cast(pl.String).str.strip_chars()
        words = {code: of_code(code) or code for code in codes.drop_nulls().unique()}
        return codes.replace_strict(words, default=None, return_dtype=pl.String)

    def _number(self, values: pl.Series, field: str) -> pl.Series:
        style = self._reading.numbers
        numbers = parse(values, style)
        if style.scale != 1.0 and field in (*PRICES, "dividend"):
            none = numbers > 9.2e18  # Databento's way to write no price
            numbers = numbers.set(none, None) * style.scale
            # a product such as 4742500000000 * 1e-9 has digits of noise behind it
            numbers = numbers.round(12)
        if field == "volume" and style.volume_scale != 1.0:
            numbers = numbers * style.volume_scale
        if field == "split":
            numbers = _ratios(values, numbers).replace(1.0, None)
        if field in EVENTS:
            numbers = numbers.replace(0.0, None)
        return numbers.alias(field)

    # -- times ------------------------------------------------------------------------------------------

    def moments(self, batch: pl.DataFrame) -> pl.DataFrame:
        """The times of a batch: ``utc``, and ``written`` as the clock of their place shows them."""
        utc, written = self._moments(batch)
        return pl.DataFrame({"utc": utc.dt.cast_time_unit("us"), "written": written.dt.cast_time_unit("us")})

    def _moments(self, batch: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
        reading, form = self._reading, self._reading.time
        values = batch[reading.columns["event_time"]]
        if form is None:
            zone = values.dtype.time_zone if isinstance(values.dtype, pl.Datetime) else None
            if zone is not None:
                utc = values.dt.convert_time_zone("UTC")
                return utc, (self._local(utc) if zone == "UTC" else values.dt.replace_time_zone(None))
            naive = values.cast(pl.Datetime("us"))
            return self._localised(naive, batch), naive
        if form.pattern == times.DAY_MS:
            day = datetime.strptime(form.day, "%Y%m%d")
            passed = values.cast(pl.String).str.strip_chars().cast(pl.Int64, strict=False)
            naive = (passed * 1_000).cast(pl.Duration("us")) + pl.Series([day], dtype=pl.Datetime("us"))
            return self._localised(naive, batch), naive
        if form.pattern in times.NUMERIC and CLOCK not in reading.columns:
            naive = parsing.parse_numbers(values, form)
            if form.pattern in (times.EXCEL, times.DOTNET):
                return self._localised(naive, batch), naive
            utc = naive.dt.replace_time_zone("UTC")
            return utc, self._local(utc)
        texts = self._written(batch, values)
        if form.zone == "offset":
            utc = parsing.parse_offset(texts, form).dt.replace_time_zone("UTC")
            naive = parsing.parse_naive(texts, form)
            same = bool((utc.dt.replace_time_zone(None) == naive).all())
            return utc, (self._local(utc) if same else naive)
        naive = parsing.parse_naive(texts, form)
        if form.zone == "name":
            return self._by_name(naive, zones.zone_names(texts), batch), naive
        return self._localised(naive, batch), naive

    def _written(self, batch: pl.DataFrame, values: pl.Series) -> pl.Series:
        dated = values.dtype == pl.Date or isinstance(values.dtype, pl.Datetime)
        texts = values.dt.to_string("%Y-%m-%d") if dated else parsing.tidy(values)
        clock = self._reading.columns.get(CLOCK)
        if clock is None:
            return texts
        texts = texts.str.replace(r"[ T]0?0:00(:00(\.0+)?)?$", "")  # a date of a spreadsheet
        if self._reading.time is not None and self._reading.time.clock == times.HOURS:
            return texts + " " + parsing.hour_texts(batch[clock])
        clocks = (
            batch[clock].dt.to_string("%H:%M:%S%.f")
            if batch.schema[clock] == pl.Time
            else parsing.clock_texts(batch[clock])
        )
        return texts + " " + clocks

    def _local(self, utc: pl.Series) -> pl.Series:
        zone = self._reading.zone if self._reading.zone_told else "UTC"
        return utc.dt.convert_time_zone(zone).dt.replace_time_zone(None)

    def _by_name(self, naive: pl.Series, named: pl.Series, batch: pl.DataFrame) -> pl.Series:
        utc = pl.Series(naive.name, [None] * len(naive), pl.Datetime("us", "UTC"))
        for name in named.drop_nulls().unique():
            zone = zones.zone_of(name)
            if zone is not None:
                of_zone = self._localised(naive.set(named.ne_missing(name), None), batch, zone)
                utc = utc.zip_with((named != name).fill_null(True), of_zone)
        return utc

    def _localised(self, naive: pl.Series, batch: pl.DataFrame, zone: str | None = None) -> pl.Series:
        """Times of a zone as UTC; of an hour that the clock skips, none."""
        zone = zone or self._reading.zone
        naive = naive.cast(pl.Datetime("us"))
        first = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        if zone == "UTC":
            return first
        second = naive.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null")
        twice = (first != second).fill_null(False)
        if twice.any() and not (self._reading.interval or "").endswith(("d", "w")):
            first = self._second_hours(first, second, naive, twice, batch)
        return first.dt.convert_time_zone("UTC")

    def _second_hours(
        self, first: pl.Series, second: pl.Series, naive: pl.Series, twice: pl.Series, batch: pl.DataFrame
    ) -> pl.Series:
        """Take the second hour for the times behind a step back (a step ahead where times go down)."""
        of = self._reading.columns
        at = twice.arg_true()
        which = (
            [self._reading.symbol or ""] * len(at) if self._reading.symbol else batch[of["symbol"]].gather(at).to_list()
        )
        down = self._reading.descending
        later = []
        for place, symbol, time in zip(at, which, naive.gather(at), strict=True):
            self.twice += 1
            key = (str(symbol), time - timedelta(hours=time.hour, minutes=time.minute))
            before, turned = self._turned.get(key, (None, False))
            turned = turned or (before is not None and (time > before if down else time < before))
            if before == time and not turned and (self._reading.interval or TICK) != TICK:
                turned = True
            self._turned[key] = (time, turned)
            if turned != down:
                later.append(place)
        chosen = pl.Series([False]).new_from_index(0, len(first)).scatter(later, True) if later else None
        return first if chosen is None else second.zip_with(chosen, first)


def _ratios(values: pl.Series, numbers: pl.Series) -> pl.Series:
    """Splits that are written as 4:1 or 4/1: four new shares for an old one."""
    if values.dtype != pl.String:
        return numbers
    parts = values.str.extract_groups(r"^\s*(?<new>\d+(?:\.\d+)?)\s*[:/]\s*(?<old>\d+(?:\.\d+)?)\s*$").struct
    ratio = parts.field("new").cast(pl.Float64) / parts.field("old").cast(pl.Float64)
    return numbers.zip_with(ratio.is_null(), ratio)
