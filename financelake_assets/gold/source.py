"""Silver's versions as a source of Structured Streaming, so that gold sees a commit within milliseconds.

Input: the log of silver.bars. Output: micro-batches of versions; Spark stores the position in the query's checkpoint.
Delta's own source needs one Spark job to plan a batch and another to read it; both together took longer than all of
gold's own work. This source reads the log with delta-rs, and so does the batch (``silver_changes.py``).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from deltalake import DeltaTable
from pyspark.sql.datasource import DataSource, DataSourceStreamReader, InputPartition
from pyspark.sql.streaming.datasource import ReadLimit
from pyspark.sql.types import StructType

from financelake_assets.config import Settings
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.checkpoints import CheckpointError
from financelake_assets.storage.log_events import LogEvents
from financelake_assets.storage.log_watch import LogWatch

LAKE, FIRST_VERSION = "lake", "first_version"
"""Options: the lake's settings as JSON, and the first version for a query without a checkpoint."""

MOST_VERSIONS = 500
"""The largest number of versions in one micro-batch, for a query that catches up."""

_WAIT_SECONDS = 2.0  # Spark asks again after a moment in which nobody looks, so a query without work waits here
_LOOK_SECONDS = 0.25  # the system tells of a commit at once, but not on every file system
_LOOK_STORE_SECONDS = 0.5  # in a store each check is a request, which costs money

Offset = dict[str, Any]
"""``version`` is the first version that is not read yet, of the table with the id ``table``."""


class SilverVersions(DataSource):
    """Each row is a version of silver.bars."""

    @classmethod
    def name(cls) -> str:
        """The name for ``readStream.format``."""
        return "silver_versions"

    def schema(self) -> str:
        """One column."""
        return "version BIGINT"

    def streamReader(self, schema: StructType) -> DataSourceStreamReader:  # noqa: ARG002, N802  # Spark's signature
        """The reader, which Spark keeps in a separate process while the query runs."""
        return VersionsReader(Settings.sent(self.options[LAKE]), int(self.options[FIRST_VERSION]))


class VersionsReader(DataSourceStreamReader):
    """Follows the log of silver.bars. Spark copies it to its process before the first use, so nothing is open yet."""

    def __init__(self, settings: Settings, first_version: int) -> None:
        self._settings, self._first = settings, first_version
        self._look_seconds = _LOOK_SECONDS if settings.store.url is None else _LOOK_STORE_SECONDS

    @cached_property
    def _table(self) -> DeltaTable:
        return BARS.ensure(self._settings)

    @cached_property
    def _log(self) -> LogWatch:
        return LogWatch(BARS, self._settings)

    @cached_property
    def _events(self) -> LogEvents:
        return LogEvents((BARS,), self._settings).__enter__()  # until this process ends, as the query does

    def initialOffset(self) -> Offset:  # noqa: N802
        """The offset at which a query without a checkpoint begins."""
        return self._offset(self._first)

    def latestOffset(self, start: Offset, limit: ReadLimit) -> Offset:  # noqa: ARG002, N802
        """The offset after the newest version; waits a moment if there is none after ``start``.

        Raises:
            CheckpointError: ``start`` belongs to another table.
        """
        if start["table"] != self._table_id():
            raise CheckpointError(f"the gold query's checkpoint belongs to another table than {self._table.table_uri}")
        deadline = time.monotonic() + _WAIT_SECONDS
        events = self._events  # before the first look, so that no commit comes between
        while (end := self._end()) <= start["version"] and time.monotonic() < deadline:
            events.wait(self._look_seconds)
        return self._offset(max(start["version"], min(end, start["version"] + MOST_VERSIONS)))

    def reportLatestOffset(self) -> Offset:  # noqa: N802
        """The newest offset that Spark's progress reports show."""
        return self._offset(self._end())

    def partitions(self, start: Offset, end: Offset) -> Sequence[InputPartition]:
        """One partition with all versions."""
        return [InputPartition((start["version"], end["version"]))]

    def read(self, partition: InputPartition) -> Iterator[tuple[int]]:
        """The versions, for a query that reads its rows; the gold query does not."""
        return ((version,) for version in range(*partition.value))

    def _end(self) -> int:
        if self._log.may_have_changed():
            self._table.update_incremental()
        return int(self._table.version()) + 1

    def _table_id(self) -> str:
        return str(self._table.metadata().id)

    def _offset(self, version: int) -> Offset:
        return {"table": self._table_id(), "version": version}
