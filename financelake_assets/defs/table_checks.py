"""Asset checks: one declaration each, run one by one or together, and the checks that every declared table has.

Input: settings. Output: Dagster's results. No check needs Spark: delta-rs and polars read the tables.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import dagster as dg
import polars as pl
import pyarrow as pa

from financelake_assets.config import Settings
from financelake_assets.defs.resources import RETRIES, LakeResource
from financelake_assets.defs.table_assets import table_key
from financelake_assets.storage.delta import TableSpec


@dataclass(frozen=True)
class CheckOutcome:
    """Result of a check: whether it passed, and the figures."""

    passed: bool
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def none_of(cls, what: str, count: int) -> "CheckOutcome":
        """Passed if the count is zero."""
        return cls(count == 0, {what: count})


@dataclass(frozen=True)
class Check:
    """One asset check. If a ``blocking`` check fails, assets that depend on its asset are not made in the same run."""

    table: TableSpec
    name: str
    description: str
    find: Callable[[Settings], CheckOutcome]
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
    blocking: bool = False

    @property
    def spec(self) -> dg.AssetCheckSpec:
        """The check as Dagster declares it."""
        return dg.AssetCheckSpec(
            self.name, asset=table_key(self.table), description=self.description, blocking=self.blocking
        )

    def result(self, settings: Settings) -> dg.AssetCheckResult:
        """Run the check and return Dagster's result."""
        found = self.find(settings)
        return dg.AssetCheckResult(
            check_name=self.name,
            asset_key=table_key(self.table),
            passed=found.passed,
            severity=self.severity,
            metadata=dict(found.metadata),
        )


def definition(name: str, checks: Sequence[Check], description: str) -> dg.AssetChecksDefinition:
    """Checks that run in one step; Dagster's page can also run each by itself."""
    by_key = {check.spec.key: check for check in checks}
    specs = [check.spec for check in checks]

    @dg.multi_asset_check(specs=specs, name=name, can_subset=True, description=description, retry_policy=RETRIES)
    def run(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> Iterator[dg.AssetCheckResult]:
        for key, check in by_key.items():
            if key in context.selected_asset_check_keys:
                yield check.result(lake.settings)

    return run


def every_table_has(table: TableSpec, *, blocking: bool = False) -> list[Check]:
    """The checks that follow from a table's declaration: ``schema``, ``unique_key``, and ``values`` if it has rules."""
    common = partial(Check, table, blocking=blocking)
    checks = [
        common("schema", "the declared columns and types", partial(_schema, table)),
        common("unique_key", f"one row for each {', '.join(table.key)}", partial(_unique_key, table)),
    ]
    if table.rules:
        checks.append(common("values", "; ".join(table.rules.values()), partial(_values, table)))
    return checks


def _schema(table: TableSpec, settings: Settings) -> CheckOutcome:
    opened = table.open(settings)
    if opened is None:
        return CheckOutcome(True, {"state": "not written yet"})
    present = pa.schema(opened.schema().to_arrow())
    found = {field.name: _plain(field.type) for field in present}
    declared = {field.name: _plain(field.type) for field in table.schema}
    missing = sorted(declared.keys() - found.keys())
    other = {name: f"{found[name]}, not {kind}" for name, kind in declared.items() if found.get(name, kind) != kind}
    undeclared = sorted(found.keys() - declared.keys())
    # an additional column comes from a newer version of this code: readers ignore it
    return CheckOutcome(not missing and not other, {"missing": missing, "other_type": other, "undeclared": undeclared})


def _plain(kind: pa.DataType) -> str:
    """A type's name; Arrow has several layouts for one type of Delta."""
    return str(kind).removeprefix("large_").removesuffix("_view")


def _unique_key(table: TableSpec, settings: Settings) -> CheckOutcome:
    counts = table.scan(settings).group_by(table.key).len().filter(pl.col("len") > 1)
    return CheckOutcome.none_of("repeated_keys", int(counts.select(pl.len()).collect().item()))


def _values(table: TableSpec, settings: Settings) -> CheckOutcome:
    # null breaks no rule
    broken = [(~pl.sql_expr(rule)).fill_null(value=False).sum().alias(name) for name, rule in table.rules.items()]
    counts = table.scan(settings).select(broken).collect().row(0, named=True)
    return CheckOutcome(not any(counts.values()), {"rows_that_break": counts})
