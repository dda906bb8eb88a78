"""What a table's log tells of it, for every table that a lake has."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from financelake_assets.config import Settings
from financelake_assets.gold import derived
from financelake_assets.gold import schema as gold
from financelake_assets.resources.delta import TableSpec
from financelake_assets.silver import schema as silver

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TABLES = [one for module in (silver, gold, derived) for one in vars(module).values() if isinstance(one, TableSpec)]


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
    assert (facts.rows, facts.version) == (1, 1)
    if not pa.types.is_temporal(table.schema.field(table.time_column).type):
        assert facts.newest is None
    else:
        assert isinstance(facts.newest, date)  # a datetime is one too
        assert facts.newest.isoformat().startswith("2026-01-02")
