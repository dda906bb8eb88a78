"""Quarantine: the messages that silver refused, with their reasons and what became of those that were sent again.

Input: ``silver/quarantine`` and ``silver/replays``. Output: counts and rows, for the command and the page. How a
message is mended is in ``repairs.py``, how it is sent again in ``replays.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from financelake_assets.config import Settings
from financelake_assets.silver.merging import ARRIVAL, PLACE
from financelake_assets.silver.repairs import RepairError
from financelake_assets.silver.schema import QUARANTINE, REPLAYS

PLACE_SCHEMA: Mapping[str, Any] = {name: REPLAYS.empty.schema[name] for name in PLACE}
"""A place as columns."""

_PLACE, _WHOLE_PLACE = list(ARRIVAL), list(PLACE)


class Place(NamedTuple):
    """Where a message lay on Kafka; as text ``topic/partition/offset``, with ``@id`` where the topic's id is given.

    The id tells a topic from one that was deleted and made again under its name.
    """

    topic: str
    partition: int
    offset: int
    topic_id: str | None = None

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read ``topic/partition/offset`` or ``topic/partition/offset@id``.

        Raises:
            RepairError: the text is not a place.
        """
        place, _, topic_id = text.partition("@")
        topic, _, rest = place.partition("/")
        partition, _, offset = rest.partition("/")
        if not (topic and partition.isdecimal() and offset.isdecimal()):
            raise RepairError(f"{text!r} is not a place such as bronze.stock/0/17")
        return cls(topic, int(partition), int(offset), topic_id or None)

    def __str__(self) -> str:
        place = f"{self.topic}/{self.partition}/{self.offset}"
        return place if self.topic_id is None else f"{place}@{self.topic_id}"


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
    """The quarantined messages at some places; of a place without a topic's id, the newest that lay there.

    Raises:
        RepairError: one is not in quarantine.
    """
    wanted = pl.DataFrame(places, schema=PLACE_SCHEMA, orient="row").rename({"topic_id": "wanted_id"})
    of_topic = pl.col("wanted_id").is_null() | (pl.col("wanted_id") == pl.col("topic_id"))
    found = (
        _with_replays(settings)
        .join(wanted.lazy(), on=_PLACE)
        .filter(of_topic)
        .sort("quarantined_at")
        .unique([*_PLACE, "wanted_id"], keep="last", maintain_order=True)
        .collect()
    )
    for missing in wanted.join(found, on=[*_PLACE, "wanted_id"], how="anti", nulls_equal=True).iter_rows():
        raise RepairError(f"{Place(*missing)} is not in quarantine")
    return found.drop("wanted_id").unique(_WHOLE_PLACE, maintain_order=True)


def _with_replays(settings: Settings) -> pl.LazyFrame:
    refused, replays = QUARANTINE.scan(settings), REPLAYS.scan(settings)
    return refused.join(
        replays.select(*_WHOLE_PLACE, "replayed_as"), on=_WHOLE_PLACE, how="left", nulls_equal=True
    ).with_columns(shared_place=pl.len().over(_PLACE) > 1)
