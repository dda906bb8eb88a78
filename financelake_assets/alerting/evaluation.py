"""When a rule fires: once when it begins to hold, and once a crossing, in each series.

Input: a rule, the newest rows of each series that were seen before, and new rows of a table. Output: the bars at which
it fires, and the rows to remember. The answer depends on the rows alone, not on how commits divide them. Pure.

A bar is compared with the bar before it in its series. A rule fires at a bar where it holds and did not hold at the bar
before; a crossing holds only at the bar where it happens. The first bar of a series has none before it and never fires.
A bar that is still forming comes again with each change: it fires at most once. A bar that is older than the newest of
its series comes too late and does not fire.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from financelake_assets.alerting.conditions import (
    Comparison,
    Condition,
    Crossing,
    Denied,
    Field,
    Identity,
    Joined,
    Number,
    Operand,
    Rule,
)
from financelake_assets.alerting.fields import Source
from financelake_assets.gold.paper.accounts import ACCOUNT
from financelake_assets.gold.paper.schema import EQUITY
from financelake_assets.gold.schema import SIGNALS
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.delta import TableSpec

TABLES: dict[Source, TableSpec] = {"bars": BARS, "signals": SIGNALS, "portfolio": EQUITY}
"""The table of each source."""

TIME = "event_time"
_SERIES: dict[Source, tuple[str, ...]] = {
    "bars": ("symbol", "interval"),
    "signals": ("symbol", "interval"),
    "portfolio": ACCOUNT,
    "screen": ("symbol", "interval"),
}
_REVISED: dict[Source, str] = {"bars": "processed_at", "signals": "as_of", "portfolio": "computed_at"}
"""Orders the versions of one bar within a commit."""

_REMEMBERED = 3
"""Rows of a series: the newest may come again; whether the rule held before it may depend on the one before that."""

_FIRED = "fired"
"""A column of the remembered rows: the rule has fired at this bar."""


@dataclass(frozen=True, eq=False)
class Watch:
    """A rule, and the series that it is asked of; without symbols or intervals, of all."""

    rule: Rule
    symbols: Sequence[str] = ()
    intervals: Sequence[str] = ()

    @property
    def table(self) -> TableSpec:
        """The table that the rule reads."""
        return TABLES[self.rule.source]

    @property
    def series(self) -> tuple[str, ...]:
        """The columns that identify a series."""
        return _SERIES[self.rule.source]

    @property
    def columns(self) -> list[str]:
        """The columns that the rule needs of the table."""
        named = ["close" if one.name == "change" else one.name for one in self.rule.fields]
        return list(dict.fromkeys([*self.series, TIME, *named]))

    @property
    def empty(self) -> pl.DataFrame:
        """No rows to remember."""
        return self.table.empty.select(self.columns).with_columns(pl.lit(False).alias(_FIRED))

    def wanted(self) -> pl.Expr:
        """Which rows of the table belong to the series that are asked for."""
        of_it = pl.lit(True)
        if self.symbols and "symbol" in self.series:
            of_it &= pl.col("symbol").is_in(list(self.symbols))
        if self.intervals:
            of_it &= pl.col("interval").is_in(list(self.intervals))
        return of_it

    def rows(self, of: pl.LazyFrame) -> pl.LazyFrame:
        """The rows of a table that the rule looks at, one a bar, the newest version of each, in order."""
        of = self.table.completed(of)
        revised = _REVISED[self.rule.source]
        chosen = of.filter(self.wanted()).select([*self.columns, pl.col(revised).alias("_revised")])
        ordered = chosen.sort([*self.series, TIME, "_revised"], nulls_last=False)
        return ordered.unique([*self.series, TIME], keep="last", maintain_order=True).drop("_revised")


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an evaluation found.

    ``fired``: the bars at which the rule fires, with the columns it names, and those of the bar before as ``before_…``.
    ``seen``: the newest rows of each series, to give to the next call.
    """

    fired: pl.DataFrame
    seen: pl.DataFrame


def evaluate(watch: Watch, seen: pl.DataFrame, new: pl.DataFrame) -> Outcome:
    """Evaluate a rule on new rows.

    Args:
        watch: the rule with its series.
        seen: what the last call gave; ``watch.empty`` at first.
        new: new rows of the table.
    """
    return evaluate_rows(watch, seen, watch.rows(new.lazy()).collect())


