"""A Delta table in Dagster: its asset key, its spec with columns and rules, its rows as Markdown."""

from __future__ import annotations

import dagster as dg
import polars as pl

from financelake_assets.storage.delta import TableSpec

OWNERS = ["team:data-platform"]


def table_key(table: TableSpec) -> dg.AssetKey:
    """Asset key of a Delta table: its layer and name."""
    return dg.AssetKey([table.layer, table.name])


def table_spec(table: TableSpec, deps: list[dg.AssetKey], kinds: set[str]) -> dg.AssetSpec:
    """An asset for a Delta table, with its columns and rules as metadata."""
    columns = [
        dg.TableColumn(field.name, str(field.type), constraints=dg.TableColumnConstraints(nullable=field.nullable))
        for field in table.schema
    ]
    rules = dg.TableConstraints([f"{name}: {rule}" for name, rule in table.rules.items()])
    return dg.AssetSpec(
        table_key(table),
        deps=deps,
        group_name=table.layer,
        kinds={"deltalake", *kinds},
        owners=OWNERS,
        description=table.description,
        metadata={"dagster/column_schema": dg.TableSchema(columns, rules), "unique by": ", ".join(table.key)},
    )


def markdown_table(rows: pl.DataFrame) -> str:
    """All rows of a frame as a Markdown table."""
    with pl.Config(tbl_formatting="MARKDOWN", tbl_hide_column_data_types=True, tbl_hide_dataframe_shape=True) as config:
        config.set_tbl_rows(-1).set_tbl_cols(-1)
        return str(rows)
