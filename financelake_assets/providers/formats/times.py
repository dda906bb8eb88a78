"""How a column writes times: found out from its first values, and turned into UTC.

Numbers are seconds, milliseconds, microseconds or nanoseconds since 1970 (judged row by row, because months of one
source changed their unit), dates of 8, 10, 12, 14 or 17 digits, or Excel's serial numbers. Years that no market data
can be of are refused. Texts are matched by their shape; a day and a month that could change places are asked about.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from financelake_assets.providers.formats.questions import UnsureError

EPOCHS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1, "epoch_ns": 0.001}
"""Epoch times by their unit, with the factor to microseconds."""
EXCEL, DOTNET, DAY_MS = "excel", "dotnet", "day_ms"
NUMERIC = (*EPOCHS, EXCEL, DOTNET)
UTC_SUFFIX = r" ?(Z|z|UTC|GMT)$"

_UNIT_SECONDS = {"epoch_s": 1.0, "epoch_ms": 1e3, "epoch_us": 1e6, "epoch_ns": 1e9}
_EARLY = 94_694_400  # 1973: seconds of earlier times look like milliseconds of 1970
_FIRST = -5_364_662_400  # 1800
_EXCEL_FIRST = 21_916  # 1960; days since 1970 are below it until 2030
_EXCEL_EPOCH = datetime(1899, 12, 30)
_DOTNET_RANGE = (6.2e17, 6.5e17)  # 1965 to 2060 as .NET's ticks, 1989 and 1990 as nanoseconds
_MOST_OF = 0.5

_DIGITS = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S", 17: "%Y%m%d%H%M%S%3f"}
_DAY_WORD = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTH_WORD = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_LONG_MONTH = r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
# shape → pattern; day and month of the last ones can change places
_DATES = (
    (r"\d{4}-\d{1,2}-\d{1,2}", "%Y-%m-%d"),
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
_OFFSET = r"(?: ?(?:GMT|UTC)?[+-]\d{2}:?(?:\d{2})?| ?[Zz]| (?:UTC|GMT))"
_ZONE_NAME = r" (?P<name>[A-Za-z]+(?:/[A-Za-z_+-]+\d*)*|[A-Z]{2,5})"
_ABBREVIATIONS = {
    "UTC": "UTC",
    "GMT": "UTC",
    "Z": "UTC",
    "EST": "Etc/GMT+5",
    "EDT": "Etc/GMT+4",
    "CDT": "Etc/GMT+5",
    "MST": "Etc/GMT+7",
    "MDT": "Etc/GMT+6",
    "PST": "Etc/GMT+8",
    "PDT": "Etc/GMT+7",
    "WET": "UTC",
    "CET": "Etc/GMT-1",
    "CEST": "Etc/GMT-2",
    "EET": "Etc/GMT-2",
    "EEST": "Etc/GMT-3",
    "MSK": "Europe/Moscow",
    "HKT": "Asia/Hong_Kong",
    "SGT": "Asia/Singapore",
    "JST": "Asia/Tokyo",
    "KST": "Asia/Seoul",
    "AEST": "Etc/GMT-10",
    "AEDT": "Etc/GMT-11",
}
"""Names of zones that mean one offset. Others (IST is India, Israel and Ireland) are refused."""


@dataclass(frozen=True)
class TimeFormat:
    """How a column writes times: an epoch unit, another kind of number, or a strptime pattern.

    ``zone`` says what tells the zone: ``none``, an ``offset`` behind the time, or a ``name`` behind it. ``fixed``: the
    pattern was named by the user, so that a number's unit is not judged row by row.
    """

    pattern: str
    zone: str = "none"
    fixed: bool = False
    day: str = ""

    @property
    def is_epoch(self) -> bool:
        """Whether times are numbers since 1970."""
        return self.pattern in EPOCHS

    @property
    def zoned(self) -> bool:
        """Whether each time says where it is meant."""
        return self.zone != "none" or self.is_epoch or self.pattern == DOTNET

    @property
    def only_days(self) -> bool:
        """Whether times are dates without a clock."""
        return not self.zoned and self.pattern not in (EXCEL, DAY_MS) and not re.search(r"%[HIT]", self.pattern)


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


def _latest() -> float:
    return (datetime.now(UTC) + timedelta(days=2)).timestamp()


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
    latest = _latest()
    units = Counter(unit for number in numbers if (unit := _unit(number, latest)))
    if units:
        unit = units.most_common(1)[0][0]
        strange = [n for n in numbers if _unit(n, latest) is None]
        # a history from before 1973 is in one unit, for its first years can be read in every one
        if all(_FIRST <= number / _UNIT_SECONDS[unit] <= latest for number in strange):
            return TimeFormat(unit, fixed=bool(strange))
        if len(strange) < _MOST_OF * len(numbers):
            return TimeFormat(unit)
    serials = (latest / 86_400) + 25_569
    if all(_EXCEL_FIRST <= number < serials for number in numbers):
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
    if len(lengths) > 1 or not (lengths & _DIGITS.keys()):
        return None
    pattern = _DIGITS[lengths.pop()]
    if not all(re.fullmatch(r"(18|19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])\d*", value) for value in values):
        return None
    if pattern == "%Y%m%d%H" and not all(_unit(float(value), _latest()) is None for value in values):
        return None
    readable = _strptime(pl.Series(values), pattern)
    return pattern if readable.null_count() == 0 else None


def _unit(number: float, latest: float) -> str | None:
    """The unit in which a number is a moment between 1973 and now; it is one at most."""
    return next((unit for unit, factor in _UNIT_SECONDS.items() if _EARLY <= number / factor <= latest), None)


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
    for zone, tail in (("none", ""), ("offset", _OFFSET), ("name", _ZONE_NAME)):
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


# -- reading --------------------------------------------------------------------------------------------


def tidy(values: pl.Series) -> pl.Series:
    """Texts without blanks at the ends and with single ones inside."""
    return values.cast(pl.String).str.strip_chars().str.replace_all(r"\s+", " ")


def parse_numbers(values: pl.Series, written: TimeFormat) -> pl.Series:
    """Times that are numbers as naive microseconds of UTC (of the file's zone for Excel); null where they are none."""
    texts = values if values.dtype.is_numeric() else values.cast(pl.String).str.strip_chars()
    frame = pl.DataFrame({"whole": texts.cast(pl.Int64, strict=False), "number": texts.cast(pl.Float64, strict=False)})
    if written.pattern == EXCEL:
        day = (pl.col("number") * 86_400_000).round().cast(pl.Int64, strict=False) * 1_000
        micros = day + int((_EXCEL_EPOCH - datetime(1970, 1, 1)) / timedelta(microseconds=1))
    elif written.pattern == DOTNET:
        micros = (pl.col("whole") - 621_355_968_000_000_000) // 10
    elif written.fixed:
        micros = _micros(written.pattern)
    else:
        micros = _row_by_row(written.pattern)
    return frame.select(micros.cast(pl.Datetime("us")).alias(values.name)).to_series()


def _micros(unit: str) -> pl.Expr:
    """Whole numbers stay exact; seconds may have a fraction."""
    factor = EPOCHS[unit]
    whole = pl.col("whole") // 1_000 if unit == "epoch_ns" else pl.col("whole") * int(factor)
    return pl.coalesce(whole, (pl.col("number") * factor).round().cast(pl.Int64, strict=False))


def _row_by_row(usual: str) -> pl.Expr:
    latest, number = _latest(), pl.col("number")
    rest = pl.when(number.is_between(_FIRST * _UNIT_SECONDS[usual], latest * _UNIT_SECONDS[usual]))
    micros: pl.Expr = rest.then(_micros(usual))
    for unit, factor in _UNIT_SECONDS.items():
        micros = pl.when(number.is_between(_EARLY * factor, latest * factor)).then(_micros(unit)).otherwise(micros)
    return micros


def parse_naive(texts: pl.Series, written: TimeFormat) -> pl.Series:
    """Times as they stand there, without their zone; null where they cannot be read. 24:00 is the next day's 0:00."""
    pattern = written.pattern
    if written.zone == "offset":
        texts = texts.str.replace(f"{_OFFSET}$", "")
        pattern = re.sub(r"\s*%:*#?z", "", pattern)
    elif written.zone == "name":
        texts = texts.str.replace(f"{_ZONE_NAME}$".replace("?P<name>", ""), "")
    parsed = _strptime(texts, pattern)
    if "%H" in pattern and parsed.null_count():
        late = texts.str.contains(r"[ T]24:00(?::00(?:\.0+)?)?$") & parsed.is_null()
        if late.any():
            next_day = _strptime(texts.str.replace(r"([ T])24:00", "${1}00:00"), pattern).dt.offset_by("1d")
            parsed = next_day.zip_with(late, parsed)
    return parsed


def parse_offset(texts: pl.Series, written: TimeFormat) -> pl.Series:
    """Times with an offset behind them, as naive UTC."""
    with_zone = texts.str.replace(UTC_SUFFIX, "+00:00").str.replace(r" ?(?:GMT|UTC)([+-])", "$1")
    pattern = re.sub(r"\s*(%:*#?z)", "$1", written.pattern).replace("$1", "%#z")
    if "%I" not in pattern and "%S" in pattern:
        with_zone = with_zone.str.replace(r" ([+-]\d{2}:?\d{0,2})$", "$1")
    try:
        return with_zone.str.to_datetime(pattern, time_unit="us", strict=False).dt.replace_time_zone(None)
    except pl.exceptions.PolarsError as error:
        raise UnsureError(f"--time-format {written.pattern}: {error}", "--time-format") from error


def zone_names(texts: pl.Series) -> pl.Series:
    """The names of zones behind times."""
    return texts.str.extract(f"{_ZONE_NAME}$".replace("?P<name>", ""))


def zone_of(name: str) -> str | None:
    """The zone that a name behind a time means, or ``None`` where it could be several."""
    if name.upper() in _ABBREVIATIONS:
        return _ABBREVIATIONS[name.upper()]
    if "/" not in name:
        return None
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError):
        return None


