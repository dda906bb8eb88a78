"""Silver in Dagster: the tables that the continuous silver query writes, and their checks."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl

from financelake_assets.automation.decisions import lag
from financelake_assets.bronze.assets import OWNERS, TOPICS
from financelake_assets.resources.dagster import (
    ContinuousStreamsResource,
    LakeResource,
    TablesResource,
    TopicsResource,
    total,
)
from financelake_assets.resources.delta import TableSpec
from financelake_assets.silver.checkpoint import QUERY, consumed_offsets
from financelake_assets.silver.lateness import late_series
from financelake_assets.silver.ledger import read_ledger, uncounted
from financelake_assets.silver.schema import BARS, FINDINGS, QUARANTINE, TICKS
from financelake_assets.silver.survey import survey

MOST_QUARANTINED = 0.01
_SHOWN = 20


def table_key(table: TableSpec) -> dg.AssetKey:
    """Asset key of a Delta table: its layer and name."""
    return dg.AssetKey([table.layer, table.name])


def table_spec(table: TableSpec, deps: list[dg.AssetKey], kinds: set[str]) -> dg.AssetSpec:
    """An asset for a Delta table, with its columns and rules as metadata."""
    columns = [
        dg.TableColumn(field.name, str(field.type), constraints=dg.TableColumnConstraints(nullable=field.nullable))
        for field in table.schema
    ]
    rules = dg.TableConstraints([f"{name}: {rule}" for name, rule in table.constraints.items()])
    return dg.AssetSpec(
        table_key(table),
        deps=deps,
        group_name=table.layer,
        kinds={"deltalake", *kinds},
        owners=OWNERS,
        description=table.description,
        metadata={"dagster/column_schema": dg.TableSchema(columns, rules), "unique by": ", ".join(table.key)},
    )


SURVEYED = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=4), warn_window=timedelta(hours=2))
"""The survey runs every hour."""

TABLES = (BARS, TICKS, QUARANTINE)
_TOPIC_KEYS = [spec.key for spec in TOPICS]


@dg.multi_asset(
    specs=[table_spec(table, _TOPIC_KEYS, {"spark"}) for table in TABLES], can_subset=True, name="silver_tables"
)
def silver_tables(
    context: dg.AssetExecutionContext,
    lake: LakeResource,
    topics: TopicsResource,
    tables: TablesResource,
    streams: ContinuousStreamsResource,
) -> Iterator[dg.MaterializeResult[None]]:
    """Make sure that the silver query runs and has committed everything that is on the topics now."""
    until = topics.watermarks()
    streams.drain(QUERY, lambda: total(lag(consumed_offsets(lake.settings), until)), context.log.info)
    for table in TABLES:
        if table_key(table) in context.selected_asset_keys:
            yield dg.MaterializeResult(
                asset_key=table_key(table),
                metadata=tables.metadata(table),
                data_version=dg.DataVersion(tables.version(table) or "0"),
            )


@dg.multi_asset(
    specs=[table_spec(FINDINGS, [table_key(BARS)], {"polars"}).replace_attributes(freshness_policy=SURVEYED)],
    name="silver_findings",
    pool="silver_findings",
)
def silver_findings(lake: LakeResource, tables: TablesResource) -> dg.MaterializeResult[None]:
    """Look through every series for bars that the calendar misses and prices that jump."""
    found = survey(lake.settings)
    newest = found.sort("event_time", descending=True).head(_SHOWN).drop("asset_class")
    return dg.MaterializeResult(
        asset_key=table_key(FINDINGS),
        metadata={
            **tables.metadata(FINDINGS),
            "by_kind": dict(found.group_by("kind").len().sort("kind").iter_rows()),
            "missing_bars": int(found["missing"].sum()),
            "newest": dg.MetadataValue.md(markdown_table(newest)),
        },
        data_version=dg.DataVersion(tables.version(FINDINGS) or "0"),
    )


def markdown_table(rows: pl.DataFrame) -> str:
    """All of some rows as a Markdown table."""
    with pl.Config(tbl_formatting="MARKDOWN", tbl_hide_column_data_types=True, tbl_hide_dataframe_shape=True) as config:
        config.set_tbl_rows(-1).set_tbl_cols(-1)
        return str(rows)


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            "ledger_balanced", asset=table_key(BARS), description="in = silver + duplicates + quarantine"
        ),
        dg.AssetCheckSpec("totals_match_rows", asset=table_key(BARS), description="the ledger's totals are the rows'"),
        dg.AssetCheckSpec("unique_key", asset=table_key(BARS), description="one row a symbol, interval and event_time"),
        dg.AssetCheckSpec("fresh", asset=table_key(BARS), description="no live series lacks a bar, by its calendar"),
        dg.AssetCheckSpec("share", asset=table_key(QUARANTINE), description=f"at most {MOST_QUARANTINED:.0%} of all"),
    ],
    name="silver_checks",
)
def silver_checks(lake: LakeResource) -> Iterator[dg.AssetCheckResult]:
    """The invariants of silver, in one pass."""
    ledger = read_ledger(lake.settings)
    yield dg.AssetCheckResult(
        check_name="ledger_balanced", asset_key=table_key(BARS), passed=ledger.balanced, metadata=ledger.as_dict()
    )
    beyond = uncounted(lake.settings)
    yield dg.AssetCheckResult(
        check_name="totals_match_rows",
        asset_key=table_key(BARS),
        passed=not any(beyond.values()),
        metadata={"rows_beyond_totals": beyond},
    )
    repeated = repeated_keys(lake, BARS)
    yield dg.AssetCheckResult(
        check_name="unique_key", asset_key=table_key(BARS), passed=repeated == 0, metadata={"repeated_keys": repeated}
    )
    late = late_series(lake.settings, datetime.now(UTC))
    yield dg.AssetCheckResult(
        check_name="fresh",
        asset_key=table_key(BARS),
        passed=not late,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"late_series": len(late), "overdue_bars": dict(list(late.items())[:_SHOWN])},
    )
    share = ledger.quarantine / ledger.consumed if ledger.consumed else 0.0
    yield dg.AssetCheckResult(
        check_name="share",
        asset_key=table_key(QUARANTINE),
        passed=share <= MOST_QUARANTINED,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"share": share, "by_reason": counts_by_reason(lake)},
    )


def repeated_keys(lake: LakeResource, table: TableSpec) -> int:
    """How many keys of a table occur more than once."""
    opened = table.open(lake.settings)
    if opened is None:
        return 0
    counts = pl.scan_delta(opened).group_by(table.key).len().filter(pl.col("len") > 1)
    return int(counts.select(pl.len()).collect().item())


def counts_by_reason(lake: LakeResource) -> dict[str, int]:
    """Rows in quarantine by reason."""
    opened = QUARANTINE.open(lake.settings)
    if opened is None:
        return {}
    counts = pl.scan_delta(opened).group_by("reason").len().sort("reason").collect()
    return dict(counts.iter_rows())
