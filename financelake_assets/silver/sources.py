"""Which topics silver has read, and from where: a topic that is made again under its name is another one.

Enters: the broker's ids and watermarks when the query starts. Leaves: rows of silver/sources. They tell a checkpoint of
the topics of now from one of topics that are gone, and let the ledger count the messages of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import polars as pl

from financelake_assets.config import Settings
from financelake_assets.silver.schema import SOURCES
from financelake_assets.storage.delta import retried

Marks = Mapping[str, Mapping[int, tuple[int, int]]]


def register(settings: Settings, ids: Mapping[str, str], marks: Marks) -> None:
    """Note where reading of these topics begins; those that are known keep what was noted first.

    Args:
        settings: the lake.
        ids: the broker's id of each topic.
        marks: low and high watermark of each of their partitions.
    """
    now = datetime.now(UTC)
    found = [
        (topic, ids[topic], partition, low, now)
        for topic, partitions in marks.items()
        for partition, (low, _) in partitions.items()
    ]
    rows = pl.DataFrame(found, schema=SOURCES.empty.schema, orient="row")

    def attempt() -> None:
        table = SOURCES.ensure(settings)
        new = rows.join(pl.read_delta(table), on=list(SOURCES.key), how="anti")
        if not new.is_empty():
            source = new.to_arrow().cast(SOURCES.schema)
            table.merge(source, SOURCES.same_key, "s", "t").when_not_matched_insert_all().execute()

    retried(attempt)


def registered(settings: Settings) -> pl.DataFrame:
    """Rows of silver/sources, with ``current``: whether the topic is the last that there was under its name."""
    rows = SOURCES.scan(settings).collect()
    return rows.with_columns(current=pl.col("topic_id") == pl.col("topic_id").sort_by("began_at").last().over("topic"))


def current_ids(settings: Settings) -> dict[str, str]:
    """The id of the last topic that silver read under each name."""
    return dict(registered(settings).filter("current").select("topic", "topic_id").unique().iter_rows())
