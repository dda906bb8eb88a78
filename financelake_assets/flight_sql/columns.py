"""Columns as drivers can read them.

Input: columns of an answer. Output: the same, with times in UTC that have no zone: Apache's JDBC driver gives no object
for a time with one (``AvaticaSite: not implemented``), and BI tools know none.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa


def readable(schema: pa.Schema) -> pa.Schema:
    """Columns without time zones."""
    return pa.schema([field.with_type(_without_zone(field.type)) for field in schema], schema.metadata)


def in_columns(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A batch's rows in readable columns."""
    return pa.RecordBatch.from_arrays(
        [column.cast(field.type) for column, field in zip(batch.columns, schema, strict=True)], schema=schema
    )


def of_placeholders(kinds: Sequence[pa.DataType]) -> pa.Schema:
    """The values that a client is to send for placeholders.

    Times are in milliseconds: Apache's JDBC driver (18.3.0) writes milliseconds whatever the unit is, so that of
    microseconds each time would be one of January 1970.
    """
    times = [pa.timestamp("ms") if pa.types.is_timestamp(kind) else kind for kind in kinds]
    return pa.schema([(f"parameter_{number}", kind) for number, kind in enumerate(times, 1)])


def _without_zone(kind: pa.DataType) -> pa.DataType:
    return pa.timestamp(kind.unit) if pa.types.is_timestamp(kind) else kind
