"""Staged batches, as the driver sees them: looked after, read back where they must be, never taken on trust.

Input: a micro-batch as Spark gives it. Output: the tasks' reports, checked: every file is where the driver sees it and
as long as was told, and each message is counted once. Executors that do not reach the tables' place are found out on
the first batch; then nothing is staged until the query starts again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import polars as pl
import pyarrow as pa
import structlog
from obstore.exceptions import BaseError
from obstore.store import ObjectStore
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from financelake_assets.errors import FinanceLakeError
from financelake_assets.silver import merging, reading, staging
from financelake_assets.silver.cleaning import Universe
from financelake_assets.silver.holes import Seen
from financelake_assets.silver.schema import BARS, QUARANTINE, TICKS
from financelake_assets.silver.staging import Plan, Report, StagedTable
from financelake_assets.silver.writing import Ends, TopicIds, Totals
from financelake_assets.storage.delta import TableSpec
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets.storage.staged_files import StagedFile
from financelake_assets.storage.store import delta_options, objects

log = structlog.get_logger()


class StagingError(FinanceLakeError, RuntimeError):
    """What the executors say that they staged is not there."""


class Staged:
    """What the tasks of a batch staged. Looked at when made, so that no commit names a file that is not there.

    Raises:
        StagingError: a file is not there, or is not as long as was told.
    """

    def __init__(self, tables: OpenTables, reports: Sequence[Report]) -> None:
        self._settings = tables.settings
        self._reports = sorted(reports, key=lambda report: min((part.first for part in report.seen), default=0))
        self._look()

    @property
    def seen(self) -> list[Seen]:
        """What the tasks were given."""
        return [part for report in self._reports for part in report.seen]

    def counts(self, spec: TableSpec) -> Totals:
        """Messages for a table."""
        parts = self._of(spec)
        return Totals(sum(part.accepted for part in parts), sum(part.duplicates for part in parts))

    def ends(self, spec: TableSpec) -> Ends:
        """The offset behind the last message for a table, of each partition."""
        found: dict[tuple[str, int], int] = {}
        for topic, partition, end in (end for part in self._of(spec) for end in part.ends):
            found[topic, partition] = max(end, found.get((topic, partition), 0))
        return [(topic, partition, end) for (topic, partition), end in found.items()]

    def files(self, spec: TableSpec) -> list[StagedFile]:
        """The files that the table may take as they are."""
        return [part.rows for part in self._of(spec) if part.rows is not None]

    def rows(self, spec: TableSpec, columns: Sequence[str]) -> pl.DataFrame:
        """Some columns of those files' rows."""
        return self._read(spec, self.files(spec), columns)

    def messages(self, spec: TableSpec) -> pl.DataFrame:
        """All messages for silver/ticks, or for silver/bars, as cleaning gave them."""
        trades = merging.as_ticks(self._all(TICKS))
        return trades if spec is TICKS else pl.concat([self._all(BARS), trades], how="diagonal")

    def refused(self) -> Iterator[pl.DataFrame]:
        """The messages for silver/quarantine, some at a time; of a partition later parts have later offsets."""
        for file in self.files(QUARANTINE):
            rows = pl.scan_parquet(self._place(QUARANTINE, file), storage_options=delta_options(self._settings))
            first = 0
            for count in file.groups:
                yield rows.slice(first, count).collect()
                first += count

    def _of(self, spec: TableSpec) -> list[StagedTable]:
        return [report.tables[spec.full_name] for report in self._reports if spec.full_name in report.tables]

    def _all(self, spec: TableSpec) -> pl.DataFrame:
        rest = [part.rest for part in self._of(spec) if part.rest is not None]
        return self._read(spec, [*self.files(spec), *rest], spec.schema.names)

    def _read(self, spec: TableSpec, files: Sequence[StagedFile], columns: Sequence[str]) -> pl.DataFrame:
        if not files:
            return spec.empty.select(columns)
        places = [self._place(spec, file) for file in files]
        found = pl.read_parquet(places, columns=list(columns), storage_options=delta_options(self._settings))
        if found.height != sum(file.rows for file in files):
            raise StagingError(f"{found.height} rows were staged for {spec.full_name}, and more or fewer were told")
        return found

    def _place(self, spec: TableSpec, file: StagedFile) -> str:
        return f"{spec.path(self._settings).rstrip('/')}/{file.name}"

    def _look(self) -> None:
        counted = sum(sum(self.counts(spec)) for spec in (TICKS, BARS, QUARANTINE))
        if counted != (given := sum(part.messages for part in self.seen)):
            raise AssertionError(f"of {given} messages {counted} were counted")
        store = objects(self._settings)
        for report in self._reports:
            for name, table in report.tables.items():
                for file in (table.rows, table.rest):
                    if file is not None and (size := _size(store, f"{name}/{file.name}")) != file.size:
                        raise StagingError(
                            f"{name}/{file.name} has {size} bytes here, and {file.size} where it was made"
                        )


class Executors:
    """Has the executors stage batches, until it turns out that they cannot.

    ``usable`` says whether they are asked. Whoever could write what they could not stage sets it to false.
    """

    def __init__(self) -> None:
        self.usable = True

    def stage(self, tables: OpenTables, messages: DataFrame, universe: Universe, ids: TopicIds) -> Staged | None:
        """Let each task judge, fold and write its messages; ``None`` where that does not work here.

        Args:
            tables: of the lake.
            messages: rows as Spark's Kafka source gives them, headers included.
            universe: of the lake.
            ids: of the messages' topics.
        """
        rules = {spec.full_name: rules_of(tables, spec) for spec in (TICKS, BARS, QUARANTINE)}
        plan = Plan(tables.settings.without_secrets(), dict(universe), dict(ids), rules)

        def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            report = staging.stage(batches, plan)
            yield pa.RecordBatch.from_pydict({"report": [msgspec.json.encode(report)]})

        try:
            found = messages.select(*reading.columns(F.col("value"))).mapInArrow(task, "report binary").toArrow()
            reports = [msgspec.json.decode(report, type=Report) for report in found["report"].to_pylist()]
            return Staged(tables, reports)
        except (PySparkException, StagingError) as error:
            # what is wrong with the messages or the tables themselves shows again without staging
            log.warning("executors could not stage silver's rows, so the driver writes them", error=str(error)[:500])
            return None


def rules_of(tables: OpenTables, spec: TableSpec) -> dict[str, str]:
    """The constraints that a table has now, which those who stage its rows have to heed."""
    prefix = "delta.constraints."
    known = tables.newest(spec).metadata().configuration
    return {name.removeprefix(prefix): rule for name, rule in known.items() if name.startswith(prefix) and rule}


def _size(store: ObjectStore, path: str) -> int | None:
    try:
        return int(store.head(path)["size"])
    except (BaseError, FileNotFoundError):
        return None