def evaluate_rows(watch: Watch, seen: pl.DataFrame, rows: pl.DataFrame) -> Outcome:
    """``evaluate`` with what ``watch.rows`` gave of new rows."""
    key = [*watch.series, TIME]
    # an earlier release remembered rows of accounts without a currency
    seen = pl.concat([watch.empty, seen], how="diagonal")
    fresh = rows.with_columns(pl.lit(None, pl.Boolean).alias(_FIRED))
    newest = seen.group_by(watch.series).agg(pl.col(TIME).max().alias("_newest"))
    fresh = fresh.join(newest, on=watch.series, how="left", nulls_equal=True).filter(
        pl.col("_newest").is_null() | (pl.col(TIME) >= pl.col("_newest"))
    )
    if fresh.is_empty():
        return Outcome(_named(watch, fresh.drop("_newest"), ()), seen)
    known = seen.with_columns(pl.lit(True).alias("_seen"))
    rows = pl.concat([known, fresh.drop("_newest").with_columns(pl.lit(False).alias("_seen"))], how="diagonal")
    rows = rows.with_columns(pl.col(_FIRED).max().over(key).fill_null(value=False))  # a bar that has fired stays fired
    rows = rows.sort([*key, "_seen"], descending=[*(False for _ in key), True])
    rows = rows.unique(key, keep="last", maintain_order=True)
    holds = _expression(watch, watch.rule.condition, moments=True).fill_null(value=False)
    held = _expression(watch, watch.rule.condition, moments=False).fill_null(value=False)
    rows = rows.with_columns(holds.alias("_holds"), held.alias("_held"), *_before(watch))
    begins = pl.col("_holds") & ~pl.col("_held").shift(1).over(watch.series).fill_null(value=True)
    rows = rows.with_columns((begins & ~pl.col("_seen") & ~pl.col(_FIRED)).alias("_fires"))
    fired = rows.filter("_fires")
    rows = rows.with_columns((pl.col(_FIRED) | pl.col("_fires")).alias(_FIRED))
    kept = rows.select(watch.empty.columns).group_by(watch.series, maintain_order=True).tail(_REMEMBERED)
    return Outcome(
        _named(watch, fired, [f"before_{name}" for name in _values(watch)]), kept.select(watch.empty.columns)
    )


def newest(watch: Watch, rows: pl.DataFrame) -> pl.DataFrame:
    """What to remember of rows that were seen without evaluating them: where a rule begins, or goes on after a gap."""
    kept = rows.group_by(watch.series, maintain_order=True).tail(_REMEMBERED)
    return kept.with_columns(pl.lit(False).alias(_FIRED)).select(watch.empty.columns)


def holds_now(watch: Watch, rows: pl.DataFrame) -> pl.DataFrame:
    """Of rows in order, the newest of each series where the rule, without its crossings, holds."""
    held = _expression(watch, watch.rule.condition, moments=False).fill_null(value=False)
    last = rows.with_columns(held.alias("_holds")).group_by(watch.series, maintain_order=True).tail(1)
    return last.filter("_holds").drop("_holds")


def matching(rule: Rule, rows: pl.DataFrame) -> pl.DataFrame:
    """The newest row of each series at which a rule holds, or its crossing happens.

    Args:
        rule: of any source.
        rows: in order, with the columns that it names; of each series the newest, and the one before.
    """
    watch = Watch(rule)
    holds = _expression(watch, rule.condition, moments=True).fill_null(value=False)
    last = rows.with_columns(holds.alias("_holds")).group_by(watch.series, maintain_order=True).tail(1)
    return last.filter("_holds").drop("_holds")


def _values(watch: Watch) -> list[str]:
    return [name for name in watch.columns if name not in (*watch.series, TIME, "asset_class")]


def _before(watch: Watch) -> list[pl.Expr]:
    return [pl.col(name).shift(1).over(watch.series).alias(f"before_{name}") for name in _values(watch)]


def _named(watch: Watch, rows: pl.DataFrame, before: Sequence[str]) -> pl.DataFrame:
    return rows.select([*watch.columns, *before])


def _expression(watch: Watch, of: Condition, *, moments: bool) -> pl.Expr:
    """A condition as an expression; without ``moments`` every crossing is false."""
    match of:
        case Comparison(left, sign, right):
            one, other = _value(watch, left), _value(watch, right)
            compared = {
                ">": one > other,
                ">=": one >= other,
                "<": one < other,
                "<=": one <= other,
                "=": one == other,
                "!=": one != other,
            }
            return compared[sign]
        case Crossing(of_field, direction, level):
            if not moments:
                return pl.lit(False)
            gap = _value(watch, of_field) - _value(watch, level)
            before = gap.shift(1).over(watch.series)
            above, below = (before < 0) & (gap >= 0), (before > 0) & (gap <= 0)
            return above if direction == "above" else below if direction == "below" else above | below
        case Identity(of_field, value, wanted):
            same = pl.col(of_field.name) == value
            return same if wanted else ~same
        case Denied(inner):
            return ~_expression(watch, inner, moments=moments)
        case Joined(word, parts):
            every = [_expression(watch, part, moments=moments) for part in parts]
            return pl.all_horizontal(every) if word == "and" else pl.any_horizontal(every)


def _value(watch: Watch, of: Operand) -> pl.Expr:
    """A number, or a column without what is no number: polars takes NaN for the largest number."""
    if isinstance(of, Number):
        return pl.lit(of.amount)
    if of.name == "change":
        close = _value(watch, Field(of.source, "close"))
        return close / close.shift(1).over(watch.series) - 1
    return pl.when(pl.col(of.name).is_finite()).then(pl.col(of.name))
