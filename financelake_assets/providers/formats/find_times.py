"""Which column holds the times, how they are written, and whether a clock stands in a column of its own."""

from __future__ import annotations

import re
from datetime import date, datetime

import polars as pl

from financelake_assets.providers.base import CLOCK
from financelake_assets.providers.formats import names, zones
from financelake_assets.providers.formats.questions import UnsureError
from financelake_assets.providers.formats.sample import Sample
from financelake_assets.providers.formats.time_formats import DAY_MS, HOURS, TimeFormat
from financelake_assets.providers.formats.time_parsing import clock_texts, looks_like_clock, parse_naive, tidy
from financelake_assets.providers.formats.times import guess_time

_EXPONENT = re.compile(r"(\d)\.?(\d*)[eE]\+?(\d+)")
_LAST_HOUR = 23
_DAY = r"^(\d{1,2}[/-]\d{1,2}[/-]\d{2,4}|\d{6,8})"
_SPANS = (
    (re.compile(r"(?<!\d)(\d{8})\d{0,6}[_-]+(?:to[_-])?(\d{8})\d{0,6}(?!\d)"), "%Y%m%d"),
    (re.compile(r"(\d{4}-\d{2}-\d{2})[_-]+(?:to[_-])?(\d{4}-\d{2}-\d{2})"), "%Y-%m-%d"),
    (re.compile(r"^[A-Z0-9.]+_(\d{6})_(\d{6})(?!\d)"), "%y%m%d"),
)
"""Spans in files' names; those of six digits are Finam's."""


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
    try:
        written = guess_time(texts, given)
    except UnsureError as error:
        written = _decided(sample, column, error)
    if written.zone == "name":
        _check_zones(sample, column)
    return written


def _decided(sample: Sample, column: str, error: UnsureError) -> TimeFormat:
    """Which of several orders of day and month it is: by the span that the file's name tells, or by its later rows.

    Raises:
        UnsureError: neither tells it.
    """
    choices = error.questions[0].choices
    if sample.kind(column) != pl.String or not all(one.startswith("%") for one in choices) or not choices:
        raise error
    if span := _span_of(sample.name):
        inside = []
        for choice in choices:
            days = parse_naive(tidy(pl.Series(sample.texts(column))), guess_time([], choice)).drop_nulls().dt.date()
            if len(days) and days.is_between(*span).all():
                inside.append(choice)
        if len(inside) == 1:
            return guess_time(sample.texts(column), inside[0])
    days = pl.Series([], dtype=pl.String)
    for batch in sample.table.batches():
        later = tidy(batch[column]).drop_nulls()
        firsts = pl.DataFrame({"text": later, "day": later.str.extract(_DAY)}).drop_nulls().unique("day")
        days = pl.concat([days, firsts["text"]])
        try:
            return guess_time([*sample.texts(column, 20), *days.to_list()], None)
        except UnsureError:
            days = days.unique()
    raise error


def _span_of(name: str) -> tuple[date, date] | None:
    """The first and last day that a file's name tells: SBER_240102_240131 of Finam, and others with whole years."""
    for pattern, order in _SPANS:
        if match := pattern.search(name):
            try:
                first, last = (datetime.strptime(one, order).date() for one in match.groups())
            except ValueError:
                continue
            if first <= last:
                return first, last
    return None


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
    days = _as_days(sample, found["event_time"], written)
    if days is None and (written is None or not given):
        return written
    whole, written = written, days or written
    assert written is not None  # noqa: S101  # one of both is there
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
    return whole


def _as_days(sample: Sample, column: str, written: TimeFormat | None) -> TimeFormat | None:
    """How dates are written where times hold nothing but days; ``None`` where they have a clock."""
    if written is None:
        kind = sample.kind(column)
        typed = sample.rows[column].drop_nulls()
        naive = isinstance(kind, pl.Datetime) and kind.time_zone is None
        return TimeFormat("%Y-%m-%d") if naive and len(typed) and (typed == typed.dt.truncate("1d")).all() else None
    if written.only_days:
        return written
    date_only = re.split(r"[ T]%H", written.pattern)[0]
    midnights = not written.zoned and date_only != written.pattern
    if midnights and all(re.search(r"[ T]0?0:00(:00(\.0+)?)?$", one) for one in sample.texts(column)):
        return TimeFormat(date_only)
    return None


def _check_hours(column: str, values: list[str]) -> None:
    hours = {int(float(value)) for value in values}
    if max(hours) > _LAST_HOUR:
        raise UnsureError(
            f"the column {column} counts hours up to {max(hours)}: does hour 1 begin or end at 1:00? Write the time at "
            "which each hour begins into the file, such as 00:00"
        )
