"""What a BI tool asks before it asks for rows: catalogs, schemas, tables, columns, keys, types, what the server can do.

Input: a message of Flight SQL. Output: an Arrow table with the columns that Flight SQL prescribes for it. There is one
catalog, ``financelake``; its schemas are the lake's layers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Any

import pyarrow as pa

from financelake_assets.flight_sql.columns import readable
from financelake_assets.flight_sql.messages import Told
from financelake_assets.query.names import BY_NAME, CATALOG
from financelake_assets.storage.delta import TableSpec

_TABLE = "TABLE"
_TEXT, _NUMBER = pa.string(), pa.int32()


def _schema(**columns: pa.DataType) -> pa.Schema:
    """Columns; those that end in ``_`` are never null."""
    return pa.schema([pa.field(name.removesuffix("_"), kind, not name.endswith("_")) for name, kind in columns.items()])


_CATALOGS = _schema(catalog_name_=_TEXT)
_DB_SCHEMAS = _schema(catalog_name=_TEXT, db_schema_name_=_TEXT)
_TABLES = _schema(catalog_name=_TEXT, db_schema_name=_TEXT, table_name_=_TEXT, table_type_=_TEXT)
_TABLE_TYPES = _schema(table_type_=_TEXT)
_PRIMARY_KEYS = _schema(
    catalog_name=_TEXT,
    db_schema_name=_TEXT,
    table_name_=_TEXT,
    column_name_=_TEXT,
    key_name=_TEXT,
    key_sequence_=_NUMBER,
)
_FOREIGN_KEYS = _schema(
    pk_catalog_name=_TEXT,
    pk_db_schema_name=_TEXT,
    pk_table_name_=_TEXT,
    pk_column_name_=_TEXT,
    fk_catalog_name=_TEXT,
    fk_db_schema_name=_TEXT,
    fk_table_name_=_TEXT,
    fk_column_name_=_TEXT,
    key_sequence_=_NUMBER,
    fk_key_name=_TEXT,
    pk_key_name=_TEXT,
    update_rule_=pa.uint8(),
    delete_rule_=pa.uint8(),
)
_TYPES = _schema(
    type_name_=_TEXT,
    data_type_=_NUMBER,
    column_size=_NUMBER,
    literal_prefix=_TEXT,
    literal_suffix=_TEXT,
    create_params=pa.list_(pa.field("item", _TEXT, nullable=False)),
    nullable_=_NUMBER,
    case_sensitive_=pa.bool_(),
    searchable_=_NUMBER,
    unsigned_attribute=pa.bool_(),
    fixed_prec_scale_=pa.bool_(),
    auto_increment=pa.bool_(),
    local_type_name=_TEXT,
    minimum_scale=_NUMBER,
    maximum_scale=_NUMBER,
    sql_data_type_=_NUMBER,
    datetime_subcode=_NUMBER,
    num_prec_radix=_NUMBER,
    interval_precision=_NUMBER,
)


def schemas(told: Told) -> pa.Table:
    """The layers."""
    names = sorted({spec.layer for spec in _chosen(told)})
    rows = [{"catalog_name": CATALOG, "db_schema_name": name} for name in names]
    return pa.Table.from_pylist(rows, _DB_SCHEMAS)


def tables(told: Told) -> pa.Table:
    """The tables, and their columns if they are asked for."""
    wanted = list(told.get("table_types"))
    found = [spec for spec in _chosen(told) if not wanted or _TABLE in wanted]
    name = told.get("table_name_filter_pattern")
    found = [spec for spec in found if name is None or _like(name).fullmatch(spec.name)]
    rows: list[dict[str, Any]] = [{**_named(spec), "table_type": _TABLE} for spec in found]
    if not told.get("include_schema"):
        return pa.Table.from_pylist(rows, _TABLES)
    for row, spec in zip(rows, found, strict=True):
        row["table_schema"] = _with_types(spec).serialize().to_pybytes()
    return pa.Table.from_pylist(rows, _TABLES.append(pa.field("table_schema", pa.binary(), nullable=False)))


def primary_keys(told: Told) -> pa.Table:
    """The columns that identify a table's rows."""
    rows = [
        {**_named(spec), "column_name": column, "key_name": None, "key_sequence": number}
        for spec in _chosen(told, "db_schema")
        if spec.name == told.get("table")
        for number, column in enumerate(spec.key, 1)
    ]
    return pa.Table.from_pylist(rows, _PRIMARY_KEYS)


