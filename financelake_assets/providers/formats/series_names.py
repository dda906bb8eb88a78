"""Names that hold a field and a symbol: ``('Close', 'AAPL')`` of pandas, ``AAPL.Close`` of quantmod, ``Close_AAPL``."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from financelake_assets.providers.formats import names as naming

_FIELDS = r"open|high|low|close|adj[ _.]?close|adjusted|volume"
_SYMBOL = r"[\^@]?[A-Z0-9][A-Z0-9.=&\-]*"
_WAYS = (
    re.compile(rf"(?P<series>{_SYMBOL})[._ ](?P<field>(?i:{_FIELDS}))"),
    re.compile(rf"(?P<field>(?i:{_FIELDS}))[._ ](?P<series>{_SYMBOL})"),
)
_FEWEST = 4


def split_names(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The field of each column, and its symbol (empty for the times); ``None`` where names hold no symbols."""
    return _of_tuples(names) or _of_words(names)


def _of_tuples(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    levels = [_level(name) for name in names]
    if sum(1 for one in levels if one and one[1]) < 2:
        return None
    fields = [one if one else (name, "") for name, one in zip(names, levels, strict=True)]
    if naming.how_many_known([one[1] for one in fields]) > naming.how_many_known([one[0] for one in fields]):
        fields = [(one[1], one[0]) if one[1] else one for one in fields]
    if sum(1 for _, series in fields if not series) != 1:
        return None
    return tuple(one[0] for one in fields), tuple(one[1] for one in fields)


def _of_words(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    for way in _WAYS:
        matches = [way.fullmatch(name.strip()) for name in names]
        found = [one for one in matches if one]
        if len(found) < _FEWEST or len(found) != len(names) - 1 or not all(one is None for one in matches[:1]):
            continue
        fields = tuple(one["field"] if one else (name or "Date") for name, one in zip(names, matches, strict=True))
        return fields, tuple(one["series"] if one else "" for one in matches)
    return None


def _level(name: str) -> tuple[str, str] | None:
    if not (name.startswith("(") and name.endswith(")")):
        return None
    try:
        parts = ast.literal_eval(name)
    except (ValueError, SyntaxError):
        return None
    texts = isinstance(parts, tuple) and len(parts) == 2 and all(isinstance(one, str) for one in parts)
    return (parts[0], parts[1]) if texts else None
