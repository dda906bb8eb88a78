"""The ledger: messages in = messages in silver + duplicates + messages in quarantine.

Input: the tables' logs and the silver query's committed offsets. Output: the four counts. What came in is counted by
the offsets of Spark's checkpoint, less those that the broker confirms to be no messages (``holes.py``); the others
by what each table's commits say that they counted. So an imbalance is a real one. Of topics that are gone, whose
checkpoint is gone too, the tables say how far they were read. Reading it costs the same however large silver is;
``uncounted`` compares the totals with the rows themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import polars as pl
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from financelake_assets.config import Settings
from financelake_assets.silver import holes
from financelake_assets.silver.checkpoint import consumed_offsets
from financelake_assets.silver.expiry import expired
from financelake_assets.silver.schema import BARS, QUARANTINE, SOURCES, TICKS
from financelake_assets.silver.sources import registered
from financelake_assets.silver.writing import Totals, counted_up_to, totals
from financelake_assets.storage.delta import TableSpec

Offsets = Mapping[str, Mapping[int, int]]

_MESSAGES = ((BARS, pl.col("messages").sum()), (TICKS, pl.col("messages").sum()), (QUARANTINE, pl.len()))


@dataclass(frozen=True)
class Ledger:
    """Message counts since the topics began; ``silver`` are those that became or corrected a bar or a trade."""

    consumed: int
    silver: int
    duplicates: int
    quarantine: int

    @property
    def balanced(self) -> bool:
        """Whether every consumed message is accounted for exactly once."""
        return self.missing == 0

    @property
    def missing(self) -> int:
        """Messages that are in no place; negative when some are in two."""
        return self.consumed - self.silver - self.duplicates - self.quarantine

    def as_dict(self) -> dict[str, int | bool]:
        """The counts under the names that ``financelake status --json`` gives them."""
        counts = asdict(self)
        return {"in": counts.pop("consumed"), **counts, "balanced": self.balanced}


def read_ledger(settings: Settings, patience_seconds: float = 20.0) -> Ledger:
    """Read the ledger of a lake whose silver query may be running.

    Between a micro-batch's writes and its commit the tables are ahead of the offsets. So an imbalance is believed only
    when it is still there after a while.
    """
    return Retrying(
        stop=stop_after_delay(patience_seconds),
        wait=wait_fixed(0.3),
        retry=retry_if_result(lambda ledger: not ledger.balanced),
        retry_error_callback=lambda last: last.outcome and last.outcome.result(),
    )(lambda: _read(settings, consumed_offsets(settings)))


def uncounted(settings: Settings) -> dict[str, int]:
    """For each table, how many messages its rows hold beyond what its totals say; all zero in a sound lake.

    Refused messages whose time in quarantine is over are counted, though their rows are gone.
    """
    return {
        table.full_name: _in_rows(settings, table, messages) - _totals(settings, table).accepted
        for table, messages in _MESSAGES
    }


def _read(settings: Settings, consumed: Offsets) -> Ledger:
    bars, ticks, quarantine = (_totals(settings, table) for table in (BARS, TICKS, QUARANTINE))
    return Ledger(
        _consumed(settings, consumed),
        bars.accepted + ticks.accepted,
        bars.duplicates + ticks.duplicates,
        quarantine.accepted,
    )


def _consumed(settings: Settings, consumed: Offsets) -> int:
    """Messages read from every topic that there was, each from where its reading began, without the holes between."""
    known = registered(settings)
    now = known.filter("current")
    first = {(topic, part): at for topic, part, at in now.select("topic", "partition", "first_offset").iter_rows()}
    read: int = sum(end - first.get((topic, part), 0) for topic, ends in consumed.items() for part, end in ends.items())
    opened = [table for spec, _ in _MESSAGES if (table := spec.open(settings)) is not None]
    gone = known.filter(~pl.col("current")).select("topic", "partition", "topic_id", "first_offset")
    for topic, part, topic_id, at in gone.iter_rows():
        read += max([at, *(counted_up_to(table, topic, part, topic_id) for table in opened)]) - at
    sources = SOURCES.open(settings)
    if sources is None:
        return read
    parts = known.select("topic", "partition", "topic_id").iter_rows()
    return read - sum(holes.noted(sources, topic, part, topic_id) for topic, part, topic_id in parts)


def _totals(settings: Settings, table: TableSpec) -> Totals:
    opened = table.open(settings)
    return Totals(0, 0) if opened is None else totals(opened)


def _in_rows(settings: Settings, table: TableSpec, messages: pl.Expr) -> int:
    opened = table.open(settings)
    if opened is None:
        return 0
    return int(pl.scan_delta(opened).select(messages).collect().item() or 0) + expired(opened)
