"""The rule language: ``signal is BUY and confidence > 60 %``, ``close crosses 100000``, ``portfolio drawdown > 10 %``.

Input: a rule as a person writes it. Output: a ``Rule``, whose names are all known, or an error that shows the column of
the fault and the nearest name. Nothing of a rule is ever run as code. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from typing import NamedTuple

from lark import Lark, Token, Transformer, Tree, UnexpectedInput, UnexpectedToken, v_args
from lark.exceptions import VisitError

from financelake_assets.alerting.conditions import (
    Comparison,
    Condition,
    Crossing,
    Denied,
    Direction,
    Field,
    Identity,
    Joined,
    Number,
    Operand,
    Rule,
    Sign,
)
from financelake_assets.alerting.fields import FIELDS, KINDS, FieldSpec, Kind, Source
from financelake_assets.errors import FinanceLakeError
from financelake_assets.gold.verdicts import Signal

Fields = Mapping[Source, Mapping[str, FieldSpec]]

LONGEST = 500
"""Characters of a rule."""

_GRAMMAR = r"""
?start: any
?any: all (OR all)*
?all: not (AND not)*
?not: NOT not -> denied
    | "(" any ")"
    | comparison
    | crossing
    | identity
comparison: operand SIGN operand
crossing: operand CROSSES [DIRECTION] operand
identity: field IS [NOT] (WORD | TEXT)
?operand: field | number
field: [PORTFOLIO] NAME
number: NUMBER [PERCENT]

