"""Reports to Dagster about tables that no run writes, and the cursor in which sensors store what they reported.

The continuous queries commit every few seconds. At most every five minutes a new Delta version becomes an observation
with the table's figures, and once in every quarter of an hour, just before the checks, a materialisation. A check
result belongs to the last materialisation, so with one for every commit almost every check would be *not evaluated*.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import dagster as dg
import structlog

from financelake_assets.defs.resources import TablesResource
from financelake_assets.defs.table_assets import table_key
from financelake_assets.storage.delta import TableSpec

log = structlog.get_logger(__name__)

SLOT_SECONDS = 900
OBSERVED_SECONDS = 300.0
"""So often at most a table, or a topic, is told of between two slots: Dagster keeps all of it for days."""
_LEAD_SECONDS = 60  # the slot begins this long before the checks, which run every 15 minutes


@dataclass(frozen=True)
class Told:
    """Dagster's last report of a table: the version, and the version and slot of the last materialisation.

    ``observed``: the time of the last observation, in seconds since the epoch.
    """

    version: str
    materialised: str
    slot: int
    observed: float = 0.0


@dataclass(frozen=True)
class Cursor:
    """The state of a sensor.

    ``high``: high watermarks by topic and partition; ``told``: the last report of each table; ``waiting_since``: when
    the backlog began; ``topics``: when each topic, or feed, was last reported. Times are in seconds since the epoch.
    """

    high: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    told: Mapping[str, Told] = field(default_factory=dict)
    waiting_since: float | None = None
    topics: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | None) -> Cursor:
        """The cursor of an earlier tick; empty for a first tick or an earlier release's cursor."""
        stored = json.loads(text) if text else {}
        high = {topic: {int(part): at for part, at in parts.items()} for topic, parts in stored.get("high", {}).items()}
        told = {name: Told(*one) for name, one in stored.get("told", {}).items()}
        return cls(high, told, stored.get("waiting_since"), stored.get("topics", {}))

    def dump(self) -> str:
        """The cursor as JSON."""
        told = {name: [one.version, one.materialised, one.slot, one.observed] for name, one in self.told.items()}
        return json.dumps(
            {"high": self.high, "told": told, "waiting_since": self.waiting_since, "topics": dict(self.topics)}
        )


def slot_of(now: float) -> int:
    """The number of the 15-minute slot that contains a time (seconds since the epoch); slots begin one minute early."""
    return int((now + _LEAD_SECONDS) // SLOT_SECONDS)


def is_due(last: float, now: float) -> bool:
    """Whether to report again; also if the last time is in the future, as after a clock was set back."""
    return not 0 <= now - last < OBSERVED_SECONDS


def tell(
    told: Told | None, version: str, now: float
) -> tuple[type[dg.AssetMaterialization | dg.AssetObservation] | None, Told]:
    """How to report a table's version to Dagster, if at all, and the new record of reports."""
    slot = slot_of(now)
    if told is None or (version != told.materialised and slot != told.slot):
        return dg.AssetMaterialization, Told(version, version, slot, 0.0 if told is None else told.observed)
    if version == told.version or not is_due(told.observed, now):
        return None, told
    return dg.AssetObservation, replace(told, version=version, observed=now)


def report(
    tables: TablesResource, specs: Iterable[TableSpec], known: Mapping[str, Told], now: float, extra: dict[str, Any]
) -> tuple[list[dg.AssetMaterialization | dg.AssetObservation], dict[str, Told]]:
    """Events for the tables that have changed since the cursor, and the new record of reports.

    Args:
        tables: the source of the figures.
        specs: the tables.
        known: the last report of each table.
        now: in seconds since the epoch.
        extra: figures to add to those of each table.
    """
    events: list[dg.AssetMaterialization | dg.AssetObservation] = []
    told: dict[str, Told] = {}
    for table in specs:
        before = known.get(table.full_name)
        try:
            version = tables.version(table)
            if version is None:
                continue
            event, told[table.full_name] = tell(before, version, now)
            if event is not None:
                # Dagster draws columns' lineage from the last materialisation, and it is most of an event
                figures = tables.metadata(table, lineage=event is dg.AssetMaterialization)
                tags = {"dagster/data_version": version}
                events.append(event(table_key(table), metadata={**figures, **extra}, tags=tags))
        except Exception:  # a damaged table must not hide the others, nor what the sensor does besides
            log.exception("a table cannot be read, so nothing is reported of it", table=table.full_name)
            if before is not None:
                told[table.full_name] = before
    return events, told
