"""What a row is as JSON: the schema of the topics' messages and of the HTTP API's rows, from a table's declaration.

Input: a ``TableSpec``. Output: JSON Schema (draft 2020-12) of what ``rendering.py`` writes.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from financelake_assets.errors import FinanceLakeError
from financelake_assets.query.names import dotted
from financelake_assets.storage.delta import TableSpec

DRAFT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
TIME: Schema = {"type": "string", "format": "date-time"}
INTEGER: Schema = {"type": "integer"}
_BOOLEAN: Schema = {"type": "boolean"}
_NUMBER: Schema = {"type": "number"}


class NoJsonError(FinanceLakeError, TypeError):
    """The table's rows are not written as JSON."""


def document(spec: TableSpec) -> Schema:
    """The schema of a table's rows as a document of its own.

    Raises:
        NoJsonError: the table's rows are not written as JSON.
    """
    return {"$schema": DRAFT, "title": dotted(spec), **of_row(spec)}


def of_row(spec: TableSpec) -> Schema:
    """An object with all of the table's columns. A reader must expect columns of later releases."""
    fields = {field.name: of_column(field.type, nullable=field.nullable) for field in spec.schema}
    return {"type": "object", "description": spec.description, "properties": fields, "required": list(fields)}


def of_column(kind: pa.DataType, *, nullable: bool) -> Schema:
    """A value of a column. A float may always be null, because JSON has no NaN.

    Raises:
        NoJsonError: rows with such a column are not written as JSON.
    """
    if pa.types.is_timestamp(kind):
        schema = TIME
    elif pa.types.is_integer(kind):
        schema = INTEGER
    elif pa.types.is_boolean(kind):
        schema = _BOOLEAN
    elif pa.types.is_floating(kind):
        return or_null(_NUMBER)
    elif pa.types.is_string(kind):
        schema = TEXT
    else:
        raise NoJsonError(f"Rows with a column of type {kind} are not written as JSON.", remedy="Read them by SQL.")
    return or_null(schema) if nullable else schema


def or_null(schema: Schema) -> Schema:
    """The same, or null."""
    return {**schema, "type": [schema["type"], "null"]}
