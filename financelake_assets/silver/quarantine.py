"""Quarantine: the messages that silver refused, with their reasons and what became of those that were sent again.

Enters: ``silver/quarantine`` and ``silver/replays``. Leaves: counts and rows, for the command and the page. How a
message is mended is in ``repairs.py``, how it is sent again in ``replays.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from financelake_assets.config import Settings
from financelake_assets.silver.repairs import RepairError
from financelake_assets.silver.schema import QUARANTINE, REPLAYS

PLACE_SCHEMA: Mapping[str, Any] = {"topic": pl.String, "partition": pl.Int32, "offset": pl.Int64}
"""A place as columns."""

_PLACE = ["topic", "partition", "offset"]


class Place(NamedTuple):
    """Where a message lay on Kafka; as text ``topic/partition/offset``."""

    topic: str
    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read ``topic/partition/offset``.

        Raises:
            RepairError: the text is not a place.
        """
        topic, _, rest = text.partition("/")
        partition, _, offset = rest.partition("/")
        if not (topic and partition.isdecimal() and offset.isdecimal()):
            raise RepairError(f"{text!r} is not a place such as bronze.stock/0/17")
        return cls(topic, int(partition), int(offset))

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


def counts(settings: Settings) -> pl.DataFrame:
    """Per reason: how many messages, how many of them were replayed, and when the last one came."""
    rows = _with_replays(settings)
    return (
        rows.group_by("reason")
        .agg(
            pl.len().alias("messages"), pl.col("replayed_as").count().alias("replayed"), pl.col("quarantined_at").max()
        )
        .sort("messages", "reason", descending=[True, False])
        .collect()
    )


def rows(settings: Settings, reason: str | None = None, limit: int | None = None) -> pl.DataFrame:
    """Quarantined messages, the newest first, with ``replayed_as``: null unless a replay of it is confirmed."""
    found = _with_replays(settings)
    if reason is not None:
        found = found.filter(pl.col("reason") == reason)
    found = found.sort("quarantined_at", *_PLACE, descending=[True, False, False, False])
    return (found if limit is None else found.head(limit)).collect()


def at(settings: Settings, places: Sequence[Place]) -> pl.DataFrame:
    """The quarantined messages at some places.

    Raises:
        RepairError: one is not in quarantine.
    """
    wanted = pl.DataFrame(places, schema=PLACE_SCHEMA, orient="row")
    found = _with_replays(settings).join(wanted.lazy(), on=_PLACE, how="semi").collect()
    for missing in wanted.join(found, on=_PLACE, how="anti").iter_rows():
        raise RepairError(f"{Place(*missing)} is not in quarantine")
    return found


def _with_replays(settings: Settings) -> pl.LazyFrame:
    return QUARANTINE.scan(settings).join(REPLAYS.scan(settings).select(*_PLACE, "replayed_as"), on=_PLACE, how="left")
