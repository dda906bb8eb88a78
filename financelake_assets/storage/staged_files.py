"""Staged files: Parquet files in a table's folder that no commit names yet, and what a commit needs to name them.

Enters: rows as a ``TableSpec`` declares them. Leaves: a file, and its name, size, counts and statistics as delta-rs
would tell them in the log. Who writes is any process that reaches the place of the tables; who commits is another. A
file that is never committed is deleted by maintenance, like those that a killed writer leaves.
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
"""By name, in SQL: what holds for every row of a table."""


class RuleError(FinanceLakeError, ValueError):
    """A row breaks a rule of its table, which is an error in the code: it must not be written."""


class StagedFile(msgspec.Struct, frozen=True):
    """A file in a table's folder; ``groups`` are the rows of each of its row groups."""

    name: str
    size: int
    groups: list[int]
    statistics: str

    @property
    def rows(self) -> int:
        """Rows of the whole file."""
        return sum(self.groups)

    def as_action(self) -> AddAction:
        """What a commit says of the file."""
        return AddAction(self.name, self.size, {}, int(time.time() * 1000), True, self.statistics)


class FileWriter:
    """A file that grows by row groups; nothing is there under its name before it is closed, nor without a row."""

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
        """Write rows, as declared, as a row group.

        Raises:
            RuleError: one of them breaks a rule.
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
        """End the file and say what it is; ``None`` where it would have no rows."""
        if self._parquet is None or self._sink is None:
            return None
        self._parquet.close()
        self._sink.close()
        groups = [frame.height for frame in self._told]
        return StagedFile(self._name, self._sink.size, groups, statistics(pl.concat(self._told)))


class _Sink(io.RawIOBase):
    """An object that grows, as pyarrow wants a file: obstore's own has ``closed`` as a method."""

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
    """Raise where a row breaks a rule of its table, or lacks what every row has.

    Raises:
        RuleError: as said.
    """
    required = [field.name for field in spec.schema if not field.nullable]
    absent = [name for name in required if rows[name].null_count()]
    broken = [name for name, rule in rules.items() if not rows.filter(~pl.sql_expr(rule)).is_empty()]
    if absent or broken:
        raise RuleError(f"A row of {spec.full_name} breaks {', '.join([*broken, *(f'not null {n}' for n in absent)])}.")


def statistics(rows: pl.DataFrame) -> str:
    """The statistics of a file, as JSON for the log: rows, and of each column the least, the greatest and the nulls.

    Args:
        rows: of the file, without binary columns, of which a log tells nothing.
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
    """A bound as delta-rs writes it: times in milliseconds. A long text is cut so that it stays a bound."""
    if isinstance(value, datetime):
        at = value.astimezone(UTC)
        text = at.isoformat(timespec="milliseconds" if at.microsecond >= 1000 else "seconds")
        return text.replace("+00:00", "Z")
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        return value[:_LONGEST_TEXT] + behind_cut
    return value
