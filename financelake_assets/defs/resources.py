"""The lake's connections as Dagster resources. Loading definitions opens nothing; only a run or a tick does."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import dagster as dg

from financelake_assets.bronze.offsets import Watermarks, lag
from financelake_assets.bronze.topics import Reconciliation, ensure_topics, watermarks
from financelake_assets.config import Settings, get_settings
from financelake_assets.defs.table_assets import table_key
from financelake_assets.gold.standing import Standing
from financelake_assets.silver.checkpoint import consumed_offsets
from financelake_assets.storage.delta import TableFacts, TableSpec
from financelake_assets.storage.followed import FollowedFacts
from financelake_assets.streams.client import Streams

_PATIENCE_SECONDS = 120.0
_FOLLOWED: dict[str, FollowedFacts] = {}
"""By the place of the tables: Dagster makes new resources for every sensor tick, and opening a table costs its log."""

RETRIES = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""For runs that no sensor retries: after a lost connection or a conflicting writer, no operator is needed."""


def fixed(make: Callable[[], object]) -> dg.ResourceDefinition:
    """A resource that a run's configuration cannot change, and whose own configuration Dagster's page does not show."""
    return dg.ResourceDefinition(lambda _: make(), config_schema={})


class LakeResource(dg.ConfigurableResource[None]):
    """The settings of this lake, from the environment."""

    @property
    def settings(self) -> Settings:
        """The validated settings tree."""
        return get_settings()


class TopicsResource(dg.ConfigurableResource[None]):
    """The bronze topics on the Kafka broker."""

    lake: LakeResource

    def ensure(self) -> list[Reconciliation]:
        """Create missing topics and correct the settings of the others; return what it found."""
        return ensure_topics(self.lake.settings)

    def watermarks(self) -> Watermarks:
        """Low and high offset per bronze topic and partition.

        Raises:
            Exception: the broker did not answer; there is never an empty answer instead.
        """
        return watermarks(self.lake.settings)

    def lag(self) -> int:
        """Messages on the topics that silver has not committed; raises as ``watermarks`` does."""
        return total(lag(consumed_offsets(self.lake.settings), self.watermarks()))


class TablesResource(dg.ConfigurableResource[None]):
    """The Delta tables, read without Spark."""

    lake: LakeResource

    def facts(self, table: TableSpec) -> TableFacts | None:
        """Rows, version and newest times; ``None`` before the first write."""
        settings = self.lake.settings
        return _FOLLOWED.setdefault(str(settings.tables), FollowedFacts(settings)).of(table)

    def metadata(self, table: TableSpec, *, lineage: bool = True) -> dict[str, Any]:
        """Row count, Delta version, newest time and place of a table, as Dagster metadata; its columns' lineage too."""
        facts = self.facts(table)
        path = table.path(self.lake.settings)
        place = {"dagster/uri": path, "dagster/table_name": table.full_name, "dagster/storage_kind": "deltalake"}
        if facts is None:
            return {**place, "state": "not written yet"}
        newest = {} if facts.newest is None else {f"newest_{table.time_column}": facts.newest.isoformat()}
        made_of = _lineage(table) if lineage else {}
        return {**place, **made_of, "dagster/row_count": facts.rows, "delta_version": facts.version, **newest}

    def version(self, table: TableSpec) -> str | None:
        """The Delta version, which is the asset's data version; ``None`` before the first write."""
        facts = self.facts(table)
        return None if facts is None else str(facts.version)

    def materialised(self, table: TableSpec, **more: Any) -> dg.MaterializeResult[None]:
        """The current state of a table: its metadata and ``more``, with its Delta version as the data version."""
        return dg.MaterializeResult(
            asset_key=table_key(table),
            metadata={**self.metadata(table), **more},
            data_version=dg.DataVersion(self.version(table) or "0"),
        )


def _lineage(table: TableSpec) -> dict[str, dg.TableColumnLineage]:
    """The source columns of each column, in Dagster's format; empty if the table declares none."""
    deps = {
        name: [dg.TableColumnDep(dg.AssetKey(place.split("/")), column) for place, column in map(_split, sources)]
        for name, sources in table.made_of.items()
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(deps)} if deps else {}


def _split(source: str) -> tuple[str, str]:
    place, _, column = source.rpartition(".")
    return place, column


class ContinuousStreamsResource(dg.ConfigurableResource[None]):
    """The continuous queries in the Spark Connect server: starts, adopts and stops them; they outlive every run."""

    @property
    def streams(self) -> Streams:
        """The client of the queries' session, made at the first use and kept by the process."""
        return _shared_streams()

    def drain(self, name: str, behind: Callable[[], int], log: Callable[[str], None]) -> None:
        """Make sure that a query runs, and wait until it has caught up. Stop it then if the queries run on demand.

        Args:
            name: the query.
            behind: returns how much is still to do; 0 ends the wait.
            log: called with each line of progress.

        Raises:
            dg.Failure: there was no progress for two minutes.
        """
        log(f"query {name} started" if self.streams.ensure(name) else f"query {name} was running")
        left, moved = behind(), time.monotonic()
        while left:
            time.sleep(0.5)
            before, left = left, behind()
            if left != before:
                moved = time.monotonic()
                log(f"query {name}: {left} to go")
            elif time.monotonic() - moved > _PATIENCE_SECONDS:
                raise dg.Failure(f"query {name} made no progress for {_PATIENCE_SECONDS:.0f} s with {left} to go")
            self.streams.ensure(name)
        if not get_settings().streams.continuous:
            self.streams.stop(name)
            log(f"query {name} has caught up and is stopped")


class StandingResource(dg.ConfigurableResource[None]):
    """The paper portfolio and the summaries of this lake."""

    @property
    def standing(self) -> Standing:
        """Made at the first use and kept by the process."""
        return _shared_standing()


@lru_cache(maxsize=1)
def _shared_standing() -> Standing:
    # its caches avoid reading whole tables at every tick
    return Standing(get_settings())


@lru_cache(maxsize=1)
def _shared_streams() -> Streams:
    # Dagster makes new resources for every sensor tick, and connecting takes more than a second
    return Streams(get_settings())


def total(offsets: dict[str, dict[int, int]]) -> int:
    """Sum over topics and partitions."""
    return sum(value for partitions in offsets.values() for value in partitions.values())
