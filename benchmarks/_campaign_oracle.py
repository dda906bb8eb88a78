"""The oracle of the campaign of faults: what a lake must hold, from the topics and the sender's ledger alone.

It uses no code of the product. The rules are those of docs/message.md and docs/guarantees.md: a bar or a trade with a
``trade_id`` is corrected by a message with other values and repeated by one with the same; a trade without one is there
as often as the topic that told of it most often; anything else is in quarantine once, by its place.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from _campaign_load import NUMBER, Load, Sent
from confluent_kafka import Consumer, KafkaError, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

TOPICS = ("bronze.stock", "bronze.crypto", "bronze.commodity")
PATIENCE_SECONDS = 300


class Found(NamedTuple):
    """A message on a topic."""

    topic_id: str
    topic: str
    partition: int
    offset: int
    number: int


@dataclass
class Verdict:
    """What is wrong, with a few examples each."""

    lost: int = 0
    doubled: int = 0
    changed: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.doubled or self.changed)

    def note(self, kind: str, count: int, example: object) -> None:
        """Count what is wrong."""
        if count:
            setattr(self, kind, getattr(self, kind) + count)
            self.examples.append(f"{kind}: {count}: {str(example)[:300]}")


class Topics:
    """Everything that was ever on the topics, those that are gone included."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = dict(config)
        self._next: dict[tuple[str, str, int], int] = {}
        self.found: list[Found] = []
        self.ends: dict[tuple[str, int], int] = {}

    def read_on(self) -> None:
        """Read what is new, to where the topics end now."""
        admin = AdminClient({**self._config})
        described = admin.describe_topics(TopicCollection(list(TOPICS)), request_timeout=20)
        topics = {name: future.result(30) for name, future in described.items()}
        ids = {name: str(topic.topic_id) for name, topic in topics.items()}
        parts = [TopicPartition(name, part.id) for name, topic in topics.items() for part in topic.partitions]
        # what was aborted is not read, and a transaction that is open is waited for
        answers = admin.list_offsets({part: OffsetSpec.latest() for part in parts}, request_timeout=20)
        self.ends = {(part.topic, part.partition): int(answer.result(30).offset) for part, answer in answers.items()}
        due = {
            place: (self._next.get((ids[place[0]], *place), 0), end)
            for place, end in self.ends.items()
            if self._next.get((ids[place[0]], *place), 0) < end
        }
        if due:
            self._read(due, ids)

    def _read(self, due: dict[tuple[str, int], tuple[int, int]], ids: Mapping[str, str]) -> None:
        consumer = _consumer(self._config)
        consumer.assign([TopicPartition(topic, part, first) for (topic, part), (first, _) in due.items()])
        left = set(due)
        deadline = time.monotonic() + PATIENCE_SECONDS
        try:
            while left:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the oracle could not read {sorted(left)}")
                for message in consumer.consume(5_000, timeout=0.5):
                    place = (str(message.topic()), int(message.partition() or 0))
                    error = message.error()
                    if error is not None:
                        if error.code() == KafkaError._PARTITION_EOF:
                            left.discard(place)
                        continue
                    if place not in left:
                        continue
                    offset = int(message.offset() or 0)
                    if offset < due[place][1]:
                        headers = dict(message.headers() or [])
                        number = int(headers[NUMBER] or -1)
                        self.found.append(Found(ids[place[0]], *place, offset, number))
        finally:
            consumer.close()
        for place, (_, end) in due.items():
            self._next[(ids[place[0]], *place)] = end


def _consumer(config: Mapping[str, Any]) -> Consumer:
    own = {"group.id": "campaign-oracle", "enable.auto.commit": False, "enable.partition.eof": True}
    return Consumer({**config, **own, "isolation.level": "read_committed", "auto.offset.reset": "error"})


def judge(tables: Path, topics: Topics, load: Load) -> Verdict:
    """Compare silver with what it must be.

    Args:
        tables: the folder of the Delta tables.
        topics: read to where silver has come.
        load: the sender's ledger.
    """
    verdict = Verdict()
    there = Counter(found.number for found in topics.found)
    missing = [number for number in load.acknowledged if number not in there]
    verdict.note("lost", len(missing), f"acknowledged, but on no topic: {missing[:5]}")
    found = sorted(topics.found, key=lambda one: one.number)
    by_kind: dict[str, list[tuple[Found, Sent]]] = defaultdict(list)
    for one in found:
        by_kind[load.sent[one.number].kind].append((one, load.sent[one.number]))
    _bars(tables, by_kind["bar"], verdict)
    _trades(tables, by_kind["trade"], verdict)
    _quarantine(tables, by_kind["poison"], verdict)
    return verdict


def _bars(tables: Path, sent: list[tuple[Found, Sent]], verdict: Verdict) -> None:
    expected: dict[Any, Any] = {}
    messages = 0
    for _, one in sent:
        key = (one.key, datetime.fromisoformat(one.fields["event_time"]))
        value = (float(one.fields["close"]), float(one.fields["volume"]))
        messages += expected.get(key) != value
        expected[key] = value
    rows = pl.read_delta(str(tables / "silver" / "bars")).filter(pl.col("interval") == "1d")
    columns = rows.select("symbol", "event_time", "close", "volume").rows()
    there = Counter((symbol, at) for symbol, at, _, _ in columns)
    values = {(symbol, at): (close, volume) for symbol, at, close, volume in columns}
    _compare(Counter(expected.keys()), there, "bars", verdict)
    wrong = [key for key, value in expected.items() if key in values and values[key] != value]
    verdict.note("changed", len(wrong), [(key, expected[key], values[key]) for key in wrong[:3]])
    counted = int(rows["messages"].sum())
    verdict.note(
        "lost" if counted < messages else "doubled", abs(counted - messages), f"{counted} of {messages} counted"
    )


