"""Which topics silver has read, and from where: a topic that is made again under its name is another one.

Input: the broker's ids and watermarks when the query starts. Output: rows of silver/sources. They tell a checkpoint of
the topics of now from one of topics that are gone, and let the ledger count the messages of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import polars as pl
from confluent_kafka.admin import AdminClient

from financelake_assets.bronze.broker import admin_client
from financelake_assets.bronze.topics import topic_ids
from financelake_assets.config import Settings
from financelake_assets.silver.schema import SOURCES
from financelake_assets.storage.checkpoints import CheckpointError
from financelake_assets.storage.delta import retried
from financelake_assets.storage.open_tables import OpenTables

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


def made_again(tables: OpenTables, ids: Mapping[str, str]) -> set[str]:
    """The topics that there may have been others before, under their names.

    Args:
        tables: of the lake.
        ids: of the topics that are read.
    """
    known = tables.scan(SOURCES).select("topic", "topic_id").unique().collect()
    seen = {topic: set(found) for topic, found in known.group_by("topic").agg("topic_id").iter_rows()}
    return {topic for topic, topic_id in ids.items() if seen.get(topic) != {topic_id}}


class StillTheSame:
    """Asks the broker whether topics are still those that a query began with. Keeps its connection."""

    def __init__(self, settings: Settings, ids: Mapping[str, str]) -> None:
        self._settings, self._ids = settings, ids
        self._admin: AdminClient | None = None

    def __call__(self) -> None:
        """Refuse topics that were made again: what was just read may be theirs, and its beginning skipped.

        A process that has no password for the broker cannot ask; the query's next start does.

        Raises:
            CheckpointError: a topic was made again.
            BrokerUnavailableError: the broker did not answer.
        """
        if self._settings.kafka.security != "PLAINTEXT" and self._settings.kafka.password is None:
            return
        if self._admin is None:
            self._admin = admin_client(self._settings)
        now = topic_ids(self._settings, self._admin)
        others = sorted(topic for topic, topic_id in self._ids.items() if now[topic] != topic_id)
        if others:
            raise CheckpointError(f"{', '.join(others)} was made again while silver read it; nothing of it was written")


def current_ids(settings: Settings) -> dict[str, str]:
    """The id of the last topic that silver read under each name."""
    return dict(registered(settings).filter("current").select("topic", "topic_id").unique().iter_rows())
