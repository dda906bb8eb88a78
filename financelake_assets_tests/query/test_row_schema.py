"""Rows as JSON are what their schema says: of every table that is written as JSON, with any values."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from financelake_assets.catalogue import QUARANTINE, TABLES
from financelake_assets.gold.schema import PREDICTIONS, SIGNALS
from financelake_assets.query.rendering import as_json
from financelake_assets.query.row_schema import NoJsonError, document
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.delta import TableSpec


def values(field: pa.Field) -> st.SearchStrategy[Any]:
    """Any value of a column, with null where the table takes it."""
    kind: st.SearchStrategy[Any]
    if pa.types.is_timestamp(field.type):
        kind = st.datetimes(datetime(1800, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
    elif pa.types.is_integer(field.type):
        kind = st.integers(-100, 100)
    elif pa.types.is_boolean(field.type):
        kind = st.booleans()
    elif pa.types.is_floating(field.type):
        kind = st.floats(width=32)
    else:
        kind = st.text()
    return st.none() | kind if field.nullable else kind


@pytest.mark.parametrize("spec", [SIGNALS, PREDICTIONS, BARS], ids=lambda spec: spec.name)
@given(data=st.data())
def test_a_row_is_what_the_schema_says(spec: TableSpec, data: st.DataObject) -> None:
    row = {field.name: data.draw(values(field), label=field.name) for field in spec.schema}
    (written,) = as_json(pl.DataFrame([row], schema=spec.empty.schema))
    Draft202012Validator(document(spec), format_checker=FormatChecker()).validate(json.loads(written))


@pytest.mark.parametrize("spec", TABLES, ids=lambda spec: spec.full_name)
def test_every_table_has_a_schema_or_says_that_it_has_none(spec: TableSpec) -> None:
    try:
        made = document(spec)
    except NoJsonError:
        assert any(pa.types.is_binary(kind) or pa.types.is_nested(kind) for kind in spec.schema.types)
        return
    Draft202012Validator.check_schema(made)
    assert made["required"] == spec.schema.names


def test_a_missing_column_a_text_for_a_number_and_a_null_in_the_key_are_refused() -> None:
    check = Draft202012Validator(document(SIGNALS))
    row = json.loads(as_json(SIGNALS.empty.clear(1))[0])
    told = {error.message for error in check.iter_errors(row)}
    assert "None is not of type 'string'" in told, "a key is never null"
    assert any("is not of type 'number', 'null'" in e.message for e in check.iter_errors({**row, "confidence": "0.5"}))
    del row["confidence"]
    assert any("'confidence' is a required property" in error.message for error in check.iter_errors(row))


def test_quarantine_keeps_raw_bytes_and_is_not_written_as_json() -> None:
    with pytest.raises(NoJsonError, match="binary"):
        document(QUARANTINE)