def _trades(tables: Path, sent: list[tuple[Found, Sent]], verdict: Verdict) -> None:
    named: dict[Any, Any] = {}
    nameless: dict[str, Counter[Any]] = defaultdict(Counter)
    for place, one in sent:
        at, price = datetime.fromisoformat(one.fields["event_time"]), float(one.fields["close"])
        trade = (one.key, at, price, float(one.fields["volume"]))
        if "trade_id" in one.fields:
            named[one.key, at, one.fields["trade_id"]] = trade
        else:
            nameless[place.topic_id][trade] += 1
    expected = Counter(named.values())
    most: Counter[Any] = Counter()
    for trades in nameless.values():
        most |= trades
    expected += most
    rows = pl.read_delta(str(tables / "silver" / "ticks"))
    there = Counter(rows.select("symbol", "event_time", "price", "size").rows())
    _compare(expected, there, "trades", verdict)
    minutes: Counter[Any] = Counter()
    for (symbol, at, _, size), count in expected.items():
        minutes[symbol, at.replace(second=0, microsecond=0)] += round(size * count, 9)
    bars = pl.read_delta(str(tables / "silver" / "bars")).filter(pl.col("interval") == "1m")
    volumes = {(symbol, at): volume for symbol, at, volume in bars.select("symbol", "event_time", "volume").rows()}
    wrong = [minute for minute in {*minutes, *volumes} if minutes.get(minute) != volumes.get(minute)]
    verdict.note("changed", len(wrong), [(minute, minutes.get(minute), volumes.get(minute)) for minute in wrong[:3]])


def _quarantine(tables: Path, sent: list[tuple[Found, Sent]], verdict: Verdict) -> None:
    expected = Counter((one.topic_id, one.partition, one.offset) for one, _ in sent)
    rows = pl.read_delta(str(tables / "silver" / "quarantine"))
    there = Counter(rows.select("topic_id", "partition", "offset").rows())
    _compare(expected, there, "quarantine", verdict)


def _compare(expected: Counter[Any], there: Counter[Any], what: str, verdict: Verdict) -> None:
    missing, more = expected - there, there - expected
    verdict.note("lost", missing.total(), f"{what} {list(missing.items())[:3]}")
    verdict.note("doubled", more.total(), f"{what} {list(more.items())[:3]}")


class Gold:
    """What gold must keep to: one signal a bar, of each bar that came behind the model, and none is ever changed."""

    def __init__(self, tables: Path) -> None:
        self._folder = tables / "gold" / "signals"
        self._before = self._rows()

    def judge(self, verdict: Verdict) -> None:
        """Compare the signals with those of the last look."""
        rows = self._rows()
        keys = Counter(rows.select("symbol", "interval", "event_time", "horizon").rows()) if rows.height else {}
        twice = [key for key, count in keys.items() if count > 1]
        verdict.note("doubled", len(twice), f"signals {twice[:3]}")
        if not self._before.is_empty():
            gone = self._before.join(rows, on=self._before.columns, how="anti", nulls_equal=True)
            verdict.note("changed", gone.height, f"signals {gone.head(2).rows()}")
        self._before = rows

    def scored(self, newest: Mapping[str, datetime]) -> list[str]:
        """The symbols whose newest bar has no signal."""
        rows = self._rows().filter(pl.col("interval") == "1d")
        seen = dict(rows.group_by("symbol").agg(pl.col("event_time").max()).iter_rows())
        return [symbol for symbol, at in newest.items() if seen.get(symbol) is None or seen[symbol] < at]

    def _rows(self) -> pl.DataFrame:
        return pl.read_delta(str(self._folder)) if self._folder.is_dir() else pl.DataFrame()


class Published:
    """What leaves the lake: each row of signals and predictions is on its topic once."""

    _KEY = ("symbol", "interval", "event_time", "horizon", "model_version")

    def __init__(self, config: Mapping[str, Any], tables: Path) -> None:
        self._config, self._tables = dict(config), tables

    def judge(self, verdict: Verdict, patience_seconds: float = 60) -> None:
        """Compare the topics with their tables, when the publisher has had its time.

        Args:
            verdict: takes what is wrong.
            patience_seconds: how long the publisher may be behind.
        """
        for name in ("signals", "predictions"):
            deadline = time.monotonic() + patience_seconds
            while (there := self._there(name)) != (expected := self._expected(name)) and time.monotonic() < deadline:
                time.sleep(1)
            _compare(expected, there, f"topic gold.{name}", verdict)

    def _expected(self, name: str) -> Counter[Any]:
        folder = self._tables / "gold" / name
        return Counter(pl.read_delta(str(folder)).select(self._KEY).rows()) if folder.is_dir() else Counter()

    def _there(self, name: str) -> Counter[Any]:
        topic = f"gold.{name}"
        consumer = _consumer(self._config)
        try:
            parts = list(consumer.list_topics(topic, timeout=20).topics[topic].partitions)
            consumer.assign([TopicPartition(topic, part, 0) for part in parts])
            left, found = set(parts), Counter[Any]()
            deadline = time.monotonic() + PATIENCE_SECONDS
            while left and time.monotonic() < deadline:
                for message in consumer.consume(5_000, timeout=0.5):
                    if message.error() is not None:
                        left.discard(message.partition())
                        continue
                    row = json.loads(message.value() or b"{}")
                    row["event_time"] = datetime.fromisoformat(row["event_time"])
                    found[tuple(row[column] for column in self._KEY)] += 1
            return found
        finally:
            consumer.close()
