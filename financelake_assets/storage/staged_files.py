"""Staged files: Parquet files in a table's folder that no commit names yet, and the data that a commit needs.

Input: rows as a ``TableSpec`` declares them. Output: a file, with its name, size, counts and statistics in delta-rs's
format for the log. Any process that reaches the tables' place may write such a file; another process commits it. If no
process commits it, maintenance deletes it, like the files of a killed writer.
"""

from __future__ import annotations

import io
import json
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import obstore
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.transaction import AddAction
from obstore.store import ObjectStore

from financelake_assets.errors import FinanceLakeError
from financelake_assets.storage.delta import TableSpec

_LONGEST_TEXT = 64
_BEHIND_ANY = "\U0010ffff"

Rules = Mapping[str, str]
"""By name, in SQL: the rules for every row of a table."""


class RuleError(FinanceLakeError, ValueError):
    """A row breaks a rule of its table. This is an error in the code: the row must not be written."""


class StagedFile(msgspec.Struct, frozen=True):
    """A file in a table's folder; ``groups`` has the number of rows of each row group."""

    name: str
    size: int
    groups: list[int]
    statistics: str

    @property
    def rows(self) -> int:
        """Rows of the whole file."""
        return sum(self.groups)

    def as_action(self) -> AddAction:
        """The add action of the file for a commit."""
        return AddAction(self.name, self.size, {}, int(time.time() * 1000), True, self.statistics)


class FileWriter:
    """A file that grows by row groups. It appears under its name only when it is closed, and only if it has rows."""

    def __init__(self, store: ObjectStore, spec: TableSpec, rules: Rules) -> None:
        self._store, self._spec, self._rules = store, spec, rules
        self._name = f"part-00000-{uuid.uuid4()}-c000.snappy.parquet"
        # numbers hardly ever repeat
        self._texts = [field.name for field in spec.schema if pa.types.is_string(field.type)]
        self._binary = [field.name for field in spec.schema if pa.types.is_binary(field.type)]
        self._told: list[pl.DataFrame] = []
        self._sink: _Sink | None = None
        self._parquet: pq.ParquetWriter | None = None

    def add(self, rows: pa.Table) -> None:
        """Write rows, as declared, as one row group.

        Raises:
            RuleError: a row breaks a rule.
        """
        if not rows.num_rows:
            return
        frame = pl.DataFrame(pl.from_arrow(rows))
        refuse_broken(self._spec, frame, self._rules)
        if self._parquet is None:
            self._sink = _Sink(obstore.open_writer(self._store, f"{self._spec.full_name}/{self._name}"))
            self._parquet = pq.ParquetWriter(
                self._sink, self._spec.schema, compression="snappy", use_dictionary=self._texts
            )
        self._parquet.write_table(rows, row_group_size=rows.num_rows)
        self._told.append(frame.drop(self._binary))

    def close(self) -> StagedFile | None:
        """Close the file and return its description; ``None`` if it has no rows."""
        if self._parquet is None or self._sink is None:
            return None
        self._parquet.close()
        self._sink.close()
        groups = [frame.height for frame in self._told]
        return StagedFile(self._name, self._sink.size, groups, statistics(pl.concat(self._told)))


class _Sink(io.RawIOBase):
    """A growing object with the file interface that pyarrow needs; obstore's own has ``closed`` as a method."""

    def __init__(self, target: obstore.WritableFile) -> None:
        super().__init__()
        self._target = target
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.size += len(data)
        self._target.write(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._target.close()
        super().close()


def refuse_broken(spec: TableSpec, rows: pl.DataFrame, rules: Rules) -> None:
    """Raise if a row breaks a rule of its table, or lacks a required value.

    Raises:
        RuleError: a row breaks a rule or lacks a value.
    """
    required = [field.name for field in spec.schema if not field.nullable]
    absent = [name for name in required if rows[name].null_count()]
    broken = [name for name, rule in rules.items() if not rows.filter(~pl.sql_expr(rule)).is_empty()]
    if absent or broken:
        raise RuleError(f"A row of {spec.full_name} breaks {', '.join([*broken, *(f'not null {n}' for n in absent)])}.")


def statistics(rows: pl.DataFrame) -> str:
    """The statistics of a file, as JSON for the log: row count, and minimum, maximum and null count of each column.

    Args:
        rows: of the file, without binary columns, for which a log has no statistics.
    """
    least = rows.select(pl.all().min()).row(0, named=True)
    greatest = rows.select(pl.all().max()).row(0, named=True)
    found = {
        "numRecords": rows.height,
        "minValues": {name: _told(value, "") for name, value in least.items() if value is not None},
        "maxValues": {name: _told(value, _BEHIND_ANY) for name, value in greatest.items() if value is not None},
        "nullCount": rows.null_count().row(0, named=True),
    }
    return json.dumps(found, separators=(",", ":"), allow_nan=False)


def _told(value: Any, behind_cut: str) -> Any:
    """A bound in delta-rs's format: times in milliseconds. A long text is cut so that it stays a bound."""
    if isinstance(value, datetime):
        at = value.astimezone(UTC)
        text = at.isoformat(timespec="milliseconds" if at.microsecond >= 1000 else "seconds")
        return text.replace("+00:00", "Z")
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        return value[:_LONGEST_TEXT] + behind_cut
    return value