def clock_texts(values: pl.Series) -> pl.Series:
    """Clocks of a column of their own, with the noughts that a number has lost: 93000 is 09:30:00."""
    texts = tidy(values)
    longest = texts.str.len_chars().max() or 0
    if texts.str.contains(r"^\d*$").all() and isinstance(longest, int):
        return texts.str.zfill(6 if longest > 4 else 4)
    return texts


def looks_like_clock(values: Sequence[str]) -> bool:
    """Whether these are clocks without a date: 09:30, 9:30 AM, 093000."""
    shape = r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AaPp][Mm])?|\d{1,6}|\d{9}"
    found = [value.strip() for value in values]
    if not found or not all(re.fullmatch(shape, value) for value in found):
        return False
    return all(":" in value or _is_clock(value) for value in found)


def _is_clock(digits: str) -> bool:
    padded = digits.zfill(9 if len(digits) == 9 else 6 if len(digits) > 4 else 4)
    return int(padded[:2]) <= 24 and int(padded[2:4]) < 60 and (len(padded) == 4 or int(padded[4:6]) < 60)


def _strptime(texts: pl.Series, pattern: str) -> pl.Series:
    # polars wants a minute beside an hour
    if re.search(r"%I-%p$", pattern):
        texts = texts.str.replace(r"(\d{1,2})-([AaPp][Mm])$", "${1}:00 $2")
        pattern = pattern.replace("%I-%p", "%I:%M %p")
    elif pattern.endswith("%H"):
        texts, pattern = texts + "00", pattern + "%M"
    try:
        return texts.str.to_datetime(pattern, time_unit="us", strict=False)
    except pl.exceptions.PolarsError as error:
        raise UnsureError(f"--time-format {pattern}: {error}", "--time-format") from error
