"""Replays: refused messages sent through bronze again, each once, whatever is killed in between.

Input: rows of ``silver/quarantine`` and a repair. Output: messages on bronze. A replay is claimed in
``silver/replays`` before it is published and confirmed there afterwards; of one that was not confirmed, the topic
itself says whether it was published. The quarantined row stays: it is what came in.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from financelake_assets.bronze.producer import BronzeProducer
from financelake_assets.bronze.reading import Span, header, read
from financelake_assets.bronze.topics import BRONZE, DEAD_LETTERS, offsets_at, watermarks
from financelake_assets.config import Settings
from financelake_assets.silver.merging import ARRIVAL
from financelake_assets.silver.quarantine import PLACE_SCHEMA, Place
from financelake_assets.silver.repairs import Repair, RepairError, topic_and_key
from financelake_assets.silver.schema import REPLAYS
from financelake_assets.storage.delta import retried

REPLAYED_FROM = "replayed_from"
"""Header of a replayed message: the place of the quarantined one."""

# rows from before topics had ids have none
_SAME_PLACE = " AND ".join(
    [*(f"t.`{name}` = s.`{name}`" for name in ARRIVAL), "t.topic_id IS NOT DISTINCT FROM s.topic_id"]
)
_CLOCK_SKEW_MS = 60_000


@dataclass(frozen=True)
class Replayed:
    """What a replay did: new places by old ones, and old ones that had been replayed before."""

    sent: Mapping[Place, Place]
    before: Sequence[Place]


def replay(settings: Settings, messages: pl.DataFrame, repair: Repair) -> Replayed:
    """Send quarantined messages through bronze again, each at most once however often this is called.

    Args:
        settings: the lake.
        messages: rows of quarantine.
        repair: how to mend each of them.

    Raises:
        RepairError: a message cannot be mended so; nothing was sent then.
        DeliveryError: a message was not acknowledged; call again.
        BrokerUnavailableError: the broker could not be asked.
    """
    if repair.bytes_instead is None:
        _refuse_cut(messages)
    mended = {_place(row): repair.mend(row["raw"]) for row in messages.iter_rows(named=True)}
    claim = str(uuid.uuid4())
    _claim(settings, list(mended), claim)
    states = {_place(row): row for row in REPLAYS.scan(settings).collect().iter_rows(named=True)}
    before = [place for place in mended if states[place]["replayed_as"] is not None]
    unsure = [p for p in mended if states[p]["replayed_as"] is None and states[p]["claim"] != claim]
    known = _published(settings, unsure, min((states[p]["claimed_at"] for p in unsure), default=None))
    by_place = {_place(row): row for row in messages.iter_rows(named=True)}
    due = [place for place in mended if place not in before and place not in known]
    sent = _publish(settings, {place: (by_place[place], mended[place]) for place in due})
    _confirm(settings, {**known, **sent})
    return Replayed(sent, [*before, *known])


def _claim(settings: Settings, places: Sequence[Place], claim: str) -> None:
    """Note that these are about to be sent; those that somebody noted before stay as they are."""
    rows = pl.DataFrame(places, schema=PLACE_SCHEMA, orient="row").with_columns(
        claim=pl.lit(claim), claimed_at=pl.lit(datetime.now(UTC)), replayed_as=pl.lit(None, pl.String)
    )
    source = rows.select(REPLAYS.schema.names).to_arrow().cast(REPLAYS.schema)

    def insert() -> None:
        REPLAYS.ensure(settings).merge(source, _SAME_PLACE, "s", "t").when_not_matched_insert_all().execute()

    retried(insert)


def _confirm(settings: Settings, sent: Mapping[Place, Place]) -> None:
    if not sent:
        return
    rows = pl.DataFrame(
        [(*old, str(new)) for old, new in sent.items()],
        schema={**PLACE_SCHEMA, "replayed_as": pl.String},
        orient="row",
    ).to_arrow()

    def update() -> None:
        merger = REPLAYS.ensure(settings).merge(rows, _SAME_PLACE, "s", "t")
        merger.when_matched_update({"replayed_as": "s.replayed_as"}).execute()

    retried(update)


def _published(settings: Settings, places: Sequence[Place], since: datetime | None) -> dict[Place, Place]:
    """Which of some places have a replay on the topics, by its header; looked for from a time on."""
    if since is None:
        return {}
    begin = int(since.timestamp() * 1000) - _CLOCK_SKEW_MS
    spans: dict[tuple[str, int], Span] = {}
    for topic, parts in watermarks(settings, (*BRONZE, DEAD_LETTERS)).items():
        first = offsets_at(settings, topic, begin)
        spans |= {(topic, part): (first.get(part, high), high) for part, (_, high) in parts.items()}
    wanted = {str(place): place for place in places}
    found = {}
    for message in read(settings, spans):
        old = wanted.get(header(message, REPLAYED_FROM) or "")
        if old is not None:
            found[old] = Place(str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))
    return found


def _publish(settings: Settings, due: Mapping[Place, tuple[Mapping[str, Any], bytes]]) -> dict[Place, Place]:
    begun = datetime.now(UTC)
    with BronzeProducer(settings, give_up_seconds=30) as producer:
        for old, (row, value) in due.items():
            topic, key = topic_and_key(value, row["topic"], row["key"])
            producer.send(topic, key, value, list(_headers(old, row)))
        producer.flush()
    return _published(settings, list(due), begun) if due else {}


def _headers(old: Place, row: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    if row["provider"]:
        yield ("provider", str(row["provider"]).encode())
    yield (REPLAYED_FROM, str(old).encode())


def _place(row: Mapping[str, Any]) -> Place:
    return Place(row["topic"], row["partition"], row["offset"], row["topic_id"])


def _refuse_cut(messages: pl.DataFrame) -> None:
    """Raise where only the beginning of a message was kept: its replay would be another message."""
    if "raw_size" in messages.columns and messages["raw_size"].count():
        raise RepairError("of a message of more than 1 MiB only the beginning is kept; send other bytes with --file")