def types(told: Told) -> pa.Table:
    """The types of the tables' columns, with their numbers in JDBC and ODBC."""
    wanted = told.get("data_type") or None  # 0 is the type that is not known
    found = [one for one in sorted(_KNOWN, key=lambda one: (one[1], one[0])) if wanted in (None, one[1])]
    rows = [
        {
            "type_name": name,
            "data_type": number,
            "column_size": size,
            "literal_prefix": None if quote is None else quote,
            "literal_suffix": None if quote is None else "'",
            "nullable": 1,
            "case_sensitive": name == "VARCHAR",
            "searchable": 3,
            "unsigned_attribute": False if radix else None,
            "fixed_prec_scale": False,
            "sql_data_type": number,
            "num_prec_radix": radix,
        }
        for name, number, size, quote, radix in found
    ]
    return pa.Table.from_pylist(rows, _TYPES)


_KNOWN = (
    ("BIGINT", -5, 19, None, 10),
    ("BOOLEAN", -7, 1, None, None),
    ("DATE", 91, 10, "DATE '", None),
    ("DECIMAL", 3, 38, None, 10),
    ("DOUBLE", 8, 53, None, 2),
    ("FLOAT", 7, 24, None, 2),
    ("INTEGER", 4, 10, None, 10),
    ("TIMESTAMP", 93, 26, "TIMESTAMP '", None),
    ("VARCHAR", 12, None, "'", None),
)
"""Name, number in JDBC, size, what begins a literal, and the base of its digits."""

_NAMES: tuple[tuple[Callable[[pa.DataType], bool], str], ...] = (
    (pa.types.is_boolean, "BOOLEAN"),
    (pa.types.is_int64, "BIGINT"),
    (pa.types.is_integer, "INTEGER"),
    (pa.types.is_float64, "DOUBLE"),
    (pa.types.is_floating, "FLOAT"),
    (pa.types.is_decimal, "DECIMAL"),
    (pa.types.is_date, "DATE"),
    (pa.types.is_timestamp, "TIMESTAMP"),
    (pa.types.is_string, "VARCHAR"),
)


def _with_types(spec: TableSpec) -> pa.Schema:
    """A table's columns, each with its name in SQL."""

    def told(field: pa.Field) -> pa.Field:
        kind = next((name for holds, name in _NAMES if holds(field.type)), str(field.type).upper())
        facts = {"TABLE_NAME": spec.name, "DB_SCHEMA_NAME": spec.layer, "CATALOG_NAME": CATALOG, "TYPE_NAME": kind}
        facts |= {"IS_AUTO_INCREMENT": "0", "IS_READ_ONLY": "1", "IS_SEARCHABLE": "1"}
        return field.with_metadata({f"ARROW:FLIGHT:SQL:{name}": value for name, value in facts.items()})

    return pa.schema([told(field) for field in readable(spec.schema)])


def _named(spec: TableSpec) -> dict[str, Any]:
    return {"catalog_name": CATALOG, "db_schema_name": spec.layer, "table_name": spec.name}


def _chosen(told: Told, field: str = "db_schema_filter_pattern") -> list[TableSpec]:
    """The tables of the catalog and the schemas that a message names, by name."""
    catalog, layer = told.get("catalog"), told.get(field)
    found = sorted(BY_NAME.values(), key=lambda spec: (spec.layer, spec.name))
    if catalog not in (None, CATALOG):
        return []
    return [spec for spec in found if layer is None or _like(layer).fullmatch(spec.layer)]


def _like(pattern: str) -> re.Pattern[str]:
    r"""A pattern of JDBC: ``%`` is any text, ``_`` is any sign, and ``\`` makes a sign mean itself."""
    signs = {"%": ".*", "_": "."}
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    return re.compile("".join(signs.get(part) or re.escape(part[-1]) for part in parts), re.DOTALL)


# -- what the server can do: numbers of Flight SQL's enumeration SqlInfo ---------------------------------------------

