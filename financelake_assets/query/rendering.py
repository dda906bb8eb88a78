"""Rows as JSON, for the HTTP API and the topics.

Input: rows of a table. Output: one JSON object for each, with exactly the table's columns in their order. Times are ISO
8601 in UTC; values that JSON lacks (NaN, infinity) are null.
"""

from __future__ import annotations

from datetime import datetime

import orjson
import polars as pl

from financelake_assets.storage.delta import TableSpec


def as_json(rows: pl.DataFrame) -> list[bytes]:
    """Each row as one JSON object."""
    return [orjson.dumps(row, option=orjson.OPT_UTC_Z) for row in rows.iter_rows(named=True)]


def in_order(spec: TableSpec, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows by time and key, oldest first: the same order in every process, so that a row has a number."""
    return rows.sort(order(spec), nulls_last=True)


def order(spec: TableSpec) -> list[str]:
    """The columns that order a table's rows: its time, then the rest of its key."""
    return [spec.time_column, *(name for name in spec.key if name != spec.time_column)]


def utc(time: datetime) -> str:
    """A time as it is in the rows."""
    return orjson.dumps(time, option=orjson.OPT_UTC_Z).decode().strip('"')
