"""Quarantine: refused messages with their reasons, and how a repaired message is published again.

Enters: rows of ``silver/quarantine`` and repairs. Leaves: messages on bronze, each once, whatever is killed in between.
A replay is claimed in ``silver/replays`` before it is published and confirmed there afterwards; of one that was not
confirmed, the topic itself says whether it was published. The quarantined row stays: it is what came in.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import polars as pl

from financelake_assets.bronze.producer import BronzeProducer
from financelake_assets.bronze.reading import Span, header, read
from financelake_assets.bronze.topics import BRONZE, DEAD_LETTERS, offsets_at, topic_of, watermarks
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.silver.schema import QUARANTINE, REPLAYS
from financelake_assets.storage.delta import TableSpec, retried

REPLAYED_FROM = "replayed_from"
"""Header of a replayed message: the place of the quarantined one."""

_PLACE = ["topic", "partition", "offset"]
_WHOLE_PLACE = [*_PLACE, "topic_id"]
# rows from before topics had ids have none
_SAME_PLACE = " AND ".join(
    [*(f"t.`{name}` = s.`{name}`" for name in _PLACE), "t.topic_id IS NOT DISTINCT FROM s.topic_id"]
)
_CLOCK_SKEW_MS = 60_000


class RepairError(FinanceLakeError, ValueError):
    """A quarantined message cannot be repaired in this way, or is not there."""


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


@dataclass(frozen=True)
class Repair:
    """How to mend a message: JSON fields to set or take away, or other bytes altogether."""

    fields: Mapping[str, object] = field(default_factory=dict)
    without: Sequence[str] = ()
    bytes_instead: bytes | None = None

    def mend(self, raw: bytes | None) -> bytes:
        """The bytes to send.

        Raises:
            RepairError: fields are to be changed, but the message is not a JSON object.
        """
        if self.bytes_instead is not None:
            return self.bytes_instead
        if raw is None:
            raise RepairError("the message has no value; give it one with --file")
        if not self.fields and not self.without:
            return raw
        value = _json_object(raw)
        if value is None:
            raise RepairError("the message is not a JSON object; send other bytes with --file")
        kept = {name: content for name, content in value.items() if name not in self.without}
        return json.dumps({**kept, **self.fields}, separators=(",", ":"), ensure_ascii=False).encode()


def topic_and_key(value: bytes, topic: str, key: bytes | None) -> tuple[str, bytes]:
    """Where a repaired message belongs: by its own asset class and symbol where it names them, else as it came."""
    fields = _json_object(value) or {}
    stated = topic_of(str(fields.get("asset_class")))
    symbol = fields.get("symbol")
    return (
        stated if stated in BRONZE else topic,
        symbol.strip().upper().encode() if isinstance(symbol, str) and symbol.strip() else (key or b""),
    )


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
    wanted = pl.DataFrame(places, schema=_place_schema(), orient="row").rename({"topic_id": "wanted_id"})
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
    rows = pl.DataFrame(places, schema=_place_schema(), orient="row").with_columns(
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
        schema={**_place_schema(), "replayed_as": pl.String},
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


def _with_replays(settings: Settings) -> pl.LazyFrame:
    refused, replays = _completed(QUARANTINE, settings), _completed(REPLAYS, settings)
    return refused.join(
        replays.select(*_WHOLE_PLACE, "replayed_as"), on=_WHOLE_PLACE, how="left", nulls_equal=True
    ).with_columns(shared_place=pl.len().over(_PLACE) > 1)


def _completed(table: TableSpec, settings: Settings) -> pl.LazyFrame:
    """The rows of a table that may have been written before it had all its columns."""
    rows = table.scan(settings)
    lacking = set(table.schema.names) - set(rows.collect_schema().names())
    return rows.with_columns(pl.lit(None, table.empty.schema[name]).alias(name) for name in sorted(lacking))


def _place(row: Mapping[str, Any]) -> Place:
    return Place(row["topic"], row["partition"], row["offset"], row["topic_id"])


def _place_schema() -> dict[str, Any]:
    return {"topic": pl.String, "partition": pl.Int32, "offset": pl.Int64, "topic_id": pl.String}


def _refuse_cut(messages: pl.DataFrame) -> None:
    """Raise where only the beginning of a message was kept: its replay would be another message."""
    if "raw_size" in messages.columns and messages["raw_size"].count():
        raise RepairError("of a message of more than 1 MiB only the beginning is kept; send other bytes with --file")


def _json_object(raw: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(raw)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
