"""Texts and numbers of a column of times as moments, once it is known how they are written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from financelake_assets.providers.formats.questions import UnsureError
from financelake_assets.providers.formats.time_formats import (
    DOTNET,
    EARLIEST,
    EARLIEST_EPOCH,
    EPOCHS,
    EXCEL,
    UNIT_SECONDS,
    TimeFormat,
    latest,
)
from financelake_assets.providers.formats.zones import OFFSET, ZONE_NAME

_UTC_SUFFIX = r" ?(Z|z|UTC|GMT)$"
_EXCEL_EPOCH = datetime(1899, 12, 30)


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
    until, number = latest(), pl.col("number")
    rest = pl.when(number.is_between(EARLIEST * UNIT_SECONDS[usual], until * UNIT_SECONDS[usual]))
    micros: pl.Expr = rest.then(_micros(usual))
    for unit, factor in UNIT_SECONDS.items():
        micros = (
            pl.when(number.is_between(EARLIEST_EPOCH * factor, until * factor)).then(_micros(unit)).otherwise(micros)
        )
    return micros


def parse_naive(texts: pl.Series, written: TimeFormat) -> pl.Series:
    """Times as they stand there, without their zone; null where they cannot be read. 24:00 is the next day's 0:00."""
    pattern = written.pattern
    if written.zone == "offset":
        texts = texts.str.replace(f"{OFFSET}$", "")
        pattern = re.sub(r"\s*%:*#?z", "", pattern)
    elif written.zone == "name":
        texts = texts.str.replace(f"{ZONE_NAME}$".replace("?P<name>", ""), "")
    parsed = strptime(texts, pattern)
    if "%H" in pattern and parsed.null_count():
        late = texts.str.contains(r"[ T]24:00(?::00(?:\.0+)?)?$") & parsed.is_null()
        if late.any():
            next_day = strptime(texts.str.replace(r"([ T])24:00", "${1}00:00"), pattern).dt.offset_by("1d")
            parsed = next_day.zip_with(late, parsed)
    return parsed


def parse_offset(texts: pl.Series, written: TimeFormat) -> pl.Series:
    """Times with an offset behind them, as naive UTC."""
    with_zone = texts.str.replace(_UTC_SUFFIX, "+00:00").str.replace(r" ?(?:GMT|UTC)([+-])", "$1")
    pattern = re.sub(r"\s*(%:*#?z)", "$1", written.pattern).replace("$1", "%#z")
    if "%I" not in pattern and "%S" in pattern:
        with_zone = with_zone.str.replace(r" ([+-]\d{2}:?\d{0,2})$", "$1")
    try:
        return with_zone.str.to_datetime(pattern, time_unit="us", strict=False).dt.replace_time_zone(None)
    except pl.exceptions.PolarsError as error:
        raise UnsureError(f"--time-format {written.pattern}: {error}", "--time-format") from error


def clock_texts(values: pl.Series) -> pl.Series:
    """Clocks of a column of their own, with the noughts that a number has lost: 93000 is 09:30:00."""
    texts = tidy(values)
    longest = texts.str.len_chars().max() or 0
    if texts.str.contains(r"^\d*$").all() and isinstance(longest, int):
        return texts.str.zfill(6 if longest > 4 else 4)
    return texts


def hour_texts(values: pl.Series) -> pl.Series:
    """Hours of a day as clocks: 9 is 09:00."""
    return tidy(values).str.replace(r"\.0$", "").str.zfill(2) + ":00"


def looks_like_clock(values: Sequence[str]) -> bool:
    """Whether these are clocks without a date: 09:30, 9:30 AM, 093000."""
    shape = r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AaPp][Mm])?|\d{1,6}|\d{9}"
    found = [value.strip() for value in values]
    if not found or not all(re.fullmatch(shape, value) for value in found):
        return False
    numbers = [value for value in found if ":" not in value]
    if numbers and all(len(value) < 3 for value in numbers) and any(value.strip("0") for value in numbers):
        return False  # hours, minutes or a count: 9 is neither 00:09 nor 09:00 for sure
    return all(":" in value or _is_clock(value) for value in found)


def _is_clock(digits: str) -> bool:
    padded = digits.zfill(9 if len(digits) == 9 else 6 if len(digits) > 4 else 4)
    return int(padded[:2]) <= 24 and int(padded[2:4]) < 60 and (len(padded) == 4 or int(padded[4:6]) < 60)


def strptime(texts: pl.Series, pattern: str) -> pl.Series:
    """Texts read by a pattern as naive microseconds; null where they do not fit."""
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