OR.3: /or(?![\w.])/i
AND.3: /and(?![\w.])/i
NOT.3: /not(?![\w.^=\/:\-])/i
IS.3: /is(?![\w.])/i
CROSSES.3: /crosses(?![\w.])/i
DIRECTION.3: /(above|below)(?![\w.])/i
PORTFOLIO.3: /portfolio(?![\w.])/i
SIGN.3: />=|<=|!=|==|=|>|</
PERCENT.3: /%|percent(?![\w.])/i
NUMBER.2: /[+-]?(\d[\d_]*(\.\d*)?|\.\d+)(e[+-]?\d+)?(?![\w.])/i
NAME: /[a-z]\w*/i
WORD: /[\w.^][\w.^=\/:\-]*/
TEXT: /"[^"\n]*"/
%ignore /\s+/
"""

_EXPECTED = {
    "NAME": "a name",
    "PORTFOLIO": "a name",
    "NUMBER": "a number",
    "SIGN": "a comparison (> >= < <= = !=)",
    "CROSSES": "'crosses'",
    "IS": "'is'",
    "AND": "'and'",
    "OR": "'or'",
    "NOT": "'not'",
    "LPAR": "'('",
    "RPAR": "')'",
    "WORD": "a word",
    "TEXT": "a word",
    "DIRECTION": "'above' or 'below'",
    "PERCENT": "'%'",
    "$END": "the end",
}


class RuleError(FinanceLakeError, ValueError):
    """A rule that cannot be understood. ``column`` counts from 1; the message shows the rule with the place marked."""

    def __init__(self, text: str, column: int, why: str) -> None:
        self.column = column
        self.why = why
        shown = re.sub(r"\s", " ", text)
        super().__init__(f"{shown}\n{' ' * (column - 1)}^ column {column}: {why}")


def parse(text: str, fields: Fields = FIELDS) -> Rule:
    """Read a rule.

    Args:
        text: as a person writes it.
        fields: what it can name, by source.

    Raises:
        RuleError: it cannot be understood; the message shows where, and names the nearest name.
    """
    text = re.sub(r"\s", " ", text)
    if not text.strip():
        raise RuleError(text, 1, "the rule is empty; write for example: close crosses above 100000")
    if len(text) > LONGEST:
        raise RuleError(text[:40] + " …", 1, f"the rule is longer than {LONGEST} characters; make it several rules")
    try:
        tree = _PARSER.parse(text)
    except UnexpectedInput as error:
        raise _syntax_error(text, error, fields) from None
    source = _source(text, tree, fields)
    try:
        condition: Condition = _Builder(text, source, fields).transform(tree)
    except VisitError as error:
        if isinstance(error.orig_exc, RuleError):
            raise error.orig_exc from None
        raise
    rule = Rule(source, condition)
    if source != "screen" and all(field.kind == "filter" for field in rule.fields):
        raise RuleError(text, 1, "nothing in this rule changes from bar to bar, so it would never fire")
    return rule


_PARSER = Lark(_GRAMMAR, parser="lalr", lexer="contextual", maybe_placeholders=True)


def nearest(name: str, names: list[str]) -> str:
    """``Did you mean close?``, or which names there are."""
    folded = {one.casefold(): one for one in names}
    found = get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    return f"Did you mean {folded[found[0]]}?" if found else f"There are {', '.join(names)}."


def _syntax_error(text: str, error: UnexpectedInput, fields: Fields) -> RuleError:
    """Where the rule stops making sense, and what could stand there."""
    column = max(1, error.column) if error.column and error.column > 0 else len(text.rstrip()) + 1
    expected = getattr(error, "accepts", None) or getattr(error, "expected", None) or getattr(error, "allowed", None)
    wanted = list(dict.fromkeys(_EXPECTED.get(str(one), str(one)) for one in sorted(expected or ())))
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        column = len(text.rstrip()) + 1
    for token in _tokens(text):
        if token.type == "NAME" and not _known(token, fields):
            return RuleError(text, token.column or 1, _unknown(token, fields))
    here = text[column - 1 :]
    if here.startswith(",") and text[column - 2 : column - 1].isdigit():
        return RuleError(text, column, "a number has no commas: write 100000 or 100_000, and 0.5")
    said = f"{here.split()[0]!r} does not fit here" if here.split() else "the rule is not complete"
    return RuleError(text, column, f"{said}; expected {' or '.join(wanted)}")


def _tokens(text: str) -> Iterator[Token]:
    """The words of a rule, up to its first fault."""
    with suppress(UnexpectedInput):
        yield from _PARSER.parse_interactive(text).iter_parse()


def _known(name: str, fields: Fields) -> bool:
    return any(name.lower() in names for names in fields.values())


def _unknown(name: str, fields: Fields) -> str:
    name = str(name)
    if name.upper() in tuple(Signal):
        return f"write: signal is {name.upper()}"
    names = sorted({str(Field(source, one)) for source, known in fields.items() for one in known})
    return f"there is no {name!r}. {nearest(name, names)}"


def _source(text: str, tree: Tree[Token] | Token, fields: Fields) -> Source:
    """The one source that has all fields of a rule; bars where several have."""
    possible: list[Source] = list(fields)
    for prefix, name in _named(tree):
        having = [one for one in fields if name.lower() in fields[one] and (one == "portfolio" or not prefix)]
        if prefix:
            having = [one for one in having if one == "portfolio"]
            if "portfolio" not in fields:
                raise RuleError(text, prefix.column or 1, "the portfolio is no series of bars: leave it out")
            if not having:
                names = [str(one) for one in fields["portfolio"]]
                raise RuleError(text, name.column or 1, f"the portfolio has no {name.value!r}. {nearest(name, names)}")
        elif not having:
            raise RuleError(text, name.column or 1, _unknown(name, fields))
        elif having == ["portfolio"]:
            raise RuleError(text, name.column or 1, f"write: portfolio {name.lower()}")
        remaining = [one for one in possible if one in having]
        if not remaining:
            one, other = KINDS[having[0]], KINDS[possible[0]]
            why = f"{name.value!r} is of {one}, and the rest of the rule is on {other}: make it two rules"
            raise RuleError(text, name.column or 1, why)
        possible = remaining
    return possible[0]


def _named(tree: Tree[Token] | Token) -> Iterator[tuple[Token | None, Token]]:
    """The fields of a tree from left to right: the word before the name, and the name."""
    if isinstance(tree, Token):
        return
    if tree.data == "field":
        prefix, name = tree.children
        if isinstance(name, Token):
            yield (prefix if isinstance(prefix, Token) else None), name
        return
    for part in tree.children:
        if part is not None:
            yield from _named(part)


class _Located(NamedTuple):
    """A side of a comparison, and where it begins."""

    side: Operand
    at: Token


@v_args(inline=True)
class _Builder(Transformer[Token, Condition]):
    """The syntax tree as conditions, with units checked."""

    def __init__(self, text: str, source: Source, fields: Fields) -> None:
        super().__init__()
        self._text, self._source, self._fields = text, source, fields[source]

    def _fault(self, at: Token, why: str) -> RuleError:
        return RuleError(self._text, at.column or 1, why)

    def field(self, prefix: Token | None, name: Token) -> _Located:
        return _Located(Field(self._source, name.lower()), prefix or name)

    def number(self, written: Token, percent: Token | None) -> _Located:
        value = float(written.replace("_", ""))
        if not math.isfinite(value):
            raise self._fault(written, f"{written.value} is too large for a number")
        return _Located(Number(value, bool(percent)), written)

    def comparison(self, left: _Located, sign: Token, right: _Located) -> Comparison:
        self._same_unit(left, right)
        return Comparison(left.side, _SIGNS[sign], right.side)

    def crossing(self, left: _Located, _: Token, direction: Token | None, right: _Located) -> Crossing:
        if not isinstance(left.side, Field):
            raise self._fault(left.at, f"a number crosses nothing: write {right.side} crosses {left.side}")
        self._same_unit(left, right)
        return Crossing(left.side, None if direction is None else _DIRECTIONS[direction.lower()], right.side)

    def identity(self, left: _Located, _: Token, negation: Token | None, word: Token) -> Identity:
        field = left.side
        if not isinstance(field, Field) or field.kind not in ("word", "filter"):
            raise self._fault(left.at, f"{field} is a number: compare it with > >= < <= = or !=")
        value, allowed = word.strip('"'), self._fields[field.name].words
        if isinstance(allowed, re.Pattern):
            value = value.upper()
            if not allowed.fullmatch(value):
                raise self._fault(word, f"{value!r} is no {field}")
        else:
            same = [str(one) for one in allowed if one.casefold() == value.casefold()]
            if not same:
                raise self._fault(word, f"{value!r} is no {field}. {nearest(value, list(allowed))}")
            value = same[0]
        return Identity(field, value, negation is None)

    def denied(self, word: Token, inner: Condition) -> Denied:
        if _crosses(inner):
            why = "a crossing is a moment: 'not' before one has no meaning. Compare with > or < instead"
            raise self._fault(word, why)
        return Denied(inner)

    def any(self, *parts: Token | Condition) -> Joined:
        return Joined("or", tuple(one for one in parts if not isinstance(one, Token)))

    def all(self, *parts: Token | Condition) -> Joined:
        return Joined("and", tuple(one for one in parts if not isinstance(one, Token)))

    def _same_unit(self, left: _Located, right: _Located) -> None:
        match left.side, right.side:
            case Number(), Number():
                raise self._fault(left.at, "both sides are numbers; one must be a name")
            case Field() as one, Field() as other:
                self._numeric(one, left.at)
                self._numeric(other, right.at)
                if one.kind != other.kind:
                    raise self._fault(right.at, f"{one} is {_A[one.kind]}, and {other} is {_A[other.kind]}")
            case Field() as field, Number() as number:
                self._unit_of(field, left.at, number, right.at)
            case Number() as number, Field() as field:
                self._unit_of(field, right.at, number, left.at)

    def _numeric(self, field: Field, at: Token) -> None:
        if field.kind in ("word", "filter"):
            raise self._fault(at, f"{field} is a word: write {field} is …")

    def _unit_of(self, field: Field, at: Token, number: Number, other: Token) -> None:
        self._numeric(field, at)
        if number.percent and field.kind not in ("share", "bounded share"):
            raise self._fault(other, f"{field} is {_A[field.kind]}: it has no percent")
        if field.kind == "bounded share" and not 0 <= number.amount <= 1:
            why = f"{field} is a share from 0 to 1 (0 % to 100 %)"
            if not number.percent and 1 < number.value <= 100:
                why += f": write {number.value:g} %"
            raise self._fault(other, why)


_SIGNS: dict[str, Sign] = {">": ">", ">=": ">=", "<": "<", "<=": "<=", "=": "=", "==": "=", "!=": "!="}
_DIRECTIONS: dict[str, Direction] = {"above": "above", "below": "below"}

_A: dict[Kind, str] = {
    "price": "a price",
    "amount": "an amount",
    "money": "an amount of money",
    "number": "a number",
    "share": "a share",
    "bounded share": "a share",
    "word": "a word",
    "filter": "a word",
}


def _crosses(of: Condition) -> bool:
    match of:
        case Crossing():
            return True
        case Denied(inner):
            return _crosses(inner)
        case Joined(_, parts):
            return any(_crosses(part) for part in parts)
    return False
