"""The rule language: what it understands, and where it says that a fault is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.alerting.conditions import (
    Comparison,
    Condition,
    Crossing,
    Denied,
    Field,
    Identity,
    Joined,
    Number,
    Rule,
)
from financelake_assets.alerting.evaluation import TABLES
from financelake_assets.alerting.fields import FIELDS, Source
from financelake_assets.alerting.language import LONGEST, RuleError, parse


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("signal is BUY and confidence > 0.6", "signals"),
        ("signal is not hold and (confidence >= 60 % or strength > 2)", "signals"),
        ("close crosses 100000", "bars"),
        ("CLOSE Crosses ABOVE 100_000", "bars"),
        ("symbol is GC=F and close>open", "bars"),
        ('symbol is "^GSPC" and 100 < low', "bars"),
        ("close > 5 and signal is SELL", "signals"),
        ("change < -5 percent", "bars"),
        ("portfolio drawdown > 10 %", "portfolio"),
        ("asset_class is crypto and interval is 1h and portfolio equity < 9e3", "portfolio"),
    ],
)
def test_a_rule_is_read_with_its_source(text: str, source: str) -> None:
    assert parse(text).source == source


def test_the_issue_s_rules_mean_what_they_say() -> None:
    assert parse("signal is BUY and confidence > 0.6").condition == Joined(
        "and",
        (Identity(Field("signals", "signal"), "BUY"), Comparison(Field("signals", "confidence"), ">", Number(0.6))),
    )
    assert parse("close crosses 100000").condition == Crossing(Field("bars", "close"), None, Number(100000))
    drawdown = parse("portfolio drawdown > 10 %").condition
    assert isinstance(drawdown, Comparison)
    assert isinstance(drawdown.right, Number)
    assert drawdown.right.amount == 0.1


def test_and_binds_closer_than_or_and_not_closest() -> None:
    plain = parse("not close > 1 and low > 2 or high > 3")
    assert plain == parse("((not (close > 1)) and (low > 2)) or (high > 3)")
    assert plain != parse("not (close > 1 and low > 2 or high > 3)")


@pytest.mark.parametrize(
    ("text", "column", "why"),
    [
        ("", 1, "empty"),
        ("signal is BUZ", 11, "Did you mean BUY?"),
        ("signal is", 10, "not complete"),
        ("signal is BUY and", 18, "not complete; expected '('"),
        ("confidense > 3", 1, "there is no 'confidense'. Did you mean confidence?"),
        ("close > 1 and closse", 15, "Did you mean close?"),
        ("close > 100,000", 12, "no commas"),
        ("close > 10 %", 9, "close is a price: it has no percent"),
        ("portfolio drawdown > 10", 22, "write 10 %"),
        ("confidence > 150 %", 14, "a share from 0 to 1"),
        ("signal is BUY or SELL", 18, "write: signal is SELL"),
        ("signal is buy and volume > 3", 19, "make it two rules"),
        ("not close crosses 3", 1, "a crossing is a moment"),
        ("drawdown > 3 %", 1, "write: portfolio drawdown"),
        ("portfolio drawdon > 3 %", 11, "Did you mean drawdown?"),
        ("portfolio close > 3", 11, "the portfolio has no 'close'"),
        ("symbol is BTC-USD", 1, "never fire"),
        ("symbol is a|b and close > 1", 12, "does not fit here"),
        ('symbol is "a b" and close > 1', 11, "is no symbol"),
        ("interval is 7h and close > 1", 13, "Did you mean"),
        ("1 < 2", 1, "both sides are numbers"),
        ("3 crosses close", 1, "write close crosses 3"),
        ("close > 1e999", 9, "too large"),
        ("signal > 3", 1, "write signal is"),
        ("confidence is 0.6", 1, "is a number"),
        ("change > volume", 10, "change is a share, and volume is an amount"),
        ("(close > 3", 11, "expected ')'"),
        ("__import__('os')", 1, "does not fit here"),
        ("close > 3; drop", 10, "does not fit here"),
        (f"close > {'1' * LONGEST}", 1, "longer than"),
    ],
)
def test_a_fault_is_shown_at_its_column(text: str, column: int, why: str) -> None:
    with pytest.raises(RuleError) as told:
        parse(text)
    assert (told.value.column, why in told.value.why) == (column, True), told.value
    assert str(told.value).splitlines()[1].startswith(" " * (column - 1) + "^")


def test_every_field_is_a_column_of_its_table() -> None:
    for source, fields in FIELDS.items():
        assert set(fields) - {"change"} <= set(TABLES[source].schema.names)


def _conditions(source: Source) -> st.SearchStrategy[Condition]:
    specs = FIELDS[source]
    kinds = {spec.kind for spec in specs.values()} - {"word", "filter"}
    of_kind = {
        kind: st.sampled_from([Field(source, one) for one in specs if specs[one].kind == kind]) for kind in kinds
    }
    plain = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12)

    def number(kind: str) -> st.SearchStrategy[Number]:
        if kind == "bounded share":
            return st.one_of(
                st.builds(Number, st.floats(0, 1)), st.builds(Number, st.floats(0, 100), percent=st.just(value=True))
            )
        both = st.builds(Number, plain, percent=st.booleans())
        return both if kind == "share" else st.builds(Number, plain)

    compared: list[st.SearchStrategy[Condition]] = []
    crossing: list[st.SearchStrategy[Condition]] = []
    for kind, named in of_kind.items():
        other = st.one_of(named, number(kind))
        signs = st.sampled_from([">", ">=", "<", "<=", "=", "!="])
        compared += [st.builds(Comparison, named, signs, other), st.builds(Comparison, number(kind), signs, named)]
        crossing.append(st.builds(Crossing, named, st.sampled_from([None, "above", "below"]), other))
    words = [(one, spec.words) for one, spec in specs.items() if isinstance(spec.words, tuple) and spec.words]
    for one, allowed in words:
        compared.append(
            st.builds(Identity, st.just(Field(source, one)), st.sampled_from(allowed).map(str), st.booleans())
        )
    steady = st.recursive(
        st.one_of(compared),
        lambda inner: st.one_of(st.builds(Denied, inner), _joined(inner)),
        max_leaves=5,
    )
    return st.one_of(steady, st.one_of(crossing), _joined(st.one_of(steady, st.one_of(crossing))))


def _joined(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    return st.builds(Joined, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3).map(tuple))


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    source = draw(st.sampled_from(list(FIELDS)))
    return Rule(source, draw(_conditions(source).filter(lambda one: len(str(one)) < LONGEST)))


@given(rules())
def test_a_rule_in_words_is_read_as_the_same_rule(rule: Rule) -> None:
    steady = all(field.kind == "filter" for field in rule.fields)
    if steady:
        with pytest.raises(RuleError, match="never fire"):
            parse(str(rule))
        return
    read = parse(str(rule))
    assert read.condition == _of(read.source, rule.condition)


def _of(source: Source, condition: Condition) -> Condition:
    """The condition with its fields of another source: ``close`` alone is of bars and of signals."""
    match condition:
        case Comparison(left, sign, right):
            return Comparison(_side(source, left), sign, _side(source, right))
        case Crossing(field, direction, level):
            return Crossing(Field(source, field.name), direction, _side(source, level))
        case Identity(field, value, wanted):
            return Identity(Field(source, field.name), value, wanted)
        case Denied(inner):
            return Denied(_of(source, inner))
        case Joined(word, parts):
            return Joined(word, tuple(_of(source, one) for one in parts))


def _side(source: Source, side: Field | Number) -> Field | Number:
    return Field(source, side.name) if isinstance(side, Field) else side


_PIECES = [
    "signal",
    "is",
    "BUY",
    "close",
    "crosses",
    "above",
    "not",
    "and",
    "or",
    "(",
    ")",
    ">",
    "10",
    "%",
    '"',
    "portfolio",
]


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(_PIECES), max_size=12).map(" ".join)))
def test_any_text_is_a_rule_or_a_fault_with_a_column_inside_it(text: str) -> None:
    column = None
    try:
        rule = parse(text)
    except RuleError as error:
        column = error.column
    if column is None:
        assert parse(str(rule)) == rule
    else:
        assert 1 <= column <= len(text) + 1
