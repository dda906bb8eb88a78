"""How one file is to be read, from its first rows, its name, and what the user says.

Input: an opened table and a request. Output: a ``Reading``, or an ``UnsureError`` with everything that must be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from financelake_assets.intervals import TICK
from financelake_assets.providers.base import ProviderError
from financelake_assets.providers.formats import known, names, recognise
from financelake_assets.providers.formats.find_interval import check_days, find_interval
from financelake_assets.providers.formats.find_symbol import find_symbol
from financelake_assets.providers.formats.find_times import find_times
from financelake_assets.providers.formats.find_values import check_range, find_numbers
from financelake_assets.providers.formats.find_zone import check_zone, find_zone
from financelake_assets.providers.formats.numbers import NumberFormat
from financelake_assets.providers.formats.plan import Reading
from financelake_assets.providers.formats.questions import UnsureError
from financelake_assets.providers.formats.rows import RowReader
from financelake_assets.providers.formats.sample import Sample, first_rows
from financelake_assets.providers.formats.sources import Source
from financelake_assets.providers.formats.tables import Table, open_table
from financelake_assets.providers.request import IngestRequest

_LEFT_OUT = "-"

T = TypeVar("T")


def find_out(source: Source, request: IngestRequest) -> tuple[Table, Reading]:
    """A source opened, and how it is to be read.

    Raises:
        UnsureError: something cannot be known without the user.
        ProviderError: it cannot be read.
    """
    table, form = _recognised(source, request)
    rows = first_rows(table)
    if rows.height == 0:
        raise ProviderError(f"{source.label} has no rows")
    sample = Sample(table, rows, request, form)
    try:
        return table, _Finder(sample).reading()
    except UnsureError as error:
        raise UnsureError.of([_about(table, error)] if len(error.questions) == 1 else [error]) from error


def _recognised(source: Source, request: IngestRequest) -> tuple[Table, known.Format | None]:
    """The table with names for its columns, and the format that it has."""
    forced = recognise.named(request.format) if request.format else []
    if request.format and not forced:
        raise ProviderError(f"no format {request.format!r}; `financelake formats` lists them")
    table = open_table(source, request.header)
    if table.header or request.header:
        by_names = recognise.by_header(table.names, table.preamble)
        return table, next((one for one in forced if one.header), forced[0]) if forced else by_names
    rows = _cells(table)
    form = recognise.by_shape(rows, source.path, source.name, forced)
    if form is None:
        shown = ",".join(rows[0])[:80] if rows else ""
        like = "".join(f". It may be {one.title}: --format {one.name}" for one in recognise.perhaps(rows)[:1])
        raise UnsureError(
            f"{source.label} has no header: it begins with {shown!r}. Name its {len(table.names)} columns in order "
            "with --columns, for example --columns time,open,high,low,close,volume (- for one to leave out), "
            f"or put the names there{like}",
            "--columns",
        )
    return open_table(source, form.columns[: len(table.names)]), form


def _cells(table: Table) -> list[list[str]]:
    batch = next((one for one in table.batches() if one.height), None)
    rows = [] if batch is None else batch.head(50).iter_rows()
    return [["" if cell is None else str(cell) for cell in row] for row in rows]


class _Finder:
    """What is asked of one file's first rows, one after the other; questions are collected."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample
        self._errors: list[UnsureError] = []

    def reading(self) -> Reading:
        """How the file is read.

        Raises:
            UnsureError: with all questions.
        """
        sample, request, form = self._sample, self._sample.request, self._sample.form
        found = names.guess_columns(sample.rows.columns, self._given())
        self._refuse_repeated(found)
        written = self._try(lambda: find_times(sample, found))
        timeless = bool(self._errors)
        style = self._try(lambda: find_numbers(sample, found)) or NumberFormat()
        self._try(lambda: check_range(sample, found, style))
        symbol = self._try(lambda: find_symbol(sample, found))
        zone = find_zone(sample, found)
        if request.asset_class:
            found.pop("asset_class", None)
        reading = Reading(
            format=form.name if form else sample.table.source.kind.replace("text", "csv"),
            columns=found,
            time=written,
            zone=zone.name,
            zone_told=zone.told,
            numbers=style,
            symbol=symbol,
            asset_class=request.asset_class or (form.asset_class if form and "asset_class" not in found else None),
            interval=TICK,
        )
        if not timeless:
            rows = RowReader(replace(reading, symbol=reading.symbol or "?"), sample.table).typed(sample.rows)
            ordered = rows["event_time"].drop_nulls()
            reading = replace(
                reading,
                descending=len(ordered) > 1 and ordered[0] > ordered[-1],
                interval=self._try(lambda: find_interval(sample, found, rows, reading)),
            )
            if reading.interval:
                self._try(lambda: check_days(sample, reading))
            if reading.interval or "interval" in found:
                self._try(lambda: check_zone(zone, reading, sample))
        if self._errors:
            raise UnsureError.of([_about(sample.table, one) for one in self._errors])
        if reading.interval != TICK and "interval" not in found:
            found.pop("trade_id", None)
        return replace(reading, unused=tuple(sample.unused(found)))

    def _try(self, step: Callable[[], T]) -> T | None:
        try:
            return step()
        except UnsureError as error:
            self._errors.append(error)
            return None

    def _given(self) -> dict[str, str]:
        """Columns that the format or the user names; ``-`` for a field that the file has not."""
        of_format = {}
        for field, name in (self._sample.form.fields if self._sample.form else {}).items():
            match = next((one for one in self._sample.rows.columns if names.bare(one) == names.bare(name)), None)
            match = _LEFT_OUT if name == _LEFT_OUT else match
            if match is not None and field not in self._sample.request.columns:
                of_format[field] = match
        return {**of_format, **self._sample.request.columns}

    def _refuse_repeated(self, found: Mapping[str, str]) -> None:
        twice = [column for column in found.values() if column in self._sample.table.repeated]
        if twice:
            raise UnsureError(
                f"{self._sample.label} has two columns of the same name: {', '.join(twice)}. "
                f"The second is called {twice[0]!r} (2): say which is meant with --map, or rename one",
                "--map",
            )


def _about(table: Table, error: UnsureError) -> UnsureError:
    label = table.source.label
    if label in str(error):
        return error
    question = error.questions[0]
    return UnsureError(f"{label}: {error}", question.option, question.choices)
