"""Numbers as people and their programs write them: decimal signs, thousands, currencies, 2.35B, fixed point.

Which of ``,`` and ``.`` is the decimal sign is found out from all number columns of a file together: ``1.5`` and
``16.750,50`` can be read in one way only, ``38.500`` in two. A file that has only such values is asked about.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from financelake_assets.providers.formats.questions import UnsureError

ABSENT = ("", "null", "none", "na", "n/a", "-", "--", ".", "nil", "#n/a")
"""Texts that stand for no value, in lower case."""

_CURRENCIES = r"US\$|[$€£¥₹₩₽฿]|\b(?:USD|EUR|GBP|JPY|CHF|INR|CNY|CAD|AUD)\b"
_LOOSE = r"[\s\u00a0\u202f\u2009'\u2019]"
_SUFFIX = r"(?i)(k|m|mn|mln|mio\.?|b|bn|mrd\.?|t)$"
_FACTORS = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
_WHOLE = {
    ".": r"^[-+]?(?:\d+|\d{1,3}(?:,\d{2,3})*,\d{3})?(?:\.\d*)?(?:[eE][-+]?\d+)?$",
    ",": r"^[-+]?(?:\d+|\d{1,3}(?:\.\d{3})+)?(?:,\d*)?(?:[eE][-+]?\d+)?$",
}


@dataclass(frozen=True)
class NumberFormat:
    """How a file writes numbers: its decimal sign, and what prices are multiplied with."""

    decimal: str = "."
    scale: float = 1.0
    volume_scale: float = 1.0
    told: bool = False
    """Whether there was something to find out, or the user said it."""

    @property
    def note(self) -> str:
        """What a user should know of it; empty for plain numbers."""
        parts = [f"decimal {self.decimal!r}"] if self.told else []
        if self.scale != 1.0:
            parts.append(f"prices times {self.scale:g}")
        if self.volume_scale != 1.0:
            parts.append(f"volume times {self.volume_scale:g}")
        return ", ".join(parts)


def guess_numbers(
    texts: Iterable[str], *, given: str | None = None, thousands: str | None = None, comma_file: bool = False
) -> NumberFormat:
    """How these values of a file's number columns are written.

    Args:
        texts: values as they stand in the file.
        given: the decimal sign that the user named.
        thousands: the thousands' separator that the user named.
        comma_file: values are separated by commas without quotes, so that none of them has a comma.

    Raises:
        UnsureError: they can be read in two ways, or some in the one and some in the other.
    """
    if given or thousands in (".", ","):
        return NumberFormat(given or ("," if thousands == "." else "."), told=True)
    signs: dict[str, str] = {}
    unclear: dict[str, str] = {}
    for text in texts:
        sign, sure = _decimal_sign(re.sub(f"{_LOOSE}|{_CURRENCIES}", "", text))
        if sign:
            (signs if sure else unclear).setdefault(sign, text)
    if len(signs) == 2:
        raise UnsureError(
            f"{signs['.']!r} is written with a decimal point and {signs[',']!r} with a decimal comma; "
            "say which the file has with --decimal",
            "--decimal",
            (".", ","),
        )
    if signs:
        sign = next(iter(signs))
        return NumberFormat(sign, told=sign == "," or bool(unclear.keys() - {sign}))
    if not unclear or (comma_file and unclear.keys() == {"."}):
        return NumberFormat()
    text = next(iter(unclear.values()))
    raise UnsureError(
        f"{text!r} can be {re.sub('[.,]', '', text)} or {text.replace(',', '.')}: "
        "say which sign is the decimal one with --decimal . or --decimal ,",
        "--decimal",
        (".", ","),
    )


def _decimal_sign(text: str) -> tuple[str, bool]:
    """The decimal sign of a value and whether it can be no other; an empty one where there is none to see."""
    text = re.sub(_SUFFIX, "", text)
    match = re.fullmatch(r"[-+(]?([\d.,]*\d[\d.,]*)(?:[eE][-+]?\d+)?\)?", text)
    if not match:
        return "", False
    digits = match[1]
    used = {sign for sign in ".," if sign in digits}
    if not used:
        return "", False
    if len(used) == 2:
        return max(".,", key=digits.rindex), True
    (sign,) = used
    other = "," if sign == "." else "."
    before, *groups = digits.split(sign)
    if len(groups) > 1:
        grouped = 1 <= len(before) <= 3 and len(groups[-1]) == 3 and all(len(one) in (2, 3) for one in groups)
        return (other, True) if grouped else ("", False)
    if len(groups[0]) != 3 or len(before) > 3 or before in ("", "0"):
        return sign, True
    return sign, False


def parse(values: pl.Series, style: NumberFormat) -> pl.Series:
    """Values as numbers, null where they are none. Typed columns are taken as they are.

    Args:
        values: a column of a file.
        style: how it writes numbers; its scale is not applied.
    """
    if values.dtype != pl.String:
        return values.cast(pl.Float64, strict=False)
    texts = values.str.strip_chars()
    if style.decimal == ".":
        plain = texts.cast(pl.Float64, strict=False)
        left = plain.is_null() & texts.is_not_null()
        if not left.any():
            return plain
        rest = _parse_slowly(texts.filter(left), style)
        return plain.scatter(left.arg_true(), rest)
    return _parse_slowly(texts, style)


def _parse_slowly(texts: pl.Series, style: NumberFormat) -> pl.Series:
    other = "," if style.decimal == "." else "."
    text = pl.col("text")
    bare = (
        text.str.replace_all(f"{_LOOSE}|{_CURRENCIES}", "").str.replace("\u2212", "-").str.replace(r"^\((.+)\)$", "-$1")
    )
    suffix = bare.str.extract(_SUFFIX).str.to_lowercase()
    letter = pl.when(suffix.str.starts_with("mrd")).then(pl.lit("b")).otherwise(suffix.str.head(1))
    factor = letter.replace_strict(_FACTORS, default=1.0, return_dtype=pl.Float64)
    number = bare.str.replace(_SUFFIX, "")
    well = number.str.contains(_WHOLE[style.decimal]) & number.str.contains(r"\d")
    plain = number.str.replace_all(other, "", literal=True).str.replace(style.decimal, ".", literal=True)
    parsed = pl.when(well).then(plain).cast(pl.Float64, strict=False) * factor
    special = text.str.to_lowercase().is_in(["nan", "inf", "-inf", "infinity", "-infinity"])
    return (
        pl.DataFrame({"text": texts})
        .select(pl.when(special).then(text.cast(pl.Float64, strict=False)).otherwise(parsed).alias(texts.name))
        .to_series()
    )


def absent(values: pl.Series) -> pl.Series:
    """Where a value is not there, as opposed to wrong."""
    if values.dtype != pl.String:
        return values.is_null()
    return values.is_null() | values.str.strip_chars().str.to_lowercase().is_in(ABSENT)
