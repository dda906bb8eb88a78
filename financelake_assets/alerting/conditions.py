"""A rule as values: its conditions, and the fields and numbers that they compare.

Input: what ``language.parse`` read. Output: a ``Rule``. ``str()`` of each gives words that parse to the same. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from financelake_assets.alerting.fields import SPECS, Kind, Source


@dataclass(frozen=True)
class Field:
    """A value of a row, by its name in the source."""

    source: Source
    name: str

    def __str__(self) -> str:
        return f"portfolio {self.name}" if self.source == "portfolio" and self.kind != "filter" else self.name

    @property
    def kind(self) -> Kind:
        """What its values are."""
        return SPECS[self.source][self.name].kind


@dataclass(frozen=True)
class Number:
    """A number as it was written; with ``percent`` it counts hundredths."""

    value: float
    percent: bool = False

    def __str__(self) -> str:
        return f"{self.value!r} %" if self.percent else repr(self.value)

    @property
    def amount(self) -> float:
        """What a field is compared with: 0.1 for ``10 %``."""
        return self.value / 100 if self.percent else self.value


Operand = Field | Number
Sign = Literal[">", ">=", "<", "<=", "=", "!="]
Direction = Literal["above", "below"]


@dataclass(frozen=True)
class Comparison:
    """``close > open``: at least one side is a field."""

    left: Operand
    sign: Sign
    right: Operand

    def __str__(self) -> str:
        return f"{self.left} {self.sign} {self.right}"


@dataclass(frozen=True)
class Crossing:
    """``close crosses above 100000``: one side before, and the other side now or exactly there."""

    field: Field
    direction: Direction | None
    level: Operand

    def __str__(self) -> str:
        return " ".join([str(self.field), "crosses", *([self.direction] if self.direction else []), str(self.level)])


@dataclass(frozen=True)
class Identity:
    """``signal is BUY``; with ``wanted`` false, ``signal is not BUY``."""

    field: Field
    value: str
    wanted: bool = True

    def __str__(self) -> str:
        return f'{self.field} is {"" if self.wanted else "not "}"{self.value}"'


@dataclass(frozen=True)
class Denied:
    """``not …``."""

    of: Condition

    def __str__(self) -> str:
        return f"not ({self.of})"


@dataclass(frozen=True)
class Joined:
    """``… and …``, or ``… or …``, of two or more."""

    word: Literal["and", "or"]
    of: tuple[Condition, ...]

    def __str__(self) -> str:
        return f" {self.word} ".join(f"({one})" for one in self.of)


Condition = Comparison | Crossing | Identity | Denied | Joined


@dataclass(frozen=True)
class Rule:
    """A rule on the rows of one source. ``str()`` gives it in words that parse to the same rule."""

    source: Source
    condition: Condition

    def __str__(self) -> str:
        return str(self.condition)

    @property
    def fields(self) -> list[Field]:
        """The fields that it names, each once."""
        return list(dict.fromkeys(_fields(self.condition)))


def _fields(of: Condition | Operand) -> list[Field]:
    match of:
        case Field():
            return [of]
        case Number():
            return []
        case Comparison(left, _, right):
            return [*_fields(left), *_fields(right)]
        case Crossing(field, _, level):
            return [field, *_fields(level)]
        case Identity(field, _, _):
            return [field]
        case Denied(inner):
            return _fields(inner)
        case Joined(_, parts):
            return [field for part in parts for field in _fields(part)]
