"""How a column writes times, found out from its first values.

Numbers are seconds, milliseconds, microseconds or nanoseconds since 1970 (judged row by row, because months of one
source changed their unit), dates of 8, 10, 12, 14 or 17 digits, or Excel's serial numbers. Years that no market data
can be of are refused. Texts are matched by their shape; a day and a month that could change places are asked about.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl

from financelake_assets.providers.formats.questions import UnsureError
from financelake_assets.providers.formats.time_formats import (
    DOTNET,
    EARLIEST,
    EXCEL,
    NUMERIC,
    UNIT_SECONDS,
    TimeFormat,
    epoch_unit,
    latest,
)
from financelake_assets.providers.formats.time_parsing import parse_naive, strptime
from financelake_assets.providers.formats.zones import OFFSET, ZONE_NAME

_EXCEL_FIRST = 21_916  # 1960; days since 1970 are below it until 2030
_EXCEL_SURE = 29_221  # 1980; SAS's days since 1960 are below it until 2040
_DOTNET_RANGE = (6.2e17, 6.5e17)  # 1965 to 2060 as .NET's ticks, 1989 and 1990 as nanoseconds
_MOST_OF = 0.5
_YEARLY = 300

_DIGITS = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S", 17: "%Y%m%d%H%M%S%3f"}
_DAY_WORD = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTH_WORD = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_LONG_MONTH = r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
# shape → pattern; day and month of the last ones can change places
_DATES = (
    (r"\d{4}-\d{1,2}-\d{1,2}", "%Y-%m-%d"),
    (r"\d{4}- \d{1,2}- \d{1,2}", "%Y- %m- %d"),
    (r"\d{4}/\d{1,2}/\d{1,2}", "%Y/%m/%d"),
    (r"\d{4}\.\d{1,2}\.\d{1,2}", "%Y.%m.%d"),
    (r"\d{4}年\d{1,2}月\d{1,2}日", "%Y年%m月%d日"),
    (r"(?:18|19|20)\d{6}", "%Y%m%d"),
    (r"\d{1,2}\.\d{1,2}\.\d{4}", "%d.%m.%Y"),
    (r"\d{1,2}\.\d{1,2}\.\d{2}", "%d.%m.%y"),
    (rf"\d{{1,2}} {_MONTH_WORD} \d{{4}}", "%d %b %Y"),
    (rf"\d{{1,2}} {_LONG_MONTH} \d{{4}}", "%d %B %Y"),
    (rf"\d{{1,2}}-{_MONTH_WORD}-\d{{4}}", "%d-%b-%Y"),
    (rf"\d{{1,2}}-{_MONTH_WORD}-\d{{2}}", "%d-%b-%y"),
    (rf"\d{{1,2}}{_MONTH_WORD}\d{{4}}", "%d%b%Y"),
    (rf"\d{{4}}-{_MONTH_WORD}-\d{{1,2}}", "%Y-%b-%d"),
    (rf"{_MONTH_WORD} \d{{1,2}}, \d{{4}}", "%b %d, %Y"),
    (rf"{_LONG_MONTH} \d{{1,2}}, \d{{4}}", "%B %d, %Y"),
    (rf"{_MONTH_WORD} \d{{1,2}} \d{{4}}", "%b %d %Y"),
    (rf"{_DAY_WORD}, {_MONTH_WORD} \d{{1,2}}, \d{{4}}", "%a, %b %d, %Y"),
    (rf"{_DAY_WORD} {_MONTH_WORD} \d{{1,2}} \d{{4}}", "%a %b %d %Y"),
    (rf"{_DAY_WORD}, \d{{1,2}} {_MONTH_WORD} \d{{4}}", "%a, %d %b %Y"),
)
_SWAPPABLE = re.compile(r"(\d{1,2})([/-])(\d{1,2})\2(\d{4}|\d{2})")
_CLOCKS = (
    (r"", ""),
    (r"\d{1,2}:\d{2}", "%H:%M"),
    (r"\d{1,2}:\d{2}:\d{2}", "%H:%M:%S"),
    (r"\d{1,2}:\d{2}:\d{2}\.\d+", "%H:%M:%S%.f"),
    (r"\d{1,2}:\d{2} [AaPp][Mm]", "%I:%M %p"),
    (r"\d{1,2}:\d{2}[AaPp][Mm]", "%I:%M%p"),
    (r"\d{1,2}:\d{2}:\d{2} [AaPp][Mm]", "%I:%M:%S %p"),
    (r"\d{1,2}:\d{2}:\d{2}[AaPp][Mm]", "%I:%M:%S%p"),
    (r"\d{1,2}-[AaPp][Mm]", "%I-%p"),
    (r"\d{6}", "%H%M%S"),
    (r"\d{9}", "%H%M%S%3f"),
    (r"\d{4}", "%H%M"),
    (r"\d{2}", "%H"),
)
_BETWEEN = r"(?P<between> |T|t|,|, |D|;|_|-| - )"


def guess_time(values: Sequence[str], given: str | None) -> TimeFormat:
    """How these times are written.

    Raises:
        UnsureError: in no way known here, or in several (is 03/04/2020 in March or in April?).
    """
    if given is not None:
        return _given(given)
    if not values:
        raise UnsureError("the time column is empty")
    values = [re.sub(r"\s+", " ", value.strip()) for value in values]
    numeric = [value for value in values if re.fullmatch(r"-?\d+(\.\d*)?([eE]\+?\d+)?", value)]
    if len(numeric) > _MOST_OF * len(values):
        return _numeric(numeric)
    return _written(values)


def _given(pattern: str) -> TimeFormat:
    if "%Z" in pattern:
        return TimeFormat(re.sub(r"\s*%Z\s*", "", pattern), "name", fixed=True)
    zone = "offset" if re.search(r"%:*#?z", pattern) else "none"
    return TimeFormat({"%s": "epoch_s"}.get(pattern, pattern), zone, fixed=True)


# -- numbers --------------------------------------------------------------------------------------------


def _numeric(values: Sequence[str]) -> TimeFormat:
    digits = _digits(values)
    if digits:
        return TimeFormat(digits)
    numbers = [float(value) for value in values]
    low, high = _DOTNET_RANGE
    if all(low <= number <= high for number in numbers):
        raise UnsureError(
            f"times like {values[0]} can be .NET's ticks or nanoseconds of {_year(numbers[0] / 1e9)}; "
            "say which with --time-format dotnet or --time-format epoch_ns",
            "--time-format",
            (DOTNET, "epoch_ns"),
        )
    until = latest()
    units = Counter(unit for number in numbers if (unit := epoch_unit(number, until)))
    if units:
        unit = units.most_common(1)[0][0]
        strange = [n for n in numbers if epoch_unit(n, until) is None]
        # a history from before 1973 is in one unit, for its first years can be read in every one
        if all(EARLIEST <= number / UNIT_SECONDS[unit] <= until for number in strange):
            return TimeFormat(unit, fixed=bool(strange))
        if len(strange) < _MOST_OF * len(numbers):
            return TimeFormat(unit)
    serials = (until / 86_400) + 25_569
    if all(_EXCEL_FIRST <= number < serials for number in numbers) and max(numbers) >= _EXCEL_SURE:
        return TimeFormat(EXCEL)
    raise UnsureError(
        f"times like {values[0]} are no dates of a market as seconds, milli-, micro- or nanoseconds since 1970; say "
        "how to read them with --time-format: epoch_s, epoch_ms, epoch_us, epoch_ns, excel, dotnet, or a strptime "
        "pattern. Is the day in another column, or in the file's name?",
        "--time-format",
        NUMERIC,
    )


def _digits(values: Sequence[str]) -> str | None:
    """The pattern of dates that are written as one number, where all can be read so and not as a time since 1970."""
    lengths = {len(value) for value in values}
    if lengths in ({6}, {8}) and (pattern := _short_digits(values)):
        return pattern
    if len(lengths) > 1 or not (lengths & _DIGITS.keys()):
        return None
    pattern = _DIGITS[lengths.pop()]
    if not all(re.fullmatch(r"(18|19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])\d*", value) for value in values):
        return None
    if pattern == "%Y%m%d%H" and not all(epoch_unit(float(value), latest()) is None for value in values):
        return None
    readable = strptime(pl.Series(values), pattern)
    return pattern if readable.null_count() == 0 else None


def _short_digits(values: Sequence[str]) -> str | None:
    """The order of day, month and year in dates of six digits, or of eight that do not begin with the year.

    Raises:
        UnsureError: it can be more than one.
    """
    texts = pl.Series(values)
    if len(values[0]) == 8 and strptime(texts, "%Y%m%d").dt.year().is_between(1800, 2100).fill_null(False).all():
        return None
    orders = ("%y%m%d", "%d%m%y", "%m%d%y") if len(values[0]) == 6 else ("%d%m%Y", "%m%d%Y")
    until = datetime.fromtimestamp(latest(), UTC).replace(tzinfo=None)
    found = []
    for order in orders:
        days = strptime(texts, order)
        if days.null_count() or not days.is_between(datetime(1960, 1, 1), until).all():
            continue
        steps = days.unique().sort().diff().drop_nulls().dt.total_days()
        if len(steps) and isinstance(usual := steps.median(), float) and usual >= _YEARLY:
            continue  # a bar a year on one day is the day and the year changed
        found.append(order)
    if len(found) > 1:
        raise UnsureError(
            f"times like {values[0]} can be read in more than one way; say which of day, month and year comes first "
            f"with --time-format {' or --time-format '.join(found)}",
            "--time-format",
            tuple(found),
        )
    return found[0] if found else None


def _year(seconds: float) -> int:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).year


# -- texts ----------------------------------------------------------------------------------------------


def _written(values: Sequence[str]) -> TimeFormat:
    sample = values[:200]
    shapes = Counter(shape for value in sample if (shape := _shape(value)))
    if not shapes or shapes.most_common(1)[0][1] <= _MOST_OF * len(sample) - 1:
        raise _unreadable(values[0])
    (date, between, clock, zone), _ = shapes.most_common(1)[0]
    if date == "swap":
        date = _day_or_month_first(values, f"{between}{clock}" + ("%#z" if zone == "offset" else ""))
    fractions = any(f"{between}%H:%M:%S%.f" == f"{one[1]}{one[2]}" for one in shapes)
    if clock == "%H:%M:%S" and fractions:
        clock = "%H:%M:%S%.f"
    if clock == "%H:%M:%S":
        clock = "%H:%M:%S%.f"  # a fraction may come later
    found = TimeFormat(f"{date}{between}{clock}" + ("%#z" if zone == "offset" else ""), zone)
    if parse_naive(pl.Series(sample), found).is_not_null().mean() <= _MOST_OF:  # type: ignore[operator]
        raise _unreadable(values[0])
    return found


def _shape(value: str) -> tuple[str, str, str, str] | None:
    """The patterns of date, of what is between, and of the clock; and how the zone is told."""
    for zone, tail in (("none", ""), ("offset", OFFSET), ("name", ZONE_NAME)):
        for clock_shape, clock in _CLOCKS:
            if zone == "offset" and not clock:
                continue
            between = _BETWEEN if clock else "(?P<between>)"
            for date_shape, date in (*_DATES, (_SWAPPABLE.pattern.replace(r"\2", r"[/-]"), "swap")):
                match = re.fullmatch(f"(?P<date>{date_shape}){between}{clock_shape}{tail}", value, re.IGNORECASE)
                if match and (date != "swap" or _SWAPPABLE.fullmatch(match["date"])):
                    return date, match["between"].replace("t", "T"), clock, zone
    return None


def _day_or_month_first(values: Sequence[str], rest: str) -> str:
    found = [match for value in values if (match := _SWAPPABLE.match(value))]
    first, second = {int(one[1]) for one in found}, {int(one[3]) for one in found}
    separator, year = found[0][2], "%Y" if len(found[0][4]) == 4 else "%y"
    day_first = f"%d{separator}%m{separator}{year}"
    month_first = f"%m{separator}%d{separator}{year}"
    if max(first) > 12 and max(second) <= 12:
        return day_first
    if max(second) > 12 and max(first) <= 12:
        return month_first
    day_first, month_first = f"{day_first}{rest}", f"{month_first}{rest}"
    raise UnsureError(
        f"times like {values[0]!r} can be read in more than one way: is the day or the month first? "
        f"Say which with --time-format '{day_first}' or --time-format '{month_first}'",
        "--time-format",
        (day_first, month_first),
    )


def _unreadable(value: str) -> UnsureError:
    return UnsureError(
        f"times like {value!r} can be read in more than one way, or in none known here; "
        "say which with --time-format, for example '%d/%m/%Y %H:%M'",
        "--time-format",
    )
