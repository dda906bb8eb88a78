"""What a statement does and which tables it names, from its syntax tree, before it runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import duckdb

from financelake_assets.query.errors import QueryError, ReadOnlyError
from financelake_assets.query.names import dotted, known
from financelake_assets.storage.delta import TableSpec

_EXPLAIN = re.compile(r"\s*explain(\s+analyze)?\b", re.IGNORECASE)
_OWN = ("information_schema", "pg_catalog")
"""DuckDB's own catalogue, which reveals nothing about the machine."""


def tables_of(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, TableSpec]:
    """The tables that a query names, by their names in SQL.

    Raises:
        ReadOnlyError: the statement does not only read.
        UnknownTableError: it names a table that does not exist.
        QueryError: there is more than one statement, or one that cannot be analysed.
        duckdb.Error: it is not SQL.
    """
    tree = json.loads(_serialised(connection, _reading(connection, query)))
    if tree["error"]:
        raise QueryError(
            f"The query cannot be analysed: {tree['error_message']}",
            remedy="Write it as SELECT; for PIVOT, as aggregates with FILTER.",
        )
    found = list(_nodes(tree))
    common = {entry["key"].lower() for node in found for entry in node.get("cte_map", {}).get("map", ())}
    specs = [known(name) for name in sorted({_name(node) for node in found if _is_table(node, common)})]
    return {dotted(spec): spec for spec in specs}


def described_by(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[str, int]:
    """A SELECT that has the columns of a query's answer, and how many placeholders it has."""
    statement = connection.extract_statements(query)[0]
    if statement.type == duckdb.StatementType.EXPLAIN:
        return "SELECT '' AS explain_key, '' AS explain_value", 0
    return statement.query.strip().rstrip(";"), len(statement.named_parameters)


def compared(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, str]:
    """By the number of a placeholder, the column that the query compares it with; DuckDB does not tell its type."""
    found: dict[str, str] = {}
    for node in _nodes(json.loads(_serialised(connection, query))):
        sides: list[Any] = [node.get(name) for name in ("left", "right", "input", "lower", "upper")]
        if node.get("type") in ("COMPARE_IN", "COMPARE_NOT_IN"):
            sides = node["children"]
        sides = [side for side in sides if isinstance(side, dict)]
        columns = [side["column_names"][-1] for side in sides if side.get("class") == "COLUMN_REF"]
        if columns:
            found |= {side["identifier"]: columns[0] for side in sides if side.get("class") == "PARAMETER"}
    return found


def _reading(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """The query, or the query inside an EXPLAIN, if it only reads."""
    statements = connection.extract_statements(query)
    if len(statements) != 1:
        raise QueryError(f"There are {len(statements)} statements.", remedy="Give one query at a time.")
    kind, text = statements[0].type, statements[0].query
    if kind == duckdb.StatementType.EXPLAIN:  # EXPLAIN ANALYZE runs its statement
        text = _EXPLAIN.sub("", text, count=1)
        statements = connection.extract_statements(text) if text != statements[0].query else []
    if [item.type for item in statements] != [duckdb.StatementType.SELECT]:
        raise ReadOnlyError(
            f"Queries are read-only, and this is a {kind.name} statement.",
            remedy="Use SELECT, WITH, FROM, VALUES, DESCRIBE, SUMMARIZE, SHOW or EXPLAIN.",
        )
    return text


def _serialised(connection: duckdb.DuckDBPyConnection, text: str) -> str:
    row = connection.execute("SELECT json_serialize_sql(?)", [text]).fetchone()
    return str(row[0]) if row else "{}"


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from _nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value)


def _is_table(node: dict[str, Any], common: set[str]) -> bool:
    if node.get("type") != "BASE_TABLE" or node["schema_name"].lower() in _OWN:
        return False
    return bool(node["schema_name"]) or node["table_name"].lower() not in common


def _name(node: dict[str, Any]) -> str:
    return ".".join(part for part in (node["catalog_name"], node["schema_name"], node["table_name"]) if part)