_SAYS_TEXT, _SAYS_BOOL, _SAYS_LONG, _SAYS_INT, _SAYS_LIST, _SAYS_MAP = range(6)
_YES = (3, 4, 506, 515, 516, 518, 520, 521, 523, 532, 539)
"""Read-only; SQL; all tables are selectable; aliases; null + null; names of tables; ORDER BY; LIKE … ESCAPE; …"""
_NO = (5, 9, 500, 501, 502, 519, 524, 527, 536, 537, 556, 563, 565, 566, 572, 573, 574, 575, 576)
_INTS = {
    8: 0,  # no transactions
    100: 0,  # a prepared statement has no time-out
    101: 0,
    503: 1,  # names are not case-sensitive
    505: 1,
    507: 3,  # nulls come last
    522: 0b11,  # GROUP BY
    525: 0b011,  # grammar of ODBC: minimum and core
    526: 0b001,  # of ANSI 92: entry
    528: 2,  # full outer joins
    533: 0,
    534: 0,
    535: 0,
    538: 0b1111,  # subqueries
    540: 0b11,  # UNION, UNION ALL
    564: 0b1,
    567: 0b10,  # rows are read forward
    568: 0,
    569: 0b10,  # and only read
    570: 0,
    571: 0,
}
_ZERO = (*range(541, 556), *range(557, 563))  # no limit is known; and no isolation of transactions
_LISTS = (508, 509, 510, 511, 512)


def _known_info() -> dict[int, tuple[int, Any]]:
    texts = {0: "FinanceLake", 1: version("financelake"), 2: pa.__version__, 504: '"', 513: "\\", 514: ""}
    texts |= {529: "schema", 530: "", 531: "catalog"}
    return {
        **{number: (_SAYS_TEXT, text) for number, text in texts.items()},
        **{number: (_SAYS_BOOL, number in _YES) for number in (*_YES, *_NO)},
        **{number: (_SAYS_INT, value) for number, value in _INTS.items()},
        **dict.fromkeys(_ZERO, (_SAYS_LONG, 0)),
        **{number: (_SAYS_LIST, []) for number in _LISTS},
        517: (_SAYS_MAP, []),
    }


_VALUES = {
    "string_value": _TEXT,
    "bool_value": pa.bool_(),
    "bigint_value": pa.int64(),
    "int32_bitmask": _NUMBER,
    "string_list": pa.list_(_TEXT),
    "int32_to_int32_list_map": pa.map_(_NUMBER, pa.list_(_NUMBER)),
}


def info(told: Told) -> pa.Table:
    """What the server is and can do."""
    known = _known_info()
    wanted = [number for number in told.get("info") or sorted(known) if number in known]
    columns: list[list[Any]] = [[] for _ in _VALUES]
    offsets = []
    for number in wanted:
        kind, value = known[number]
        offsets.append(len(columns[kind]))
        columns[kind].append(value)
    values = pa.UnionArray.from_dense(
        pa.array([known[number][0] for number in wanted], pa.int8()),
        pa.array(offsets, pa.int32()),
        [pa.array(column, kind) for column, kind in zip(columns, _VALUES.values(), strict=True)],
        list(_VALUES),
    )
    fields = [pa.field("info_name", pa.uint32(), nullable=False), pa.field("value", values.type)]
    return pa.Table.from_arrays([pa.array(wanted, pa.uint32()), values], schema=pa.schema(fields))


def _always(rows: Iterable[dict[str, Any]], schema: pa.Schema) -> Callable[[Told], pa.Table]:
    answer = pa.Table.from_pylist(list(rows), schema)
    return lambda _: answer


ANSWERS: dict[str, Callable[[Told], pa.Table]] = {
    "CommandGetCatalogs": _always([{"catalog_name": CATALOG}], _CATALOGS),
    "CommandGetDbSchemas": schemas,
    "CommandGetTables": tables,
    "CommandGetTableTypes": _always([{"table_type": _TABLE}], _TABLE_TYPES),
    "CommandGetPrimaryKeys": primary_keys,
    "CommandGetExportedKeys": _always([], _FOREIGN_KEYS),
    "CommandGetImportedKeys": _always([], _FOREIGN_KEYS),
    "CommandGetCrossReference": _always([], _FOREIGN_KEYS),
    "CommandGetSqlInfo": info,
    "CommandGetXdbcTypeInfo": types,
}
"""The answer to each message."""
