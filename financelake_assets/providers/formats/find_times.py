"""Which column holds the times, how they are written, and whether a clock stands in a column of its own."""

from __future__ import annotations

import re

import polars as pl

from financelake_assets.providers.base import CLOCK
from financelake_assets.providers.formats import names, zones
from financelake_assets.providers.formats.questions import UnsureError
from financelake_assets.providers.formats.sample import Sample
from financelake_assets.providers.formats.time_formats import DAY_MS, HOURS, TimeFormat
from financelake_assets.providers.formats.time_parsing import clock_texts, looks_like_clock, tidy
from financelake_assets.providers.formats.times import guess_time

_EXPONENT = re.compile(r"(\d)\.?(\d*)[eE]\+?(\d+)")
_LAST_HOUR = 23


def find_times(sample: Sample, found: dict[str, str]) -> TimeFormat | None:
    """How times are written, with a clock of a column of its own; ``None`` where they are typed.

    Of several columns that can be the time, the first that can be understood is taken. ``found`` is brought up to date.

    Raises:
        UnsureError: they can be read in several ways, or in none.
    """
    request, form = sample.request, sample.form
    given = request.time_format or (form.time_format if form else None)
    columns = [found["event_time"]]
    if "event_time" not in request.columns:
        others = names.columns_of("event_time", sample.rows.columns)
        columns += [one for one in others if one not in found.values()]
    first: UnsureError | None = None
    for column in columns:
        try:
            written = _time_of(sample, column, given)
        except UnsureError as error:
            first = first or error
            continue
        found["event_time"] = column
        return _with_clock(sample, found, written)
    if first is None:
        raise UnsureError("there is no time column", "--map event_time=")
    raise first


def _time_of(sample: Sample, column: str, given: str | None) -> TimeFormat | None:
    kind = sample.kind(column)
    if not (kind == pl.String or kind.is_numeric()):
        if kind == pl.Date:
            return TimeFormat("%Y-%m-%d")
        if isinstance(kind, pl.Datetime):
            return None
        raise UnsureError(f"the column {column} is of type {kind}, which is no time", "--map event_time=")
    if given == DAY_MS:
        match = re.match(sample.form.file, sample.name) if sample.form else None
        if match is None:
            raise UnsureError("the day of these times is in no column and not in the file's name", "--time-format")
        return TimeFormat(DAY_MS, fixed=True, day=match["day"])
    texts = sample.texts(column)
    if kind == pl.String:
        _refuse_shortened(texts)
    six_digits = names.says_date(column) and all(re.fullmatch(r"\d{6}", text) for text in texts)
    if given is None and texts and not six_digits and looks_like_clock(texts) and not _long_numbers(texts):
        raise UnsureError(
            f"the column {column} holds clocks such as {texts[0]!r} without a date; say where the date is with "
            "--map event_time=COLUMN and --map time_of_day=" + column,
            "--map event_time=",
        )
    written = guess_time(texts, given)
    if written.zone == "name":
        _check_zones(sample, column)
    return written


def _refuse_shortened(texts: list[str]) -> None:
    """Refuse what a spreadsheet made of large numbers: 1.70407E+12 is any time of two hours."""
    for text in texts:
        match = _EXPONENT.fullmatch(text)
        if match and len(match[2]) < int(match[3]):
            raise UnsureError(
                f"times like {text} are numbers that a spreadsheet has shortened; their last digits are lost. Take the "
                "file from its source again, without opening it in a spreadsheet"
            )


def _long_numbers(texts: list[str]) -> bool:
    return all(len(text) >= 8 for text in texts)


def _check_zones(sample: Sample, column: str) -> None:
    named = zones.zone_names(tidy(sample.rows[column])).drop_nulls().unique().to_list()
    strange = [one for one in named if zones.zone_of(one) is None]
    if strange or not named:
        raise UnsureError(
            f"the zone {', '.join(strange) or '?'} behind times such as {sample.texts(column)[0]!r} can be several; "
            "write names such as America/New_York or offsets such as -05:00 into the file",
        )


def _with_clock(sample: Sample, found: dict[str, str], written: TimeFormat | None) -> TimeFormat | None:
    """A date's column together with the column of its clock, where there is one."""
    given = sample.request.columns.get(CLOCK)
    if written is None or not (written.only_days or given):
        return written
    taken = {*found.values()}
    others = [one for one in names.columns_of(CLOCK, sample.rows.columns) if one not in taken]
    for column in [given] if given else others:
        if sample.kind(column) == pl.Time:
            found[CLOCK] = column
            return TimeFormat(f"{written.pattern} %H:%M:%S%.f", written.zone)
        values = sample.texts(column)
        if names.says_hour(column) and values and all(re.fullmatch(r"\d{1,2}(\.0)?", one) for one in values):
            _check_hours(column, values)
            found[CLOCK] = column
            return TimeFormat(f"{written.pattern} %H:%M", written.zone, clock=HOURS)
        padded = [one for one in clock_texts(pl.Series(values, dtype=pl.String)).to_list() if one]
        if not looks_like_clock(values):
            continue
        clock = guess_time([f"2000-01-02 {one}" for one in padded], None)
        found[CLOCK] = column
        zone = "none" if all(re.fullmatch(r"[0:.]*", one) for one in padded) else clock.zone
        return TimeFormat(f"{written.pattern} {clock.pattern.partition(' ')[2]}", zone)
    return written


def _check_hours(column: str, values: list[str]) -> None:
    hours = {int(float(value)) for value in values}
    if max(hours) > _LAST_HOUR:
        raise UnsureError(
            f"the column {column} counts hours up to {max(hours)}: does hour 1 begin or end at 1:00? Write the time at "
            "which each hour begins into the file, such as 00:00"
        )
