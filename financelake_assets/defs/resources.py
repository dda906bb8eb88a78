"""The lake's edges as Dagster resources. Nothing is touched when definitions load, only when something runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import dagster as dg

from financelake_assets.bronze.offsets import Watermarks
from financelake_assets.bronze.topics import Reconciliation, ensure_topics, watermarks
from financelake_assets.config import Settings, get_settings
from financelake_assets.defs.table_assets import table_key
from financelake_assets.gold.standing import Standing
from financelake_assets.storage.delta import TableSpec
from financelake_assets.streams.client import Streams

_PATIENCE_SECONDS = 120.0

RETRIES = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""For what a sensor does not try again by itself: a lost connection or a faster writer must not need an operator."""


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
        """Create the topics that are missing and bring the others to the declared settings; says what it found."""
        return ensure_topics(self.lake.settings)

    def watermarks(self) -> Watermarks:
        """Low and high offset per bronze topic and partition.

        Raises:
            Exception: the broker could not be asked; never an empty answer instead.
        """
        return watermarks(self.lake.settings)


class TablesResource(dg.ConfigurableResource[None]):
    """The Delta tables, read without Spark."""

    lake: LakeResource

    def metadata(self, table: TableSpec, *, lineage: bool = True) -> dict[str, Any]:
        """Row count, Delta version, newest time and place of a table, as Dagster metadata; its columns' lineage too."""
        facts = table.facts(self.lake.settings)
        path = table.path(self.lake.settings)
        place = {"dagster/uri": path, "dagster/table_name": table.full_name, "dagster/storage_kind": "deltalake"}
        if facts is None:
            return {**place, "state": "not written yet"}
        newest = {} if facts.newest is None else {f"newest_{table.time_column}": facts.newest.isoformat()}
        made_of = _lineage(table) if lineage else {}
        return {**place, **made_of, "dagster/row_count": facts.rows, "delta_version": facts.version, **newest}

    def version(self, table: TableSpec) -> str | None:
        """The Delta version, which is the asset's data version; ``None`` before the first write."""
        facts = table.facts(self.lake.settings)
        return None if facts is None else str(facts.version)

    def materialised(self, table: TableSpec, **more: Any) -> dg.MaterializeResult[None]:
        """The table as it is now: its metadata, with ``more`` beside it, and its Delta version as the data version."""
        return dg.MaterializeResult(
            asset_key=table_key(table),
            metadata={**self.metadata(table), **more},
            data_version=dg.DataVersion(self.version(table) or "0"),
        )


def _lineage(table: TableSpec) -> dict[str, dg.TableColumnLineage]:
    """Which columns of other tables each column is made of, as Dagster draws it; nothing where none is declared."""
    deps = {
        name: [dg.TableColumnDep(dg.AssetKey(place.split("/")), column) for place, column in map(_split, sources)]
        for name, sources in table.made_of.items()
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(deps)} if deps else {}


def _split(source: str) -> tuple[str, str]:
    place, _, column = source.rpartition(".")
    return place, column


class ContinuousStreamsResource(dg.ConfigurableResource[None]):
    """The continuous queries in the Spark Connect server: started, adopted, stopped; they outlive every run."""

    @property
    def streams(self) -> Streams:
        """The client of the queries' session, made at the first use and kept by the process."""
        return _shared_streams()

    def drain(self, name: str, behind: Callable[[], int], log: Callable[[str], None]) -> None:
        """Make sure that a query runs, and wait until it has caught up. One that is not continuous is then stopped.

        Args:
            name: the query.
            behind: how much it still has to do; 0 ends the wait.
            log: where progress goes.

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
    # what it keeps in memory saves reading whole tables at every tick
    return Standing(get_settings())


@lru_cache(maxsize=1)
def _shared_streams() -> Streams:
    # Dagster makes resources anew for every sensor tick; connecting takes more than a second
    return Streams(get_settings())


def total(offsets: dict[str, dict[int, int]]) -> int:
    """Sum over topics and partitions."""
    return sum(value for partitions in offsets.values() for value in partitions.values())
