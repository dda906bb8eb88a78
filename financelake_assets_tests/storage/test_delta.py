"""What a table's log tells of it, for every table that a lake has."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from financelake_assets.catalogue import TABLES
from financelake_assets.config import Settings
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.delta import TIMESTAMP, TableSpec, columns

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def value(kind: pa.DataType) -> Any:
    if pa.types.is_timestamp(kind):
        return MOMENT
    if pa.types.is_date(kind):
        return MOMENT.date()
    if pa.types.is_string(kind):
        return "x"
    if pa.types.is_binary(kind):
        return b"x"
    return None if pa.types.is_nested(kind) else pa.scalar(1).cast(kind).as_py()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.full_name)
def test_facts_come_from_the_log_and_the_newest_is_a_time(offline_lake: Settings, table: TableSpec):
    assert table.facts(offline_lake) is None
    table.ensure(offline_lake)
    row = {field.name: value(field.type) for field in table.schema}
    write_deltalake(table.path(offline_lake), pa.Table.from_pylist([row], schema=table.schema), mode="append")
    facts = table.facts(offline_lake)
    assert facts is not None
    assert (facts.rows, facts.version) == (1, 1 + len(table.constraints))
    if not pa.types.is_temporal(table.schema.field(table.time_column).type):
        assert facts.newest is None
    else:
        assert isinstance(facts.newest, date)  # a datetime is one too
        assert facts.newest.isoformat().startswith("2026-01-02")


OLD = TableSpec("silver", "grown", columns({"symbol": pa.string(), "price": pa.float64()}), ("symbol",), "")
GROWN = replace(
    OLD,
    schema=columns({"symbol": pa.string(), "price": pa.float64(), "seen_at": TIMESTAMP}, required=("seen_at",)),
    constraints={"price_positive": "price > 0"},
)


def test_a_table_of_an_earlier_release_gets_the_columns_and_rules_that_it_lacks(offline_lake: Settings) -> None:
    write_deltalake(OLD.ensure(offline_lake), pa.table({"symbol": ["A"], "price": [1.0]}), mode="append")
    table = GROWN.ensure(offline_lake)
    row = pa.Table.from_pylist([{"symbol": "B", "price": 2.0, "seen_at": MOMENT}], schema=GROWN.schema)
    write_deltalake(table, row, mode="append")
    rows = pl.scan_delta(table).sort("symbol").collect().rows()
    assert rows == [("A", 1.0, None), ("B", 2.0, MOMENT)]
    version = table.version()
    assert GROWN.ensure(offline_lake).version() == version


def test_a_table_of_an_earlier_release_gets_the_properties_that_it_lacks_and_keeps_its_own(offline_lake: Settings):
    mine = {"delta.checkpointInterval": "7"}
    DeltaTable.create(GROWN.path(offline_lake), OLD.schema, configuration=mine)
    table = replace(GROWN, properties={"delta.enableChangeDataFeed": "true"}).ensure(offline_lake)
    known = table.metadata().configuration
    assert known["delta.enableChangeDataFeed"] == "true"
    assert known["delta.checkpointInterval"] == "7"


def test_a_row_that_breaks_a_rule_is_not_written(offline_lake: Settings) -> None:
    table = GROWN.ensure(offline_lake)
    row = pa.Table.from_pylist([{"symbol": "B", "price": -2.0, "seen_at": MOMENT}], schema=GROWN.schema)
    with pytest.raises(DeltaError, match="failed validation"):
        write_deltalake(table, row, mode="append")
    assert GROWN.facts(offline_lake).rows == 0  # type: ignore[union-attr]


def test_a_rule_that_rows_break_already_is_not_added_in_silence(offline_lake: Settings) -> None:
    write_deltalake(OLD.ensure(offline_lake), pa.table({"symbol": ["A"], "price": [-1.0]}), mode="append")
    with pytest.raises(DeltaError):
        GROWN.ensure(offline_lake)


def test_several_at_once_add_each_column_and_rule_once(offline_lake: Settings) -> None:
    OLD.ensure(offline_lake)
    with ThreadPoolExecutor(4) as pool:
        tables = list(pool.map(lambda _: GROWN.ensure(offline_lake), range(8)))
    assert {table.version() for table in tables} == {2}


@pytest.mark.parametrize(
    "change",
    [{"high": 0.5}, {"low": 1.5}, {"volume": -1.0}],
    ids=lambda change: next(iter(change)),
)
def test_no_bar_that_breaks_an_invariant_can_be_written(offline_lake: Settings, change: dict[str, float]) -> None:
    table = BARS.ensure(offline_lake)
    good = {field.name: value(field.type) for field in BARS.schema}
    for row in (good, {**good, "volume": None}):
        write_deltalake(table, pa.Table.from_pylist([row], schema=BARS.schema), mode="append")
    with pytest.raises(DeltaError, match="failed validation"):
        write_deltalake(table, pa.Table.from_pylist([{**good, **change}], schema=BARS.schema), mode="append")
